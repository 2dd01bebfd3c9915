"""Who changed what: a log that only grows, each entry sealed with the hash of the one before.

The hash is SHA-256 over the previous hash and the entry as canonical JSON (keys sorted, no blanks). Whoever alters,
removes or inserts an entry has to recompute every later one. A cut-off end, and a log that was recomputed, show against a
`Head` that was kept elsewhere: `deploy/audit_head.py` keeps one outside of the database.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.clock import rfc3339

# Appending is one at a time: the next entry needs the hash of this one.
_LOCK = 0x4F67_4175
_FIRST_PREVIOUS = bytes(32)


class Head(msgspec.Struct, frozen=True):
    """Where the log ended once: how many entries it had, and the hash of the last one in hexadecimal."""

    entries: int
    hash: str


class Verification(msgspec.Struct, frozen=True):
    """What `verify` found: how many entries hold, the hash of the last one, and where the chain breaks, if it does."""

    entries: int
    head: str
    broken_at: int | None = None
    reason: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether every entry is as it was written."""
        return self.broken_at is None


async def append(
    transaction: Transaction, actor: str, action: str, object_: str, detail: Mapping[str, Any], now: datetime
) -> int:
    """Write one entry in the caller's transaction and return its number; entries wait for each other until the commit.

    `detail` holds JSON values without floats and without personal data; `object_` names a thing as `account/acct_…`.
    """
    require_transaction(transaction)
    await transaction.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    last = await transaction.fetchrow("SELECT seq, hash FROM catalog.audit ORDER BY seq DESC LIMIT 1")
    seq, previous = (last["seq"] + 1, last["hash"]) if last else (1, _FIRST_PREVIOUS)
    await transaction.execute(
        """
        INSERT INTO catalog.audit (seq, at, actor, action, object, detail, previous, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        seq,
        now,
        actor,
        action,
        object_,
        msgspec.json.encode(detail).decode(),
        previous,
        _seal(previous, seq, now, actor, action, object_, detail),
    )
    return int(seq)


async def head(transaction: Transaction) -> Head:
    """Where the log ends now."""
    last = await transaction.fetchrow("SELECT seq, hash FROM catalog.audit ORDER BY seq DESC LIMIT 1")
    return Head(last["seq"], last["hash"].hex()) if last else Head(0, _FIRST_PREVIOUS.hex())


async def goes_on_from(transaction: Transaction, kept: Head) -> bool:
    """Whether the log has the entry that it ended with once; the chain itself is not recomputed."""
    found = await transaction.fetchval("SELECT hash FROM catalog.audit WHERE seq = $1", kept.entries)
    return (found or _FIRST_PREVIOUS).hex() == kept.hash


async def verify(transaction: Transaction, kept: Head | None = None) -> Verification:
    """Recompute the whole chain, and compare it with where it ended once; reads only."""
    previous, count = _FIRST_PREVIOUS, 0
    async for row in transaction.cursor(
        "SELECT seq, at, actor, action, object, detail, previous, hash FROM catalog.audit ORDER BY seq"
    ):
        if row["seq"] != count + 1:
            return Verification(count, previous.hex(), count + 1, "the entry is missing")
        if row["previous"] != previous:
            return Verification(count, previous.hex(), row["seq"], "the entry continues another one")
        detail = msgspec.json.decode(row["detail"])
        if row["hash"] != _seal(
            previous, row["seq"], row["at"], row["actor"], row["action"], row["object"], detail
        ):
            return Verification(count, previous.hex(), row["seq"], "the entry was altered")
        previous, count = row["hash"], count + 1
        if kept is not None and count == kept.entries and previous.hex() != kept.hash:
            return Verification(
                count, previous.hex(), count, "the log was made anew: it is another entry than was kept"
            )
    if kept is not None and count < kept.entries:
        reason = f"the log was cut off: it had {kept.entries} entries"
        return Verification(count, previous.hex(), count + 1, reason)
    return Verification(count, previous.hex())


def _seal(
    previous: bytes,
    seq: int,
    at: datetime,
    actor: str,
    action: str,
    object_: str,
    detail: Mapping[str, Any],
) -> bytes:
    entry = {
        "seq": seq,
        "at": rfc3339(at),
        "actor": actor,
        "action": action,
        "object": object_,
        "detail": detail,
    }
    return hashlib.sha256(previous + msgspec.json.encode(entry, order="sorted")).digest()

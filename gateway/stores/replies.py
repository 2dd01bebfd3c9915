"""Replies kept under their idempotency key, written in the transaction of the effect they report."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from gateway.idempotency import AnsweredMeanwhile, Claim, Kept, Place, StoredReply
from gateway.transport import Reply

KEPT_FOR = timedelta(hours=24)
FORGOTTEN_MAX = 1000
"""Replies that one transaction deletes at most."""
# Several rows travel as one JSON value, but for their bytes. PostgreSQL plans anew for every array that it is given, and
# that costs a call alone more than its row.
_KEEP = """
    INSERT INTO gateway.stored_reply
        (account_id, environment, operation, idempotency_key, request_hash, call_id, status, headers, body, expires_at)
    SELECT $1, $2, $3, idempotency_key, ($5::bytea[])[row], call_id, status, headers, ($6::bytea[])[row], expires_at
    FROM json_populate_recordset(NULL::gateway.stored_reply, $4::text::json) WITH ORDINALITY
        AS kept (environment, account_id, operation, idempotency_key, hash, call_id, status, headers, bytes, expires_at, row)
"""


async def claim(connection: Any, place: Place, keys: Sequence[str]) -> dict[str, Claim]:
    """Take keys for this transaction, unless another one holds them, and look up what is kept under them; never waits.

    An advisory lock is given up by the server when its transaction ends, however it ends, so a crash never leaves a
    key in flight. One statement sees what was committed when it began, which may be before it has the lock: `keep`
    tells. Without the LIMIT, PostgreSQL would join all replies of the place before it looks at keys.
    """
    rows = await connection.fetch(
        """
        SELECT wanted.key, pg_try_advisory_xact_lock(hashtextextended($5 || wanted.key, 0)) AS is_held, kept.*
        FROM json_array_elements_text($4::text::json) AS wanted (key) LEFT JOIN LATERAL (
            SELECT request_hash, status, headers, body, expires_at FROM gateway.stored_reply
            WHERE account_id = $1 AND environment = $2 AND operation = $3 AND idempotency_key = wanted.key LIMIT 1
        ) AS kept ON true
        """,
        *_columns(place),
        msgspec.json.encode(keys).decode(),
        "\x1f".join((*_columns(place), "")),
    )
    return {row["key"]: Claim(row["is_held"], _stored(row)) for row in rows}


async def forget(connection: Any, place: Place, keys: Sequence[str]) -> None:
    """Delete what is kept under keys that this transaction has claimed."""
    await connection.execute(
        """
        DELETE FROM gateway.stored_reply
        WHERE account_id = $1 AND environment = $2 AND operation = $3 AND idempotency_key = ANY ($4::text[])
        """,
        *_columns(place),
        keys,
    )


async def keep(connection: Any, place: Place, replies: Sequence[Kept]) -> None:
    """Keep replies for a day; `AnsweredMeanwhile` if there is one already."""
    try:
        await connection.execute(
            _KEEP,
            *_columns(place),
            msgspec.json.encode([_row(kept) for kept in replies]).decode(),
            [kept.request_hash for kept in replies],
            [kept.reply.body for kept in replies],
        )
    except asyncpg.UniqueViolationError as error:
        raise AnsweredMeanwhile from error


async def forget_expired(connection: Any, now: datetime) -> int:
    """Delete up to `FORGOTTEN_MAX` replies that nobody may ask for any more; how many were deleted."""
    tag = await connection.execute(
        """
        DELETE FROM gateway.stored_reply WHERE (account_id, environment, operation, idempotency_key) IN (
            SELECT account_id, environment, operation, idempotency_key FROM gateway.stored_reply
            WHERE expires_at <= $1 LIMIT $2)
        """,
        now.astimezone(UTC),
        FORGOTTEN_MAX,
    )
    return int(tag.split()[-1])


def _columns(place: Place) -> tuple[str, str, str]:
    return place.account_id, place.environment, place.operation


def _stored(row: Mapping[str, Any]) -> StoredReply | None:
    if row["request_hash"] is None:
        return None
    headers = [(name.encode(), value.encode()) for name, value in msgspec.json.decode(row["headers"])]
    return StoredReply(row["request_hash"], Reply(row["status"], headers, row["body"]), row["expires_at"])


def _row(kept: Kept) -> dict[str, object]:
    """What is repeated with a reply: of its headers not the rate, which is that of each request."""
    headers = [
        (name.decode(), value.decode())
        for name, value in kept.reply.headers
        if not name.startswith(b"ratelimit")
    ]
    return {
        "idempotency_key": kept.key,
        "call_id": kept.call_id,
        "status": kept.reply.status,
        "headers": headers,
        "expires_at": kept.at + KEPT_FOR,
    }

"""One-time links and sessions as rows. Only SHA-256 of a random 256-bit token is stored; the token leaves here once.

Links are single-use, also for two requests at the same moment: the row is marked as used in the statement that finds it.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from catalog.accounts.user import User, find_user
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction

LINK_LASTS = timedelta(hours=24)
SESSION_LASTS = timedelta(hours=12)
FORGOTTEN_MAX = 1000
"""Links, and sessions, that one transaction deletes at most."""
_TOKEN_BYTES = 32


async def make_link(transaction: Transaction, user: User, *, actor: str, now: datetime) -> str:
    """The token of a new link for a person; links that they were given before and have not used stop working."""
    require_transaction(transaction)
    await transaction.execute(
        "UPDATE gateway.sign_in_link SET used_at = $2 WHERE person_id = $1 AND used_at IS NULL", user.id, now
    )
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    await transaction.execute(
        "INSERT INTO gateway.sign_in_link (digest, person_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        _digest(token),
        user.id,
        now,
        now + LINK_LASTS,
    )
    await audit.append(transaction, actor, "user.link", f"user/{user.id}", {}, now)
    return token


async def link_works(transaction: Transaction, token: str, now: datetime) -> bool:
    """Whether a link could be used now; looking at it does not use it up."""
    return bool(
        await transaction.fetchval(
            "SELECT true FROM gateway.sign_in_link WHERE digest = $1 AND used_at IS NULL AND expires_at > $2",
            _digest(token),
            now,
        )
    )


async def use_link(transaction: Transaction, token: str, now: datetime) -> str | None:
    """The token of a new session; None for a link that is unknown, used or too old."""
    require_transaction(transaction)
    person_id = await transaction.fetchval(
        "UPDATE gateway.sign_in_link SET used_at = $2 "
        "WHERE digest = $1 AND used_at IS NULL AND expires_at > $2 RETURNING person_id",
        _digest(token),
        now,
    )
    if person_id is None:
        return None
    session = secrets.token_urlsafe(_TOKEN_BYTES)
    await transaction.execute(
        "INSERT INTO gateway.session (digest, person_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        _digest(session),
        person_id,
        now,
        now + SESSION_LASTS,
    )
    await audit.append(transaction, f"user/{person_id}", "user.sign-in", f"user/{person_id}", {}, now)
    return session


async def find_session(transaction: Transaction, token: str, now: datetime) -> User | None:
    """Who a session belongs to; None for one that is unknown, ended or too old. The transaction's scope is `*`."""
    person_id = await transaction.fetchval(
        "SELECT person_id FROM gateway.session WHERE digest = $1 AND ended_at IS NULL AND expires_at > $2",
        _digest(token),
        now,
    )
    return None if person_id is None else await find_user(transaction, person_id)


async def end_session(transaction: Transaction, token: str, now: datetime) -> None:
    """Sign out: the session never works again."""
    await transaction.execute(
        "UPDATE gateway.session SET ended_at = $2 WHERE digest = $1 AND ended_at IS NULL", _digest(token), now
    )


async def end_sessions(transaction: Transaction, user: User, *, actor: str, now: datetime) -> int:
    """End every session of a person and void their unused link; returns how many sessions there were."""
    require_transaction(transaction)
    ended = await transaction.fetch(
        "UPDATE gateway.session SET ended_at = $2 WHERE person_id = $1 AND ended_at IS NULL AND expires_at > $2 "
        "RETURNING digest",
        user.id,
        now,
    )
    await transaction.execute(
        "UPDATE gateway.sign_in_link SET used_at = $2 WHERE person_id = $1 AND used_at IS NULL", user.id, now
    )
    await audit.append(transaction, actor, "user.sign-out", f"user/{user.id}", {"sessions": len(ended)}, now)
    return len(ended)


async def anybody_signed_in(transaction: Transaction) -> bool:
    """Whether a person has ever signed in to this installation: the audit log knows, which is kept for ever."""
    return bool(
        await transaction.fetchval("SELECT EXISTS (SELECT FROM catalog.audit WHERE action = 'user.sign-in')")
    )


async def forget_expired(transaction: Transaction, now: datetime) -> int:
    """Delete links and sessions whose time is over, up to `FORGOTTEN_MAX` of each; how many were deleted.

    They answer as unknown ones do, used and ended ones too. Who signed in and was signed out when stands in the audit log.
    """
    forgotten = 0
    for table in ("gateway.sign_in_link", "gateway.session"):
        tag = await transaction.execute(
            f"DELETE FROM {table} WHERE digest IN (SELECT digest FROM {table} WHERE expires_at <= $1 LIMIT $2)",  # noqa: S608 - constants
            now,
            FORGOTTEN_MAX,
        )
        forgotten += int(tag.split()[-1])
    return forgotten


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

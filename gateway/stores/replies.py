"""Replies kept under their idempotency key, written in the transaction of the effect they report."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from catalog.vocabulary.ids import Environment
from gateway.transport import Reply

KEPT_FOR = timedelta(hours=24)
_KEEP = """
    INSERT INTO gateway.stored_reply
        (account_id, environment, operation, idempotency_key, request_hash, call_id, status, headers, body, expires_at)
    SELECT $1, $2, $3, key, request_hash, call_id, status, headers::jsonb, body, expires_at
    FROM unnest($4::text[], $5::bytea[], $6::uuid[], $7::smallint[], $8::text[], $9::bytea[], $10::timestamptz[])
        AS kept (key, request_hash, call_id, status, headers, body, expires_at)
"""


class StoredReply(msgspec.Struct, frozen=True):
    """A kept reply, the hash of the body that it answered, and until when it may be asked for."""

    request_hash: bytes
    reply: Reply
    expires_at: datetime


class Kept(msgspec.Struct, frozen=True):
    """A reply to keep: under which key, for which body, of which call, from when on."""

    key: str
    request_hash: bytes
    call_id: UUID
    reply: Reply
    at: datetime


class Place(msgspec.Struct, frozen=True):
    """Where keys are told apart: the same key elsewhere is another key."""

    account_id: str
    environment: Environment
    operation: str


class Claim(msgspec.Struct, frozen=True):
    """Whether a key is this transaction's, and the reply that was kept under it when the claim was made."""

    is_held: bool
    stored: StoredReply | None


class AnsweredMeanwhile(Exception):
    """Another transaction kept a reply under one of the keys between the look-up and the claim. Roll back and look again."""


async def claim(connection: Any, place: Place, keys: Sequence[str]) -> dict[str, Claim]:
    """Take keys for this transaction, unless another one holds them, and look up what is kept under them; never waits.

    An advisory lock is given up by the server when its transaction ends, however it ends, so a crash never leaves a
    key in flight. One statement sees what was committed when it began, which may be before it has the lock: `keep`
    tells. Without the LIMIT, PostgreSQL would join all replies of the place before it looks at keys.
    """
    rows = await connection.fetch(
        """
        SELECT wanted.key, pg_try_advisory_xact_lock(hashtextextended($5 || wanted.key, 0)) AS is_held, kept.*
        FROM unnest($4::text[]) AS wanted (key) LEFT JOIN LATERAL (
            SELECT request_hash, status, headers, body, expires_at FROM gateway.stored_reply
            WHERE account_id = $1 AND environment = $2 AND operation = $3 AND idempotency_key = wanted.key LIMIT 1
        ) AS kept ON true
        """,
        *_columns(place),
        keys,
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
            [kept.key for kept in replies],
            [kept.request_hash for kept in replies],
            [kept.call_id for kept in replies],
            [kept.reply.status for kept in replies],
            [_headers_text(kept.reply) for kept in replies],
            [kept.reply.body for kept in replies],
            [kept.at + KEPT_FOR for kept in replies],
        )
    except asyncpg.UniqueViolationError as error:
        raise AnsweredMeanwhile from error


async def forget_expired(connection: Any, now: datetime) -> int:
    """Delete up to a thousand replies that nobody may ask for any more; how many were deleted."""
    tag = await connection.execute(
        """
        DELETE FROM gateway.stored_reply WHERE (account_id, environment, operation, idempotency_key) IN (
            SELECT account_id, environment, operation, idempotency_key FROM gateway.stored_reply
            WHERE expires_at <= $1 LIMIT 1000)
        """,
        now.astimezone(UTC),
    )
    return int(tag.split()[-1])


def _columns(place: Place) -> tuple[str, str, str]:
    return place.account_id, place.environment, place.operation


def _stored(row: Mapping[str, Any]) -> StoredReply | None:
    if row["request_hash"] is None:
        return None
    headers = [(name.encode(), value.encode()) for name, value in msgspec.json.decode(row["headers"])]
    return StoredReply(row["request_hash"], Reply(row["status"], headers, row["body"]), row["expires_at"])


def _headers_text(reply: Reply) -> str:
    """What is repeated with the reply: not the rate, which is that of each request."""
    kept = [
        (name.decode(), value.decode()) for name, value in reply.headers if not name.startswith(b"ratelimit")
    ]
    return msgspec.json.encode(kept).decode()

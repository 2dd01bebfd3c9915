"""Replies kept under their idempotency key, written in the transaction of the effect they report."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from catalog.vocabulary.ids import Environment
from gateway.transport import Reply

KEPT_FOR = timedelta(hours=24)


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


async def claim(connection: Any, place: Place, keys: Sequence[str]) -> set[str]:
    """Take keys for this transaction; answers those that no other transaction holds, and never waits for one.

    An advisory lock is given up by the server when its transaction ends, however it ends, so a crash never leaves a
    key in flight.
    """
    rows = await connection.fetch(
        "SELECT key FROM unnest($2::text[]) AS key WHERE pg_try_advisory_xact_lock(hashtextextended($1 || key, 0))",
        "\x1f".join((*_columns(place), "")),
        keys,
    )
    return {row["key"] for row in rows}


async def find(connection: Any, place: Place, keys: Sequence[str]) -> dict[str, StoredReply]:
    """The replies kept under keys that this transaction has claimed.

    A statement of its own: the one that claims does not see what was committed between its beginning and its lock.
    """
    rows = await connection.fetch(
        """
        SELECT idempotency_key, request_hash, status, headers, body, expires_at FROM gateway.stored_reply
        WHERE account_id = $1 AND environment = $2 AND operation = $3 AND idempotency_key = ANY ($4::text[])
        """,
        *_columns(place),
        keys,
    )
    return {row["idempotency_key"]: _stored(row) for row in rows}


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
    """Keep replies for a day."""
    await connection.execute(
        """
        INSERT INTO gateway.stored_reply
            (account_id, environment, operation, idempotency_key, request_hash, call_id, status, headers, body, expires_at)
        SELECT $1, $2, $3, key, request_hash, call_id, status, headers::jsonb, body, expires_at
        FROM unnest($4::text[], $5::bytea[], $6::uuid[], $7::smallint[], $8::text[], $9::bytea[], $10::timestamptz[])
            AS kept (key, request_hash, call_id, status, headers, body, expires_at)
        """,
        *_columns(place),
        [kept.key for kept in replies],
        [kept.request_hash for kept in replies],
        [kept.call_id for kept in replies],
        [kept.reply.status for kept in replies],
        [_headers_text(kept.reply) for kept in replies],
        [kept.reply.body for kept in replies],
        [kept.at + KEPT_FOR for kept in replies],
    )


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


def _stored(row: Mapping[str, Any]) -> StoredReply:
    headers = [(name.encode(), value.encode()) for name, value in msgspec.json.decode(row["headers"])]
    return StoredReply(row["request_hash"], Reply(row["status"], headers, row["body"]), row["expires_at"])


def _headers_text(reply: Reply) -> str:
    """What is repeated with the reply: not the rate, which is that of each request."""
    kept = [
        (name.decode(), value.decode()) for name, value in reply.headers if not name.startswith(b"ratelimit")
    ]
    return msgspec.json.encode(kept).decode()

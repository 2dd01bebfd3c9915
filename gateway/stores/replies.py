"""Replies kept under their idempotency key, written in the transaction of the effect they report."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.transport import Reply

KEPT_FOR = timedelta(hours=24)


class StoredReply(msgspec.Struct, frozen=True):
    """A kept reply and the hash of the body that it answered."""

    request_hash: bytes
    reply: Reply


async def claim(connection: Any, account_id: str, environment: str, operation: str, key: str) -> bool:
    """Take the key for this transaction; False while another transaction holds it.

    An advisory lock is given up by the server when its transaction ends, however it ends, so a crash never leaves a
    key in flight.
    """
    name = "\x1f".join((account_id, environment, operation, key))
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", name))


async def find(
    connection: Any, account_id: str, environment: str, operation: str, key: str, now: datetime
) -> StoredReply | None:
    """The reply kept under a key that this transaction holds; one that has expired is forgotten."""
    row = await connection.fetchrow(
        """
        SELECT request_hash, status, headers, body, expires_at FROM gateway.stored_reply
        WHERE account_id = $1 AND environment = $2 AND operation = $3 AND idempotency_key = $4
        """,
        account_id,
        environment,
        operation,
        key,
    )
    if row is None:
        return None
    if row["expires_at"] <= now:
        await connection.execute(
            """
            DELETE FROM gateway.stored_reply
            WHERE account_id = $1 AND environment = $2 AND operation = $3 AND idempotency_key = $4
            """,
            account_id,
            environment,
            operation,
            key,
        )
        return None
    headers = [(name.encode(), value.encode()) for name, value in msgspec.json.decode(row["headers"])]
    return StoredReply(row["request_hash"], Reply(row["status"], headers, row["body"]))


async def keep(
    connection: Any,
    account_id: str,
    environment: str,
    operation: str,
    key: str,
    request_hash: bytes,
    call_id: str,
    reply: Reply,
    now: datetime,
) -> None:
    """Keep a reply for a day."""
    headers = [
        (name.decode(), value.decode()) for name, value in reply.headers if not name.startswith(b"ratelimit")
    ]
    await connection.execute(
        """
        INSERT INTO gateway.stored_reply
            (account_id, environment, operation, idempotency_key, request_hash, call_id, status, headers, body, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        account_id,
        environment,
        operation,
        key,
        request_hash,
        call_id,
        reply.status,
        msgspec.json.encode(headers).decode(),
        reply.body,
        now + KEPT_FOR,
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

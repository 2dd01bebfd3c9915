"""The outbox: a task for each document that was handed over, taken one at a time, again and again until it is done.

A task is taken for the length of a lease in a transaction of its own and worked on outside of any, so a request that
hangs locks nothing, and a process that dies leaves a task that falls due again.
"""

import secrets
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from billing.transaction import Connection
from catalog.vocabulary.problem import Problem

# Longer than all requests of a task together may take.
_LEASE = timedelta(minutes=15)
_PAUSE_S = 5
_PAUSE_S_MAX = 3600


class Task(msgspec.Struct, frozen=True):
    """A document to be brought into the provider's book. `attempts` counts this one too."""

    id: UUID
    account_id: str
    kind: Literal["invoice", "credit_note"]
    document_id: str
    attempts: int
    generation: int

    def key(self, step: str) -> str:
        """The idempotency key of one request: the same on every attempt, so a lost answer never doubles anything."""
        return f"{self.id.hex}/{self.generation}/{step}"


# The oldest task of an account goes first, so a credit note never overtakes its invoice.
_TAKE = """
    UPDATE billing.payment_task SET attempts = attempts + 1, due_at = $2 WHERE id = (
        SELECT id FROM billing.payment_task AS task
        WHERE state = 'waiting' AND due_at <= $1 AND NOT EXISTS (
            SELECT FROM billing.payment_task AS earlier
            WHERE earlier.state = 'waiting' AND earlier.account_id = task.account_id
              AND (earlier.created_at, earlier.kind = 'credit_note', earlier.id)
                < (task.created_at, task.kind = 'credit_note', task.id))
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, account_id, kind, document_id, attempts, generation
"""


async def take_task(connection: Connection, now: datetime) -> Task | None:
    """The next task that is due, ours until the lease ends; None if none is."""
    row = await connection.fetchrow(_TAKE, now, now + _LEASE)
    return None if row is None else Task(*row)


async def finish(connection: Connection, task: Task, provider_id: str, now: datetime) -> None:
    """The document is in the provider's book, and it says what ours says."""
    await connection.execute(
        "UPDATE billing.payment_task SET state = 'done', provider_id = $2, reason = '', finished_at = $3 WHERE id = $1",
        task.id,
        provider_id,
        now,
    )


async def hold(connection: Connection, task: Task, reason: str, now: datetime) -> None:
    """A person has to look; nothing more is done until `release`."""
    await connection.execute(
        "UPDATE billing.payment_task SET state = 'held', reason = $2, finished_at = $3 WHERE id = $1",
        task.id,
        reason,
        now,
    )


async def put_off(connection: Connection, task: Task, reason: str, now: datetime, *, new_key: bool) -> None:
    """Try again later, later each time. `new_key`: a failure is stored under the present one."""
    await connection.execute(
        "UPDATE billing.payment_task SET due_at = $2, reason = $3, generation = generation + $4 WHERE id = $1",
        task.id,
        now + pause(task.attempts),
        reason,
        int(new_key),
    )


async def release(connection: Connection, document_id: str, now: datetime) -> None:
    """Try a held document again, with new keys; `Problem` conflict unless it is held.

    What the provider already has of it is found there first.
    """
    released = await connection.fetchval(
        "UPDATE billing.payment_task SET state = 'waiting', reason = '', due_at = $2, finished_at = NULL, "
        "generation = generation + 1 WHERE document_id = $1 AND state = 'held' RETURNING id",
        document_id,
        now,
    )
    if released is None:
        raise Problem("conflict", f"{document_id} is not held.")


def pause(attempts: int) -> timedelta:
    """5 s, doubled with each attempt up to an hour, of which half is left to chance: those who failed together part."""
    longest_ms = 1000 * min(_PAUSE_S_MAX, _PAUSE_S * 2 ** min(attempts - 1, 20))
    return timedelta(milliseconds=longest_ms - secrets.randbelow(longest_ms // 2))

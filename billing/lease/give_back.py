"""What a living worker does with its leases: it reports and returns them, and looks whether others need them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from billing.lease.terms import Holder
from billing.transaction import Connection

_REGISTER = """
    INSERT INTO billing.lease_holder (journal_id, worker_id, seen_at) VALUES ($1, $2, $3)
    ON CONFLICT (journal_id) DO UPDATE SET worker_id = excluded.worker_id, seen_at = excluded.seen_at
"""
_LOCK = """
    SELECT FROM billing.allowance
    WHERE id IN (SELECT allowance_id FROM billing.lease WHERE id = ANY($1)) ORDER BY id FOR UPDATE
"""
_CLOSE = """
    WITH closed AS (
        UPDATE billing.lease SET state = 'closed', used = returned.used, closed_at = $3
        FROM unnest($1::bigint[], $2::numeric[]) AS returned (id, used)
        WHERE lease.id = returned.id AND state = ANY($4)
        RETURNING allowance_id, granted, lease.used)
    UPDATE billing.allowance SET used = allowance.used + total.used, leased = allowance.leased - total.granted
    FROM (SELECT allowance_id, sum(granted) AS granted, sum(used) AS used FROM closed GROUP BY 1) AS total
    WHERE allowance.id = allowance_id
"""
# `before` is of the statement's snapshot; who changes what a lease is worth holds the lock on its limit.
_SHRINK = """
    WITH before AS (SELECT id, granted FROM billing.lease WHERE id = ANY($1)),
         shrunk AS (
        UPDATE billing.lease SET granted = kept.granted
        FROM unnest($1::bigint[], $2::numeric[]) AS kept (id, granted)
        WHERE lease.id = kept.id AND state = 'open' RETURNING lease.id, allowance_id, lease.granted)
    UPDATE billing.allowance SET leased = allowance.leased - total.freed
    FROM (SELECT allowance_id, sum(before.granted - shrunk.granted) AS freed
          FROM shrunk JOIN before USING (id) GROUP BY 1) AS total
    WHERE allowance.id = allowance_id
"""
_MINE = """
    SELECT lease.id, coalesce(wanted_at >= $2, false) AS wanted
    FROM billing.lease JOIN billing.allowance ON allowance.id = allowance_id WHERE worker_id = $1 AND state = 'open'
"""


class OpenLease(msgspec.Struct, frozen=True):
    """A lease that a worker holds, and whether somebody was refused for want of it."""

    id: int
    wanted: bool


async def register(connection: Connection, holder: Holder, now: datetime) -> None:
    """Say that this worker writes this journal: whoever wrote it before has gone, and its leases have no holder."""
    await connection.execute(_REGISTER, holder.journal_id, holder.worker_id, now)


async def close_leases(
    connection: Connection, used: Mapping[int, Decimal], now: datetime, *, states: Sequence[str] = ("open",)
) -> None:
    """End leases with what calls have taken of them; the rest is free at once. Ended ones are left as they are."""
    ids = sorted(used)
    await connection.execute(_LOCK, ids)
    await connection.execute(_CLOSE, ids, [used[one] for one in ids], now, list(states))


async def shrink_leases(connection: Connection, granted: Mapping[int, Decimal]) -> None:
    """Make leases smaller, down to what calls have taken or hold of them; the rest is free at once."""
    ids = sorted(granted)
    await connection.execute(_LOCK, ids)
    await connection.execute(_SHRINK, ids, [granted[one] for one in ids])


async def abandon_leases(connection: Connection, ids: Sequence[int]) -> None:
    """Give leases up whose use the worker does not know for sure: the recorded calls will tell it."""
    await connection.execute(
        "UPDATE billing.lease SET state = 'orphaned' WHERE id = ANY($1) AND state = 'open'", list(ids)
    )


async def open_leases(
    connection: Connection, holder: Holder, now: datetime, since: datetime
) -> list[OpenLease]:
    """The worker's open leases, and which of them somebody has wanted since a moment; says that the worker lives."""
    await connection.execute(
        "UPDATE billing.lease_holder SET seen_at = $2 WHERE worker_id = $1", holder.worker_id, now
    )
    rows = await connection.fetch(_MINE, holder.worker_id, since)
    return [OpenLease(row["id"], row["wanted"]) for row in rows]

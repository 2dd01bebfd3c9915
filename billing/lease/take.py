"""A worker takes a slice of what is left of a limit: one transaction, under a lock on the limit's row."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import asyncpg

from billing.lease.begin import CONSUMED_FIRST, begin_alone
from billing.lease.slices import slice_of
from billing.lease.so_far import calls_so_far, charges_so_far
from billing.lease.terms import Granted, Holder, Standing, Taken, Wanted
from billing.transaction import Connection

_LOCK = """
    SELECT id, used - returned AS used, leased FROM billing.allowance
    WHERE account_id = $1 AND environment = $2 AND kind = $3 AND subject = $4 AND starts_on = $5 FOR UPDATE
"""
_MAKE = """
    INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""
# The rows are locked in the order of their ids.
_LOCK_GRANTS = f"""
    SELECT allowance.id, used, leased, amount, valid_until, row_number() OVER (ORDER BY {CONSUMED_FIRST}) AS place
    FROM (SELECT id, subject, used, leased FROM billing.allowance
          WHERE account_id = $1 AND environment = $2 AND kind = 'credit' ORDER BY id FOR UPDATE) AS allowance
    JOIN billing.credit_grant ON credit_grant.id = subject
    WHERE valid_from <= $3 AND (valid_until IS NULL OR valid_until > $3)
    ORDER BY place
"""  # noqa: S608 - constants of this package
_HOLDERS = """
    SELECT count(DISTINCT worker_id) FROM billing.lease WHERE allowance_id = $1 AND state <> 'closed' AND worker_id <> $2
"""
_LEND = """
    INSERT INTO billing.lease (allowance_id, account_id, worker_id, journal_id, period, granted, granted_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
"""


async def take(
    connection: Connection, holder: Holder, wanted: Wanted, now: datetime, expires_at: datetime
) -> Taken:
    """Lease a slice of a limit to a worker, in the caller's transaction and the account's scope.

    No leases where what nobody has taken or holds is less than the call needs; workers that hold a part are then
    asked for it (`wanted_leases`). Money may come from several grants, a lease from each.
    """
    if wanted.kind == "credit":
        return await _take_credit(connection, holder, wanted, now, expires_at)
    limit, row = await _locked(connection, wanted)
    left = limit - row["used"] - row["leased"]
    size = Decimal(0)
    if left >= wanted.need:
        size = slice_of(left, wanted.need, await _holders(connection, row["id"], holder))
    standing = Standing(limit, row["used"], row["leased"])
    if not size:
        await _want(connection, [row["id"]], now)
        return Taken((), standing)
    return Taken((await _lend(connection, holder, wanted, row["id"], size, now, expires_at, None),), standing)


async def _take_credit(
    connection: Connection, holder: Holder, wanted: Wanted, now: datetime, expires_at: datetime
) -> Taken:
    rows = await connection.fetch(_LOCK_GRANTS, wanted.account_id, wanted.environment, now)
    standing = Standing(
        sum((row["amount"] for row in rows), Decimal(0)),
        sum((row["used"] for row in rows), Decimal(0)),
        sum((row["leased"] for row in rows), Decimal(0)),
    )
    if standing.remaining < wanted.need:
        await _want(connection, [row["id"] for row in rows], now)
        return Taken((), standing)
    leases: list[Granted] = []
    missing, remaining = wanted.need, standing.remaining
    for row in rows:
        # What one grant is overdrawn by is lacking in the others.
        left = min(row["amount"] - row["used"] - row["leased"], remaining)
        if missing > 0 and left > 0:
            size = left
            if left >= missing:
                # What the call needs of this grant is less than a call where an earlier grant gave its rest.
                size = slice_of(left, missing, await _holders(connection, row["id"], holder))
            leases.append(
                await _lend(connection, holder, wanted, row["id"], size, now, expires_at, row["valid_until"])
            )
            missing -= size
            remaining -= size
    return Taken(tuple(leases), standing)


async def _locked(connection: Connection, wanted: Wanted) -> tuple[Decimal, asyncpg.Record]:
    """The limit and its row, made and started from the calls so far where it is new; locked either way."""
    limit, scope, scope_id = wanted.limit, "", ""
    if wanted.kind == "budget":
        budget = await connection.fetchrow(
            "SELECT amount, scope, scope_id FROM billing.budget WHERE id = $1", wanted.subject
        )
        assert budget is not None, "budgets are ended, never deleted"
        limit, scope, scope_id = budget
    key = wanted.account_id, wanted.environment, wanted.kind, wanted.subject, wanted.starts_on
    row = await connection.fetchrow(_LOCK, *key)
    if row is None:
        await begin_alone(connection, wanted.account_id)
        if wanted.kind == "quota":
            used = await calls_so_far(connection, wanted)
        else:
            used = await charges_so_far(connection, wanted, scope, scope_id)
        await connection.execute(_MAKE, *key, used)
        row = await connection.fetchrow(_LOCK, *key)
    assert row is not None, "it has just been made"
    return limit, row


async def _holders(connection: Connection, allowance_id: int, holder: Holder) -> int:
    others: int = await connection.fetchval(_HOLDERS, allowance_id, holder.worker_id)
    return others + 1


async def _lend(
    connection: Connection,
    holder: Holder,
    wanted: Wanted,
    allowance_id: int,
    size: Decimal,
    now: datetime,
    expires_at: datetime,
    valid_until: datetime | None,
) -> Granted:
    lease_id: int = await connection.fetchval(
        _LEND,
        allowance_id,
        wanted.account_id,
        holder.worker_id,
        holder.journal_id,
        wanted.month,
        size,
        now,
        expires_at,
    )
    await connection.execute(
        "UPDATE billing.allowance SET leased = leased + $2 WHERE id = $1", allowance_id, size
    )
    return Granted(lease_id, size, valid_until)


async def _want(connection: Connection, allowance_ids: Sequence[int], now: datetime) -> None:
    await connection.execute(
        "UPDATE billing.allowance SET wanted_at = $2 WHERE id = ANY($1) AND leased > 0", allowance_ids, now
    )

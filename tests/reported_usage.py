"""Usage that was reported, for tests of what becomes of it: accepted as the gateway's role does, beside metered calls."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import asyncpg

from billing.desk import Correction, Received, Report, accept
from billing.lease.begin import keep_limits
from billing.lease.reported import count_reports
from billing.store.amend import Amendment, amend
from billing.transaction import Connection
from catalog.limit import Quota
from catalog.usage_event import UsageEvent

TIMEZONE = "Asia/Shanghai"
_PRICE = Decimal("0.055")


def report(event: UsageEvent, id_: str | None = None, *quotas: Quota) -> Report:
    """An event as its sender names it, at 0.055 a unit by the list."""
    name = id_ or event.id
    return Report(
        "/edge-box",
        name,
        hashlib.sha256(f"{event.operation} {event.units}".encode()).digest(),
        event,
        _PRICE * event.quantity,
        quotas,
    )


async def accepted(
    pool: asyncpg.Pool, reports: Sequence[Report | Correction], now: datetime, account_id: str = "acct_a"
) -> list[Received]:
    """What became of each report, in a transaction of its own."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', $1, true)", account_id)
        return await accept(connection, account_id, "live", TIMEZONE, reports, now)


async def corrected(
    pool: asyncpg.Pool, event: UsageEvent, units: str, now: datetime, charge: Decimal | None = None
) -> None:
    """So many units more than before, or fewer, of a reported event, in a transaction of its own; 0.055 a unit unless said
    otherwise."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', $1, true)", event.account_id)
        await correct(connection, event, units, now, charge)


async def correct(
    connection: Connection, event: UsageEvent, units: str, now: datetime, charge: Decimal | None = None
) -> None:
    """The same, in the caller's transaction and scope."""
    await keep_limits(connection, event.account_id)
    await amend_as_said(connection, event, units)
    amount = _PRICE * Decimal(units) if charge is None else charge
    difference = Report("/edge-box", f"{event.id} {units}", b"", event, amount, ())
    await count_reports(connection, event.account_id, event.environment, TIMEZONE, [difference], now)


async def amend_as_said(connection: Connection, event: UsageEvent, units: str) -> None:
    """Amend a stored event by so many units, and write down that its source said so; in the caller's scope."""
    (amendment_id,) = await amend(connection, [Amendment(event.uuid, Decimal(units))])
    whole = await connection.fetchval(
        "SELECT sum(units) FROM billing.usage_event WHERE $1 IN (id, amends)", event.uuid
    )
    if whole < 0:
        return  # More was taken away than there was: no source can say that.
    number = await connection.fetchval(
        "SELECT count(*) FROM billing.correction WHERE event_id = $1", event.uuid
    )
    for name in (event.id, f"{event.id} {number + 1}"):
        await connection.execute(
            "INSERT INTO billing.seen (account_id, environment, source, id, content_hash, event_id) "
            "VALUES ($1, $2, '/edge-box', $3, $4, $5) ON CONFLICT DO NOTHING",
            event.account_id,
            event.environment,
            name,
            bytes(32),
            event.uuid,
        )
    await connection.execute(
        "INSERT INTO billing.correction (account_id, environment, source, id, corrects_id, event_id, units_after, amendment_id, "
        "corrected_by, corrected_at) VALUES ($1, $2, '/edge-box', $3, $4, $5, $6, $7, 'test', now())",
        event.account_id,
        event.environment,
        f"{event.id} {number + 1}",
        f"{event.id} {number}" if number else event.id,
        event.uuid,
        whole,
        amendment_id,
    )

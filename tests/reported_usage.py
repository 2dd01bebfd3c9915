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
    await amend(connection, [Amendment(event.uuid, Decimal(units))])
    amount = _PRICE * Decimal(units) if charge is None else charge
    difference = Report("/edge-box", f"{event.id} {units}", b"", event, amount, ())
    await count_reports(connection, event.account_id, event.environment, TIMEZONE, [difference], now)

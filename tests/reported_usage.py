"""Usage that was reported, for tests of what becomes of it: accepted as the gateway's role does, beside metered calls."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import asyncpg

from billing.desk import Received, Report, accept
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
    pool: asyncpg.Pool, reports: Sequence[Report], now: datetime, account_id: str = "acct_a"
) -> list[Received]:
    """What became of each report, in a transaction of its own."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', $1, true)", account_id)
        return await accept(connection, account_id, "live", TIMEZONE, reports, now)

"""An event is journaled, stored, rolled up, rated, posted to the ledger and invoiced: the steps, in this order.

Each step takes a bounded batch at a time, in transactions of its own, and can be stopped anywhere: what is done is
written in the same transaction that does it, so the next start goes on where this one ended.
"""

from datetime import UTC
from pathlib import Path

import asyncpg

from billing.invoice.rate_pending import RatingReport, rate_pending
from billing.lease.forget import forget_limits
from billing.lease.settle import settle_leases
from billing.ledger.accounts import HOUSE
from billing.payment.reminder import remind
from billing.prepaid.expire import expire_credit
from billing.rollup.roll_up import RolledUp, roll_up
from billing.sla.figures import refresh
from billing.standstill import moving
from billing.store.partitions import ensure_upcoming
from billing.store.shipper import Halt, Round, Shipper
from billing.transaction import all_accounts
from catalog.vocabulary.clock import Clock, from_ns

# How long the oldest usage row that is not rolled up has been stored.
_ROLL_UP_LAG = """
    SELECT coalesce(extract(epoch FROM now() - min(stored_at)) * 1000, 0)::bigint FROM billing.usage_event
     WHERE stored_xid >= (SELECT xid FROM billing.watermark WHERE step = 'rollup')
"""


class Flow:
    """The steps over one database and one root of journals."""

    def __init__(self, pool: asyncpg.Pool, journals: Path, mirrors: Path | None, clock: Clock) -> None:
        """`mirrors` is the root of the journals' copies on a second disk, if there is one."""
        self._pool = pool
        self._journals = journals
        self._mirrors = mirrors
        self._clock = clock
        self._shipper = Shipper(pool, journals, mirrors, clock)

    @property
    def halted(self) -> tuple[Halt, ...]:
        """The journals that are not shipped until a person has looked at them."""
        return self._shipper.halted

    async def ship(self) -> Round:
        """Journals -> usage rows: one page of each."""
        return await self._shipper.ship_round()

    async def roll_up(self) -> RolledUp:
        """Usage rows -> hourly sums: one batch."""
        async with moving(self._pool) as connection:
            return await roll_up(connection)

    async def rate(self) -> RatingReport:
        """Hourly sums -> rated lines -> postings and draft documents: the months that moved, one transaction each."""
        return await rate_pending(self._pool, self._clock)

    async def settle_leases(self) -> int:
        """Leases of dead workers -> what recorded calls took of them; how many were closed."""
        return await settle_leases(self._pool, self._journals, self._mirrors, self._clock)

    async def expire_credit(self) -> int:
        """Grants whose time is over -> what is left of them is the house's."""
        return await expire_credit(self._pool, self._clock)

    async def remind(self) -> int:
        """Invoices that are overdue -> reminders, once a stage; how many were announced."""
        return await remind(self._pool, self._clock)

    async def forget_limits(self) -> bool:
        """Quotas and budgets of periods long over -> gone with their leases: one batch; whether there may be more."""
        return await forget_limits(self._pool, self._clock)

    async def watch_service_level(self) -> int:
        """The sums -> what pages show of the service level, and its alarms; returns the figures written."""
        return await refresh(self._pool, HOUSE, self._clock)

    async def prepare_days(self) -> None:
        """Make the partitions that the next two weeks' events need."""
        async with self._pool.acquire() as connection:
            await ensure_upcoming(connection, from_ns(self._clock.now_ns()).astimezone(UTC).date())

    async def prune(self) -> int:
        """Remove journal segments that were shipped long enough ago."""
        return await self._shipper.prune()

    async def roll_up_lag_ms(self) -> int:
        """The age of the oldest usage row that is not rolled up, 0 if there is none."""
        async with all_accounts(self._pool) as connection:
            lag_ms: int = await connection.fetchval(_ROLL_UP_LAG)
        return lag_ms

    def close(self) -> None:
        """Give the journals' files back."""
        self._shipper.close()

"""Workers of one account as far as leases go, for tests: stores of their own, one clock, and no HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

import asyncpg

from catalog.limit import Quota
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import new_id
from gateway.directory import AllowancesRecord
from gateway.proofs import Permit
from gateway.stores.hold import LeaseHold
from gateway.stores.leases import LeaseStore
from tests.usage_books import add_account

NOON = datetime(2026, 11, 10, 4, tzinfo=UTC)
"""In Shanghai, where the account is."""
PRICE = Decimal("0.055")


class Workers:
    """Workers of one account as far as leases go. They take their turns while one of them waits for another."""

    def __init__(self, pool: asyncpg.Pool, account_id: str) -> None:
        self.clock = ManualClock(NOON)
        self.account_id = account_id
        self.stores: list[LeaseStore] = []
        self._pool = pool

    async def add(self, journal_id: UUID | None = None) -> LeaseStore:
        """One more worker, with a journal of its own."""
        store = LeaseStore(self._pool, journal_id or uuid4(), self.clock, sleep=self._others_go_on)
        await store.start()
        self.stores.append(store)
        return store

    async def _others_go_on(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for store in self.stores:
            await store.turn()

    def permit(
        self, *quotas: Quota, allowances: AllowancesRecord | None = None, key_id: str = "key"
    ) -> Permit:
        """For a call of the account to an operation with these quotas."""
        caller = SimpleNamespace(
            key_id=key_id,
            account_id=self.account_id,
            application_id="app",
            environment="live",
            cost_centre_id="",
            currency="CNY",
            timezone="Asia/Shanghai",
            allowances=allowances,
        )
        operation = SimpleNamespace(id="address/validate", service="address", quotas=quotas)
        return cast("Permit", SimpleNamespace(caller=caller, operation=operation))

    def hold(self, store: LeaseStore, permit: Permit) -> LeaseHold:
        """What a call that is admitted now may reserve."""
        hold = store.hold(permit, self.clock.now_ns(), self.clock.monotonic_ns())
        assert hold is not None
        return hold

    async def reserved(self, store: LeaseStore, permit: Permit, charge: Decimal = PRICE) -> LeaseHold:
        """What a call of that worker has reserved; `Problem` where it was refused."""
        hold = self.hold(store, permit)
        if not hold.reserve(charge):
            await hold.acquire()
        return hold

    async def call(self, store: LeaseStore, permit: Permit, charge: Decimal = PRICE) -> None:
        """A call that goes well; `Problem` where it was refused."""
        hold = await self.reserved(store, permit, charge)
        hold.capture(True, charge)
        hold.confirm()

    async def turns(self, seconds: float = 0) -> None:
        """Time passes, and all look through their leases."""
        await self._others_go_on(seconds)


@asynccontextmanager
async def workers_of_a_new_account(pool: asyncpg.Pool, admin: asyncpg.Connection) -> AsyncIterator[Workers]:
    """No worker yet; those that are added stop at the end of the block."""
    account_id = new_id("acct")
    await add_account(admin, account_id)
    made = Workers(pool, account_id)
    yield made
    for store in made.stores:
        await store.stop()


def quota(q: int) -> Quota:
    """A hard quota of calls a day for the account."""
    return Quota("account", "day", q, True)

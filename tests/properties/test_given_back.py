"""Whatever is reported, corrected, lent and issued in whatever order, what is left of credit and budgets is what a slow model says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal
from uuid import uuid4

import asyncpg
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.allowance import Granted, Holder, Wanted, close_leases, take
from billing.desk import close
from billing.invoice.rate_pending import rate_pending
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.roles import BILLING, GATEWAY
from tests.databases import DatabaseServer
from tests.fakes.journal_disk import is_torture
from tests.prepaid_books import all_agree, faults, give, ledger, used
from tests.reported_usage import accepted, corrected, report
from tests.usage_books import PROFILE, add_account, add_price, call, roll_up_all, store

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
OCTOBER_5, OCTOBER_20 = datetime(2026, 10, 5, tzinfo=UTC), datetime(2026, 10, 20, tzinfo=UTC)
OCTOBER_25, NOVEMBER_2 = datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
NOVEMBER_5, DECEMBER_2 = datetime(2026, 11, 5, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)
# All is counted in coins: two units at 0.055.
COIN = Decimal("0.11")
AMPLE = 1000


class Given(msgspec.Struct, frozen=True):
    """A grant of so many coins; one that is over was valid when October's usage happened."""

    coins: int
    is_over: bool


class Step(msgspec.Struct, frozen=True):
    """`report` an event of so many coins, an old one of October or a new one; `correct` one of them to so many; `lend` to a
    worker for calls of so many; `settle` its oldest lease with so many of it."""

    kind: Literal["report", "correct", "lend", "settle"]
    coins: int
    which: int
    is_old: bool


GRANTS = st.lists(st.builds(Given, st.integers(1, 12), st.booleans()), min_size=1, max_size=3)
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["report", "report", "correct", "correct", "correct", "lend", "settle"]),
        st.integers(0, 9),
        st.integers(0, 9),
        st.booleans(),
    ),
    min_size=3,
    max_size=12,
)


class Model:
    """Each coin by itself, grant by grant in the order of consumption. `reported` is taken for the open document."""

    def __init__(self, grants: list[Given]) -> None:
        self.grants = grants
        self.reported = [0] * len(grants)
        self.called = [0] * len(grants)
        self.leased = [0] * len(grants)

    @property
    def valid(self) -> list[int]:
        """The places of the grants that are not over."""
        return [place for place, one in enumerate(self.grants) if not one.is_over]

    def room(self, place: int) -> int:
        """What is free of a grant, or by how much it is overdrawn."""
        taken = self.reported[place] + self.called[place] + self.leased[place]
        return self.grants[place].coins - taken

    def take(self, coins: int, valid_then: list[int]) -> None:
        """Each coin is taken of the first one that has it; what none has, of the last that is valid."""
        for _ in range(coins):
            having = [place for place in (*valid_then, *self.valid) if self.room(place) > 0]
            bearing = (self.valid or valid_then)[-1:]
            for place in (having or bearing)[:1]:
                self.reported[place] += 1

    def give_back(self, coins: int) -> None:
        """Each coin comes back to the last one that reported usage took of, valid ones before those that are over."""
        for _ in range(coins):
            for place in sorted(range(len(self.grants)), key=lambda one: (self.grants[one].is_over, -one)):
                if self.reported[place]:
                    self.reported[place] -= 1
                    break


class Installation(msgspec.Struct):
    """An account that pays in advance, its model, and what happens to both."""

    admin: asyncpg.Connection
    billing: asyncpg.Pool
    gateway: asyncpg.Pool
    model: Model
    now: datetime = OCTOBER_25
    events: list[tuple[UsageEvent, int]] = []
    leases: list[tuple[Granted, int]] = []
    holder: Holder = msgspec.field(default_factory=lambda: Holder(uuid4(), uuid4()))

    async def do(self, step: Step) -> None:
        """One step, where it can be taken."""
        match step.kind:
            case "report" if step.coins:
                await self._report(step.coins, is_old=step.is_old)
            case "correct" if self.events:
                await self._correct(step.which % len(self.events), step.coins)
            case "lend" if step.coins and self.now == OCTOBER_25:
                await self._lend(step.coins)
            case "settle" if self.leases:
                await self.settle(step.coins)
            case _:
                pass

    async def _report(self, coins: int, *, is_old: bool) -> None:
        event = call("acct_a", OCTOBER_5 if is_old else self.now, units=str(2 * coins))
        await accepted(self.gateway, [report(event)], self.now)
        self.events.append((event, coins))
        self._take(event, coins)

    def _take(self, event: UsageEvent, coins: int) -> None:
        is_old = event.occurred_at_ns == OCTOBER_5.timestamp() * 1e9
        self.model.take(coins, list(range(len(self.model.grants))) if is_old else self.model.valid)

    async def _correct(self, which: int, coins: int) -> None:
        event, before = self.events[which]
        if coins != before:
            await corrected(self.gateway, event, str(2 * (coins - before)), self.now)
            self.events[which] = event, coins
            self._take(event, coins - before)
            self.model.give_back(before - coins)

    async def _lend(self, coins: int) -> None:
        month = OCTOBER.first_day
        wanted = Wanted("acct_a", "live", "credit", "", month, OCTOBER_5, month, coins * COIN)
        async with self.gateway.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
            taken = await take(connection, self.holder, wanted, self.now, self.now)
        left = sum(self.model.room(place) for place in self.model.valid)
        assert bool(taken.leases) == (left >= coins), "a call is served by what is left, and by nothing else"
        for lease in taken.leases:
            place = await self.admin.fetchval(
                "SELECT priority FROM billing.credit_grant JOIN billing.allowance ON subject = credit_grant.id "
                "JOIN billing.lease ON allowance_id = allowance.id WHERE lease.id = $1",
                lease.id,
            )
            self.model.leased[place] += int(lease.amount / COIN)
            self.leases.append((lease, place))

    async def settle(self, coins: int) -> None:
        """The worker ends its oldest lease with so many coins of it, or all of it, by one call."""
        lease, place = self.leases.pop(0)
        whole = int(lease.amount / COIN)
        taken = min(coins, whole)
        if taken:
            await store(self.billing, [call("acct_a", OCTOBER_20, units=str(2 * taken))])
        async with self.gateway.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
            await close_leases(connection, {lease.id: taken * COIN}, self.now)
        self.model.leased[place] -= whole
        self.model.called[place] += taken

    async def issue(self, period: Period, now: datetime) -> None:
        """A month's document, with all that happened before it."""
        await roll_up_all(self.billing)
        await rate_pending(self.billing, ManualClock(self.now))
        await close(self.billing, period, ManualClock(now))

    async def spent(self) -> list[Decimal]:
        """What the hard budget counts of October and of November."""
        rows = await self.admin.fetch(
            "SELECT used - returned AS spent FROM billing.allowance WHERE kind = 'budget' ORDER BY starts_on"
        )
        return [row["spent"] for row in rows]

    def cost(self, *, is_old: bool) -> Decimal:
        """What the events of October, or those of November, come to."""
        november = datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1e9
        return COIN * sum(
            coins for event, coins in self.events if (event.occurred_at_ns < november) == is_old
        )


async def _check(at: Installation, steps: list[Step], later: list[Step]) -> None:
    """Before October is issued grant by grant; afterwards all grants together, where they have enough for everything."""
    for step in steps:
        await at.do(step)
        counted = [sum(one) * COIN for one in zip(at.model.reported, at.model.called, strict=True)]
        assert await used(at.billing) == counted
        assert await at.spent() == [at.cost(is_old=True), 0]
        assert await faults(at.billing) == []
    while at.leases:
        await at.settle(1)
    await at.issue(OCTOBER, NOVEMBER_2)
    at.now = NOVEMBER_5
    paid = sum(await used(at.billing), Decimal(0))
    called = COIN * sum(at.model.called)
    is_ample = at.model.grants[-1].coins == AMPLE
    if is_ample:
        assert paid == at.cost(is_old=True) + called
    # From here on `reported` is taken for November's document, of grants that are not followed one by one.
    at.model = Model([Given(AMPLE**2, is_over=False)])
    for step in later:
        await at.do(step)
        if is_ample:
            assert sum(await used(at.billing), Decimal(0)) == paid + COIN * at.model.reported[0]
        assert await at.spent() == [at.cost(is_old=True), at.cost(is_old=False)]
        assert await faults(at.billing) == []
    await at.issue(NOVEMBER, DECEMBER_2)
    books, cost = await ledger(at.billing), at.cost(is_old=True) + at.cost(is_old=False) + called
    assert -books.get("earnings:address", Decimal(0)) == cost
    if is_ample:
        assert "receivable" not in books
        assert books["bank"] + books.get("prepaid", 0) == cost
    await all_agree(at.billing)


@asynccontextmanager
async def _installed(server: DatabaseServer, grants: list[Given]) -> AsyncIterator[Installation]:
    database = await server.create()
    admin = await asyncpg.connect(**database.admin())
    everyone = {"ordergate.account": "*"}
    try:
        async with (
            asyncpg.create_pool(**database.as_role(BILLING, everyone), min_size=1, max_size=2) as billing,
            asyncpg.create_pool(**database.as_role(GATEWAY), min_size=1, max_size=1) as gateway,
        ):
            await add_account(admin, "acct_a", "external", profile=PROFILE)
            await add_price(admin, "price")
            for place, one in enumerate(grants):
                until = OCTOBER_20 if one.is_over else None
                await give(billing, str(one.coins * COIN), priority=place, valid_until=until)
            await admin.execute(
                "INSERT INTO billing.budget (id, account_id, environment, scope, scope_id, amount, hard, thresholds_pct, "
                "changed_at, changed_by) VALUES ('b', 'acct_a', 'live', 'account', 'acct_a', 5, true, '{}', now(), 'test')"
            )
            await admin.execute(
                "INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used) VALUES "
                "('acct_a', 'live', 'budget', 'b', '2026-10-01', 0), ('acct_a', 'live', 'budget', 'b', '2026-11-01', 0)"
            )
            yield Installation(admin, billing, gateway, Model(grants))
    finally:
        await admin.close()
        await server.drop(database)


def test_what_is_left_is_what_a_model_that_moves_coins_says(database_server: DatabaseServer) -> None:
    async def check(grants: list[Given], steps: list[Step], later: list[Step]) -> None:
        async with _installed(database_server, grants) as at:
            await _check(at, steps, later)

    with asyncio.Runner() as runner:

        @settings(
            max_examples=150 if is_torture() else 10,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(GRANTS, st.booleans(), STEPS, STEPS)
        def property_holds(grants: list[Given], is_ample: bool, steps: list[Step], later: list[Step]) -> None:
            last = [Given(AMPLE, is_over=False)] * is_ample
            runner.run(check([*grants, *last], steps, later))

        property_holds()

"""Leases against a slow oracle: whatever workers do, and whenever they die, a limit is kept and in the end used up.

Three workers with journals of their own, real PostgreSQL, the product's own shipping and settling. The oracle is a list of
the calls that are on record, which is all that a caller could ever be charged for, and of what was reported: that is taken
whatever is left, and calls stop for it.
"""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, cast

import asyncpg
import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing.flow import Flow
from billing.journal import Journal
from billing.store.partitions import ensure_days
from catalog.accounts.account import find_account
from catalog.usage_event import USAGE_EVENT_KIND, UsageEvent, encode_record
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import Problem
from deploy.roles import BILLING, GATEWAY
from gateway.directory import AllowancesRecord
from gateway.proofs import Permit
from gateway.stores.hold import LeaseHold
from gateway.stores.leases import LeaseStore
from tests.allowances import grant
from tests.databases import DatabaseServer
from tests.fakes.journal_disk import is_torture, memory_directory
from tests.reported_usage import accepted, corrected, report
from tests.usage_books import add_account, call
from tests.usage_calls import usage_event

START = datetime(2026, 11, 10, 12, tzinfo=UTC)
WORKERS = 3
LIMIT = Decimal("1.00")
_SEGMENT_BYTES = 128 * 1024

Ending = Literal[
    "ok",
    "cheaper",
    "failed",
    "refused",
    "unknown-recorded",
    "unknown-lost",
    "hangs",
    "cancelled",
    "cancelled-recorded",
]
WORKER = st.integers(0, WORKERS - 1)
CHARGE = st.sampled_from([Decimal(one) for one in ("0.01", "0.055", "0.09", "0.30")])
# So cheap that like calls are set aside of their leases together.
CHEAP = st.sampled_from([Decimal(one) for one in ("0.005", "0.01")])
ENDING = st.sampled_from(
    [
        *("ok", "ok", "ok", "cheaper", "failed", "refused", "unknown-recorded", "unknown-lost"),
        *("hangs", "cancelled", "cancelled-recorded"),
    ]
)
_LAST = Decimal("0.005")


class Worker:
    """A gateway worker as far as leases go: its journal and its store, and the calls that hang in it."""

    def __init__(self, journal: Journal, store: LeaseStore) -> None:
        self.journal = journal
        self.store = store
        self.hanging: list[tuple[LeaseHold, Decimal]] = []


class LeaseMachine(RuleBasedStateMachine):
    """One prepaid account of two grants, used up by calls of every ending on three workers."""

    runner: ClassVar[asyncio.Runner]
    pool: ClassVar[asyncpg.Pool]
    billing: ClassVar[asyncpg.Pool]
    admin: ClassVar[asyncpg.Connection]
    database: ClassVar[Any]
    folder: ClassVar[Path]

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        self.run(self._open())

    async def _open(self) -> None:
        self.clock = ManualClock(START)
        self.account_id = new_id("acct")
        await add_account(self.admin, self.account_id)
        await self.admin.execute(
            "UPDATE billing.lease SET state = 'closed', closed_at = now() WHERE state <> 'closed'"
        )
        account = await find_account(self.admin, self.account_id)
        for amount, priority in (("0.37", 1), ("0.63", 2)):
            await grant(self.database, account, amount, START, priority=priority)
        self.root = self.folder / self.account_id
        self.recorded: list[Decimal] = []
        self.reported = Decimal(0)
        self.last_report: tuple[UsageEvent, Decimal] | None = None
        self.workers = [await self._worker(self.root / f"worker-{number}") for number in range(WORKERS)]
        self.flow = Flow(self.billing, self.root, None, self.clock)
        caller = SimpleNamespace(
            key_id="key",
            account_id=self.account_id,
            application_id="app",
            environment="live",
            cost_centre_id="",
            currency="CNY",
            timezone="Asia/Shanghai",
            allowances=AllowancesRecord(frozenset({"live"}), ()),
        )
        operation = SimpleNamespace(id="address/validate", service="address", quotas=())
        self.permit = cast("Permit", SimpleNamespace(caller=caller, operation=operation))

    async def _worker(self, directory: Path) -> Worker:
        journal = await Journal.open(
            directory, clock=self.clock, segment_bytes=_SEGMENT_BYTES, reserve_bytes=0
        )
        store = LeaseStore(self.pool, journal.journal_id, self.clock, sleep=self._others_go_on)
        await store.start()
        return Worker(journal, store)

    async def _others_go_on(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for worker in self.workers:
            await worker.store.turn()

    async def _call(self, worker: Worker, charge: Decimal, ending: Ending) -> bool:
        now_ns = self.clock.now_ns()
        hold = worker.store.hold(self.permit, now_ns, self.clock.monotonic_ns())
        assert hold is not None
        try:
            if not hold.reserve(charge):
                await hold.acquire()
        except Problem as refused:
            assert refused.type.name == "credit-exhausted"
            return False
        match ending:
            case "refused":
                hold.void()
            case "hangs":
                worker.hanging.append((hold, charge))
            case "cancelled":
                pass
            case "unknown-lost":
                hold.capture(True, charge)
                hold.doubt()
            case _:
                await self._record(worker, hold, charge, ending)
        return True

    async def _record(self, worker: Worker, hold: LeaseHold, charge: Decimal, ending: Ending) -> None:
        cost = {"cheaper": Decimal("0.005"), "failed": Decimal(0)}.get(ending, charge)
        taken = hold.capture(ending != "failed", cost)
        event = usage_event(
            from_ns(self.clock.now_ns()), account_id=self.account_id, payer=self.account_id, taken=taken
        )
        await worker.journal.append(USAGE_EVENT_KIND, encode_record(event))
        self.recorded.append(cost)
        if ending == "cancelled-recorded":
            return
        if ending == "unknown-recorded":
            hold.doubt()
        else:
            hold.confirm()

    @rule(number=WORKER, charge=CHEAP, endings=st.lists(ENDING, min_size=3, max_size=8))
    def like_calls_in_a_row(self, number: int, charge: Decimal, endings: list[Ending]) -> None:
        self.run(self._calls(self.workers[number], charge, endings))

    async def _calls(self, worker: Worker, charge: Decimal, endings: list[Ending]) -> None:
        for ending in endings:
            await self._call(worker, charge, ending)

    @rule(number=WORKER, charge=CHARGE, ending=ENDING)
    def call(self, number: int, charge: Decimal, ending: Ending) -> None:
        self.run(self._call(self.workers[number], charge, ending))

    @rule(number=WORKER)
    def what_hung_goes_on(self, number: int) -> None:
        worker = self.workers[number]
        while worker.hanging:
            self.run(self._record(worker, *worker.hanging.pop(), "ok"))

    @rule(charge=CHARGE)
    def usage_is_reported(self, charge: Decimal) -> None:
        self.run(self._report(charge))

    async def _report(self, charge: Decimal) -> None:
        now = from_ns(self.clock.now_ns())
        event = call(self.account_id, now)
        one = msgspec.structs.replace(report(event), charge=charge)
        await accepted(self.pool, [one], now, self.account_id)
        self.last_report = event, charge
        self.reported += charge

    @rule(charge=CHARGE)
    def usage_is_corrected(self, charge: Decimal) -> None:
        """The event that was reported last is worth this now."""
        self.run(self._correct(charge))

    async def _correct(self, charge: Decimal) -> None:
        if self.last_report is not None:
            event, before = self.last_report
            units = "-1" if charge < before else "1"
            await corrected(self.pool, event, units, from_ns(self.clock.now_ns()), charge - before)
            self.last_report = event, charge
            self.reported += charge - before

    @rule(number=WORKER)
    def turn(self, number: int) -> None:
        self.run(self.workers[number].store.turn())

    @rule(seconds=st.sampled_from([0.5, 2, 31, 130]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(number=WORKER)
    def a_worker_dies_and_comes_back(self, number: int) -> None:
        self.run(self._die(number))

    async def _die(self, number: int) -> None:
        await self.workers[number].journal.close()
        self.workers[number] = await self._worker(self.root / f"worker-{number}")

    @rule()
    def the_flow_goes_on(self) -> None:
        self.run(self._flow())

    async def _flow(self) -> None:
        await self.flow.ship()
        await self.flow.settle_leases()

    @invariant()
    def never_above_the_limit(self) -> None:
        if not hasattr(self, "permit"):
            return
        used, leased = self.run(self._standing())
        assert sum(self.recorded) <= LIMIT
        assert sum(self.recorded) + self.reported <= used + leased <= LIMIT + self.reported

    async def _standing(self) -> tuple[Any, Any]:
        row = await self.admin.fetchrow(
            "SELECT sum(used), sum(leased) FROM billing.allowance WHERE account_id = $1", self.account_id
        )
        assert row is not None
        return row[0], row[1]

    def teardown(self) -> None:
        if hasattr(self, "permit"):
            self.run(self._end_quietly())

    async def _end_quietly(self) -> None:
        """Once nothing happens any more every cent can be had, and what is counted is what is on record."""
        for number in range(WORKERS):
            await self._die(number)
        for _ in range(3):
            await self._flow()
        whole = sum(self.recorded) + self.reported
        assert await self._standing() == (whole, 0)
        while await self._call(self.workers[0], _LAST, "ok"):
            pass
        assert sum(self.recorded) + self.reported == max(whole, LIMIT)
        self.flow.close()
        for worker in self.workers:
            await worker.store.stop()
            await worker.journal.close()


def test_leases_keep_the_limit_and_give_all_of_it(database_server: DatabaseServer) -> None:
    with asyncio.Runner() as runner, memory_directory() as folder:
        LeaseMachine.runner, LeaseMachine.folder = runner, folder
        LeaseMachine.database = database = runner.run(database_server.create())
        LeaseMachine.admin = runner.run(asyncpg.connect(**database.admin()))

        async def pools() -> None:
            everyone = {"ordergate.account": "*"}
            LeaseMachine.pool = await asyncpg.create_pool(**database.as_role(GATEWAY), min_size=1, max_size=2)
            LeaseMachine.billing = await asyncpg.create_pool(
                **database.as_role(BILLING, everyone), min_size=1, max_size=2
            )
            async with LeaseMachine.billing.acquire() as connection:
                await ensure_days(connection, {START.date()})

        runner.run(pools())
        try:
            run_state_machine_as_test(
                LeaseMachine,
                settings=settings(
                    max_examples=300 if is_torture() else 12,
                    stateful_step_count=50 if is_torture() else 25,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            runner.run(LeaseMachine.admin.close())
            runner.run(LeaseMachine.pool.close())
            runner.run(LeaseMachine.billing.close())
            runner.run(database_server.drop(database))

"""However transactions interleave, the hourly sums are what the committed usage rows add up to."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.record import record
from billing.rollup.recompute import differences, recompute
from billing.rollup.roll_up import roll_up
from billing.store.partitions import ensure_days
from billing.store.usage_row import partition_day
from billing.transaction import all_accounts
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import from_ns
from deploy.database import Database
from deploy.roles import BILLING
from tests.usage_calls import add_account, usage_event

# Offsets of a half and of three quarters of an hour, and clocks that move by an hour and by half an hour.
_ZONES = (
    "UTC",
    "Asia/Shanghai",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Europe/London",
    "Pacific/Chatham",
)
# Around the changes of those clocks, and around the ends of a month and a year.
_MOMENTS = tuple(
    datetime.fromisoformat(moment).replace(tzinfo=UTC)
    for moment in (
        "2026-03-29T01:00",
        "2026-04-04T14:00",
        "2026-04-04T15:00",
        "2026-10-03T15:30",
        "2026-10-25T01:00",
        "2026-11-01T04:30",
        "2026-11-30T18:15",
        "2026-12-31T16:00",
    )
)
_SESSIONS = 3

_events = st.builds(
    usage_event,
    st.builds(
        lambda moment, microseconds: moment + timedelta(microseconds=microseconds),
        st.sampled_from(_MOMENTS),
        st.integers(-7_200_000_000, 7_200_000_000),
    ),
    account_id=st.sampled_from(_ZONES),
    environment=st.sampled_from(["live", "test"]),
    operation=st.sampled_from(["address/validate", "stock/reserve"]),
    class_=st.sampled_from(["ok", "declined"]),
    billable=st.booleans(),
    units=st.decimals(0, 10**6, places=3).map(str),
    latency_us=st.integers(0, 2**62),
)
# An event stored in one session's open transaction; that transaction's end, either way; or a roll-up of so many rows.
_steps = st.lists(
    st.one_of(
        st.tuples(st.integers(0, _SESSIONS - 1), _events),
        st.tuples(st.integers(0, _SESSIONS - 1), st.sampled_from(["commit", "rollback"])),
        st.tuples(st.just("roll-up"), st.integers(1, 5)),
    ),
    min_size=12,
    max_size=40,
)

Key = tuple[str, str, datetime, datetime, str, str]
Sums = tuple[int, int, Decimal, int]


class _World:
    """A pool, one open transaction a session, and a model of what is committed."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._open: dict[int, tuple[asyncpg.pool.PoolConnectionProxy, asyncpg.transaction.Transaction]] = {}
        self._stored: dict[int, list[UsageEvent]] = {}
        self.committed: list[UsageEvent] = []

    async def store(self, session: int, event: UsageEvent) -> None:
        if session not in self._open:
            connection = await self._pool.acquire()
            transaction = connection.transaction()
            await transaction.start()
            self._open[session] = connection, transaction
            self._stored[session] = []
        await record(self._open[session][0], event)
        self._stored[session].append(event)

    async def end(self, session: int, how: str) -> None:
        if session not in self._open:
            return
        connection, transaction = self._open.pop(session)
        stored = self._stored.pop(session)
        if how == "commit":
            await transaction.commit()
            self.committed += stored
        else:
            await transaction.rollback()
        await self._pool.release(connection)

    async def end_all(self) -> None:
        for session in list(self._open):
            await self.end(session, "commit")

    async def roll_up(self, events_max: int) -> int:
        async with all_accounts(self._pool) as connection:
            return (await roll_up(connection, events_max=events_max)).events


def _expected(events: list[UsageEvent]) -> dict[Key, Sums]:
    """The sums by Python's own calendar."""
    sums: dict[Key, Sums] = {}
    for event in events:
        moment = from_ns(event.occurred_at_ns)
        local = moment.astimezone(ZoneInfo(event.payer))
        hour = moment - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        month = datetime(local.year, local.month, 1, tzinfo=UTC)
        key = (event.payer, event.environment, month, hour, event.operation, event.class_)
        calls, billable, units, latency_us = sums.get(key, (0, 0, Decimal(0), 0))
        sums[key] = (
            calls + 1,
            billable + event.billable,
            units + event.quantity,
            latency_us + event.latency_us,
        )
    return sums


async def _assert_sums(pool: asyncpg.Pool, events: list[UsageEvent]) -> None:
    rows = await pool.fetch(
        "SELECT account_id, environment, period::timestamp AT TIME ZONE 'UTC', hour, operation, class, "
        "calls, billable_calls, units, latency_us_sum FROM billing.usage_hour"
    )
    assert {tuple(row)[:6]: tuple(row)[6:] for row in rows} == _expected(events)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        await recompute(connection)
        assert await differences(connection) == []
    marked = await pool.fetch("SELECT account_id, environment, period FROM billing.unrated")
    assert Counter(tuple(row) for row in marked) == Counter(
        {(account, environment, month.date()) for account, environment, month, *_ in _expected(events)}
    )


async def _play(database: Database, steps: list[tuple[object, object]]) -> None:
    arguments = database.as_role(BILLING, {"ordergate.account": "*"})
    async with asyncpg.create_pool(**arguments, min_size=1, max_size=_SESSIONS + 2) as pool:
        world = _World(pool)
        for who, what in steps:
            if isinstance(what, UsageEvent):
                assert isinstance(who, int)
                await world.store(who, what)
            elif isinstance(what, int):
                await world.roll_up(what)
            else:
                assert isinstance(who, int)
                await world.end(who, str(what))
        await world.end_all()
        while await world.roll_up(2):
            pass
        await _assert_sums(pool, world.committed)


async def _prepare(database: Database) -> None:
    connection = await asyncpg.connect(**database.admin())
    for zone in _ZONES:
        await add_account(connection, zone, zone)
    days = {
        partition_day(usage_event(moment + timedelta(hours=hours)).uuid)
        for moment in _MOMENTS
        for hours in (-3, 3)
    }
    await ensure_days(connection, days)
    await connection.close()


async def _empty(database: Database) -> None:
    connection = await asyncpg.connect(**database.admin())
    await connection.execute(
        "DELETE FROM billing.usage_event; DELETE FROM billing.usage_hour; DELETE FROM billing.unrated; "
        "DELETE FROM billing.service_interval; DELETE FROM billing.latency_day"
    )
    await connection.close()


@pytest.fixture
def runner(database: Database) -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        runner.run(_prepare(database))
        yield runner


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_sums_equal_the_committed_rows_whatever_commits_late(
    database: Database, runner: asyncio.Runner, steps: list[tuple[object, object]]
) -> None:
    runner.run(_empty(database))
    runner.run(_play(database, steps))

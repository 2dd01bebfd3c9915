"""Usage rows become hourly sums on the payer's own clock, each row once, whenever its transaction commits."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from billing.record import record
from billing.rollup.recompute import differences, recompute
from billing.rollup.restore import after_restore
from billing.rollup.roll_up import RolledUp, UnknownPayer, roll_up
from billing.store.partitions import ensure_days
from billing.store.usage_row import partition_day
from billing.transaction import all_accounts
from catalog.usage_event import UsageEvent
from deploy.database import Database
from deploy.roles import OWNER
from tests.usage_calls import NOON, add_account, usage_event


async def _record(pool: asyncpg.Pool, *events: UsageEvent) -> None:
    async with all_accounts(pool) as connection:
        await ensure_days(connection, {partition_day(event.uuid) for event in events})
        for event in events:
            await record(connection, event)


async def _roll_up(pool: asyncpg.Pool, events_max: int = 50_000) -> RolledUp:
    async with all_accounts(pool) as connection:
        return await roll_up(connection, events_max=events_max)


async def _calls(connection: asyncpg.Connection) -> int:
    calls: int = await connection.fetchval("SELECT coalesce(sum(calls), 0)::bigint FROM billing.usage_hour")
    return calls


@pytest.mark.parametrize(
    ("timezone", "moment", "hour", "period"),
    [
        ("UTC", "2026-11-21T12:59:59.999999", "2026-11-21T12:00", "2026-11"),
        ("Asia/Shanghai", "2026-11-30T15:59:59.999999", "2026-11-30T15:00", "2026-11"),
        ("Asia/Shanghai", "2026-11-30T16:00", "2026-11-30T16:00", "2026-12"),
        ("Asia/Kolkata", "2026-11-30T18:29:59.999999", "2026-11-30T17:30", "2026-11"),
        ("Asia/Kolkata", "2026-11-30T18:30", "2026-11-30T18:30", "2026-12"),
        ("Asia/Kathmandu", "2026-11-21T12:14", "2026-11-21T11:15", "2026-11"),
        ("Asia/Kathmandu", "2026-11-30T18:15", "2026-11-30T18:15", "2026-12"),
        # London, 25 October 2026: one o'clock comes twice and is two hours.
        ("Europe/London", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10"),
        ("Europe/London", "2026-10-25T01:30", "2026-10-25T01:00", "2026-10"),
        # Lord Howe Island goes back by half an hour, from 02:00 to 01:30, on 4 April 2026 at 15:00 UTC.
        ("Australia/Lord_Howe", "2026-04-04T14:59", "2026-04-04T14:00", "2026-04"),
        ("Australia/Lord_Howe", "2026-04-04T15:01", "2026-04-04T14:30", "2026-04"),
        ("America/St_Johns", "2026-11-01T02:29:59", "2026-11-01T01:30", "2026-10"),
        ("America/St_Johns", "2026-11-01T02:30", "2026-11-01T02:30", "2026-11"),
    ],
)
async def test_hour_and_month_are_those_of_the_payers_clock(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection, timezone: str, moment: str, hour: str, period: str
) -> None:
    await add_account(admin, "acct_a", timezone)
    await _record(billing_pool, usage_event(datetime.fromisoformat(moment).replace(tzinfo=UTC)))

    await _roll_up(billing_pool)

    row = await admin.fetchrow("SELECT hour, period FROM billing.usage_hour")
    assert row is not None
    assert row["hour"] == datetime.fromisoformat(hour).replace(tzinfo=UTC)
    assert row["period"] == date.fromisoformat(f"{period}-01")


async def test_calls_units_and_latency_are_added_up_by_key_and_batch_after_batch(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await add_account(admin)
    free = usage_event(billable=False, class_="declined", outcome="business_refusal", units="0")
    await _record(billing_pool, usage_event(units="1.5"), usage_event(units="2"), free)
    assert await _roll_up(billing_pool) == RolledUp(3, more=False)
    await _record(billing_pool, usage_event(NOON + timedelta(minutes=59), units="0.25", latency_us=2**50))
    assert await _roll_up(billing_pool) == RolledUp(1, more=False)
    assert await _roll_up(billing_pool) == RolledUp(0, more=False)

    rows = await admin.fetch(
        "SELECT class, calls, billable_calls, units, latency_us_sum FROM billing.usage_hour ORDER BY class"
    )
    assert [tuple(row) for row in rows] == [
        ("declined", 1, 0, Decimal(0), 1_500),
        ("ok", 3, 3, Decimal("3.75"), 3_000 + 2**50),
    ]


async def test_usage_is_summed_for_who_pays_not_for_who_called(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await add_account(admin, "acct_owner")
    await _record(billing_pool, usage_event(account_id="acct_caller", payer="acct_owner"))

    await _roll_up(billing_pool)

    assert await admin.fetchval("SELECT account_id FROM billing.usage_hour") == "acct_owner"


async def test_every_month_that_moved_is_marked_for_rating(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await add_account(admin)
    await _record(
        billing_pool, usage_event(), usage_event(environment="test"), usage_event(NOON - timedelta(days=60))
    )
    await _roll_up(billing_pool)
    marks = await admin.fetch("SELECT environment, period FROM billing.unrated ORDER BY 1, 2")
    assert [tuple(mark) for mark in marks] == [
        ("live", date(2026, 9, 1)),
        ("live", date(2026, 11, 1)),
        ("test", date(2026, 11, 1)),
    ]

    await admin.execute("DELETE FROM billing.unrated")
    await _record(billing_pool, usage_event())
    await _roll_up(billing_pool)
    assert await admin.fetchval("SELECT period FROM billing.unrated") == date(2026, 11, 1)


async def test_a_row_whose_transaction_commits_after_later_ones_is_not_passed_by(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await add_account(admin)
    await _record(billing_pool, usage_event())
    async with all_accounts(billing_pool) as slow:
        await record(slow, usage_event())
        await _record(billing_pool, usage_event())
        assert await _roll_up(billing_pool) == RolledUp(1, more=False)
    assert await _roll_up(billing_pool) == RolledUp(2, more=False)

    assert await _calls(admin) == 3


async def test_a_rater_that_takes_the_mark_meanwhile_waits_for_the_sums_it_stands_for(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await add_account(admin)
    await _record(billing_pool, usage_event())
    await _roll_up(billing_pool)
    await _record(billing_pool, usage_event())
    async with all_accounts(billing_pool) as connection:
        await roll_up(connection)
        await admin.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await admin.execute("DELETE FROM billing.unrated")
    assert await admin.execute("DELETE FROM billing.unrated") == "DELETE 1"


async def test_a_backlog_is_taken_in_batches_that_never_divide_a_transaction(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await add_account(admin)
    for size in (3, 1, 1, 7):
        await _record(billing_pool, *(usage_event() for _ in range(size)))

    batches = [await _roll_up(billing_pool, events_max=2)]
    while batches[-1].more:
        batches.append(await _roll_up(billing_pool, events_max=2))

    assert batches == [RolledUp(3, True), RolledUp(2, True), RolledUp(7, True), RolledUp(0, False)]
    assert await _calls(admin) == 12


async def test_of_two_that_roll_up_the_same_rows_one_adds_them(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await add_account(admin)
    await _record(billing_pool, usage_event())
    async with all_accounts(billing_pool) as first:
        assert await roll_up(first) == RolledUp(1, more=False)
        second = asyncio.create_task(_roll_up(billing_pool))
        while not await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
    assert await second == RolledUp(0, more=True)

    assert await _roll_up(billing_pool) == RolledUp(0, more=False)
    assert await _calls(admin) == 1


async def test_usage_of_an_unknown_payer_is_an_alarm_and_moves_nothing(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await _record(billing_pool, usage_event(payer="acct_nobody"))
    with pytest.raises(UnknownPayer, match="acct_nobody"):
        await _roll_up(billing_pool)
    await add_account(admin, "acct_nobody")
    assert (await _roll_up(billing_pool)).events == 1


async def test_recomputing_names_each_hour_that_differs(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await add_account(admin)
    await _record(
        billing_pool,
        usage_event(),
        usage_event(NOON + timedelta(hours=1)),
        usage_event(NOON - timedelta(hours=1)),
    )
    await _roll_up(billing_pool)
    await _record(billing_pool, usage_event())  # not rolled up yet: no difference
    await admin.execute("UPDATE billing.usage_hour SET units = units + 1 WHERE hour = $1", NOON)
    await admin.execute("DELETE FROM billing.usage_hour WHERE hour > $1", NOON)
    await admin.execute(
        "UPDATE billing.usage_hour SET hour = $1 WHERE hour < $2", NOON - timedelta(hours=5), NOON
    )

    async with billing_pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        await recompute(connection)
        found = await differences(connection)

    assert [(found_.key["hour"], found_.stored is None, found_.recomputed is None) for found_ in found] == [
        (NOON - timedelta(hours=5), False, True),
        (NOON - timedelta(hours=1), True, False),
        (NOON, False, False),
        (NOON + timedelta(hours=1), True, False),
    ]
    both = found[2]
    assert both.stored is not None
    assert both.recomputed is not None
    assert (both.stored["units"], both.recomputed["units"]) == (2, 1)


@pytest.mark.parametrize("other_servers_xids", [-100, 10**12])
async def test_after_a_restore_nothing_is_added_twice_and_nothing_is_left_out(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection, database: Database, other_servers_xids: int
) -> None:
    await add_account(admin)
    await _record(billing_pool, usage_event())
    await _roll_up(billing_pool)
    await _record(billing_pool, usage_event(), usage_event())
    await admin.execute(
        "UPDATE billing.usage_event SET stored_xid = (stored_xid::text::bigint + $1)::text::xid8",
        other_servers_xids,
    )
    await admin.execute(
        "UPDATE billing.watermark SET xid = (xid::text::bigint + $1)::text::xid8", other_servers_xids
    )

    owner = await asyncpg.connect(**database.as_role(OWNER, {"ordergate.account": "*"}))
    async with owner.transaction():
        await after_restore(owner)
    await owner.close()
    await _record(billing_pool, usage_event())
    while (await _roll_up(billing_pool)).events:
        pass

    assert await _calls(admin) == 4

"""A capacity that holds for a part of the month: whose usage judges it, and how many days it costs."""

from datetime import UTC, date, datetime
from decimal import Decimal

import asyncpg

from billing.invoice.rate_pending import rate_pending
from billing.rebuild import verify
from billing.store.amend import Amendment, amend
from billing.transaction import all_accounts
from catalog.plan.price import CAPACITY_UNITS
from tests.capacity_books import CLOSED, LONG_AGO, add_version, amounts, calls, closed, tiers
from tests.usage_books import add_account, use


async def test_a_price_that_changes_is_judged_by_what_was_used_under_it_and_counts_by_days(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    bounds = ({"calls_per_day": "5"}, {"calls_per_day": "10"})
    await add_version(admin, 1, LONG_AGO, tiers(*bounds))
    await add_version(admin, 2, date(2026, 10, 22), tiers(*bounds, fees=("31.00", "93.00", "620.00")))
    await use(billing_pool, calls(datetime(2026, 10, 5, tzinfo=UTC), 6))
    await use(billing_pool, calls(datetime(2026, 10, 25, tzinfo=UTC), 11, "v2"))
    # 21 days of 62.00, 10 days of 620.00: a day at the end of the month makes none before the change dearer.
    assert amounts(await closed(billing_pool)) == [("v1", "42.00"), ("v2", "200.00")]


async def test_days_of_a_used_month_in_which_nothing_was_used_cost_the_lowest_tier(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_version(admin, 1, LONG_AGO, tiers({"calls_per_day": "5"}))
    await add_version(admin, 2, date(2026, 10, 22), tiers({"calls_per_day": "5"}, fees=("62.00", "93.00")))
    await use(billing_pool, calls(datetime(2026, 10, 5, tzinfo=UTC), 6))
    assert amounts(await closed(billing_pool)) == [("v1", "42.00"), ("v2", "20.00")]


async def test_what_was_used_of_the_month_stays_used_when_its_price_changes(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_version(admin, 1, LONG_AGO, {"unit_price": "1"}, model="per_unit")
    await add_version(admin, 2, date(2026, 10, 22), tiers({"calls": "5"}, fees=("31.00", "62.00")))
    await add_version(admin, 3, date(2026, 10, 27), {"unit_price": "1", "free_units": "20"}, model="per_unit")
    for version, day, count in ((1, 5, 4), (2, 25, 2), (3, 28, 15)):
        await use(billing_pool, calls(datetime(2026, 10, day, tzinfo=UTC), count, f"v{version}"))
    # Six calls by the end of the second version's days; one of the last fifteen is the month's 21st.
    assert amounts(await closed(billing_pool)) == [("v1", "4.00"), ("v2", "10.00"), ("v3", "1.00")]


async def test_results_that_were_accepted_before_the_price_became_a_capacity_are_no_units_of_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_version(admin, 1, LONG_AGO, {"rate_pct": "0"}, model="outcome")
    await add_version(
        admin, 2, date(2026, 10, 22), tiers({"calls": "2", "units": "5"}, fees=("31.00", "62.00"))
    )
    proven, *others = calls(datetime(2026, 10, 5, tzinfo=UTC), 3, billable=False, units="0")
    await use(billing_pool, [proven, *others])
    async with all_accounts(billing_pool) as connection:
        await amend(connection, [Amendment(proven.uuid, Decimal(1000))])
    await use(billing_pool, calls(datetime(2026, 10, 25, tzinfo=UTC), 2, "v2", units="2"))
    await rate_pending(billing_pool, CLOSED)
    due = "SELECT sum(amount) FROM billing.rated_line WHERE price_version = 'v2'"
    assert await admin.fetchval(due) == Decimal("10.00")


async def test_a_change_that_changes_nothing_changes_nothing(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    for unit in CAPACITY_UNITS:
        await add_account(admin, unit)
        price = tiers({unit: "1"}, {unit: "5"})
        await add_version(admin, 1, LONG_AGO, price, plan=unit)
        # Scheduled, and taken back before its day: it never held.
        await add_version(admin, 2, date(2026, 10, 20), {"unit_price": "1"}, "per_unit", unit)
        taken_back = datetime(2026, 10, 12, tzinfo=UTC)
        await add_version(admin, 3, date(2026, 10, 22), price, plan=unit, supersedes_after=taken_back)
        await use(billing_pool, calls(datetime(2026, 10, 5, tzinfo=UTC), 6, f"{unit}1", unit))
        await use(billing_pool, calls(datetime(2026, 10, 25, tzinfo=UTC), 1, f"{unit}3", unit))
    await rate_pending(billing_pool, CLOSED)
    rows = await admin.fetch("SELECT price_version, sum(amount) AS due FROM billing.rated_line GROUP BY 1")
    # 21 and 10 days of 310.00.
    expected = {f"{unit}{version}": due for unit in CAPACITY_UNITS for version, due in ((1, 210), (3, 100))}
    assert {row["price_version"]: row["due"] for row in rows} == expected
    assert await verify(billing_pool, ()) == []


async def test_a_subscription_that_begins_within_the_month_pays_for_its_days(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at) "
        "VALUES ('sub_acct_a', 'acct_a', 'address', 'v', $1)",
        datetime(2026, 10, 21, 17, tzinfo=UTC),
    )
    await add_version(admin, 1, LONG_AGO, tiers({"calls": "5"}))
    await use(billing_pool, calls(datetime(2026, 10, 25, tzinfo=UTC), 6))
    # Since the 22nd in Shanghai: ten days of 62.00; the bounds are the month's.
    assert amounts(await closed(billing_pool)) == [("v1", "20.00")]

"""Billing accidents that others told of, on this product. Those that other files hold are listed in billing/invoice/README.md."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg

from billing.desk import close
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.usage_books import add_account, add_price, call, use

OCTOBER = Period(2026, 10)
OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
CLOSED = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))


async def test_a_plan_that_cannot_be_rated_neither_stops_the_others_nor_bills_them_again_each_run(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """Hologram, August 2018: one broken plan failed the batch after deducting, and every run deducted again."""
    accounts = [f"acct_{number:02}" for number in range(30)]
    for account in accounts:
        await add_account(admin, account)
    await add_price(admin, "price")
    await add_price(admin, "broken", model="capacity", price={"tiers": [{"max": None, "price": "10"}]})
    await use(
        billing_pool,
        [call(one, OCTOBER_5, price_version="broken" if one == "acct_07" else "price") for one in accounts],
    )
    for _ in range(3):
        report = await close(billing_pool, OCTOBER, CLOSED)
        assert [one.account_id for one in report.left_draft] == ["acct_07"]
    rows = await admin.fetch(
        "SELECT account_id, sum(amount) AS due FROM billing.posting GROUP BY 1 HAVING sum(amount) > 0"
    )
    assert {row["account_id"]: row["due"] for row in rows} == {
        one: Decimal("0.06") for one in accounts if one != "acct_07"
    }


async def test_months_east_and_west_of_utc_sum_to_every_call_that_was_made(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """A nightly cursor in UTC over local days lost seven hours a day for months."""
    zones = {"acct_east": "Asia/Jakarta", "acct_west": "Pacific/Pago_Pago"}
    await add_price(admin, "price", price={"unit_price": "1"})
    start = datetime(2026, 9, 30, tzinfo=UTC)
    for account, zone in zones.items():
        await add_account(admin, account, timezone=zone)
        await use(billing_pool, [call(account, start + timedelta(hours=hour)) for hour in range(24 * 34)])
    for period in (Period(2026, 9), OCTOBER, Period(2026, 11)):
        await close(billing_pool, period, ManualClock(datetime(2026, 12, 2, tzinfo=UTC)))
    for account, zone in zones.items():
        rows = await admin.fetch(
            "SELECT period, total FROM billing.invoice WHERE account_id = $1 ORDER BY period", account
        )
        assert sum(row["total"] for row in rows) == 24 * 34
        first, end = OCTOBER.bounds(zone)
        assert next(row["total"] for row in rows if row["period"] == OCTOBER.first_day) == (
            end - first
        ) // timedelta(hours=1)

"""Rolled-up usage becomes rated lines, exactly once, whoever rates and whenever."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import msgspec
import pytest

from billing.invoice.close import close
from billing.invoice.month import Month, lock_books
from billing.invoice.rate_pending import rate_pending
from billing.rebuild import verify
from billing.rollup.roll_up import roll_up
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.usage_books import GRADUATED, UNRATABLE, add_account, add_price, call, store, use

OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
OCTOBER = Period(2026, 10)
CLOCK = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))


async def _lines(admin: asyncpg.Connection, columns: str) -> Sequence[tuple[object, ...]]:
    rows = await admin.fetch(f"SELECT {columns} FROM billing.rated_line ORDER BY id")  # noqa: S608
    return [tuple(row) for row in rows]


async def test_each_rating_adds_the_difference_and_the_lines_sum_to_one_rating(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price", model="graduated", price=GRADUATED)
    for calls in (7, 7, 20):
        await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(calls)])
        assert (await rate_pending(billing_pool, CLOCK)).lines == 1
    # 10 x 0.055 + 15 x 0.033 + 0.50 + 9 x 0.0271 = 1.7889, rounded once
    assert await _lines(admin, "step, calls_before, calls_after, amount, amount_after, precise_after") == [
        (1, 0, 7, Decimal("0.39"), Decimal("0.39"), Decimal("0.385")),
        (2, 7, 14, Decimal("0.79"), Decimal("1.18"), Decimal("1.182")),
        (3, 14, 34, Decimal("0.61"), Decimal("1.79"), Decimal("1.7889")),
    ]


async def test_rating_twice_changes_nothing(admin: asyncpg.Connection, billing_pool: asyncpg.Pool) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    first = await rate_pending(billing_pool, CLOCK)
    assert (first.months, first.lines, first.more) == (1, 1, False)
    await admin.execute("INSERT INTO billing.unrated VALUES ('acct_a', 'live', '2026-10-01')")
    second = await rate_pending(billing_pool, CLOCK)
    assert (second.months, second.lines) == (1, 0)
    assert await admin.fetchval("SELECT count(*) FROM billing.ledger_transaction") == 1
    assert await admin.fetchval("SELECT count(*) FROM billing.unrated") == 0


async def test_unbillable_and_unpriced_calls_are_counted_at_nothing(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(
        billing_pool,
        [
            call("acct_a", OCTOBER_5),
            call("acct_a", OCTOBER_5, class_="declined"),
            call("acct_a", OCTOBER_5, class_="provider_error"),
            call("acct_a", OCTOBER_5, operation="address/parse", price_version=""),
        ],
    )
    await rate_pending(billing_pool, CLOCK)
    assert await _lines(admin, "operation, calls_after, units_after, amount") == [
        ("address/parse", 1, Decimal(0), Decimal(0)),
        ("address/validate", 3, Decimal(1), Decimal("0.06")),
    ]
    assert await admin.fetchval("SELECT count(*) FROM billing.ledger_transaction") == 1


async def test_live_and_test_usage_are_rated_in_books_of_their_own_at_full_price(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(
        billing_pool,
        [call("acct_a", OCTOBER_5), *(call("acct_a", OCTOBER_5, environment="test") for _ in range(2))],
    )
    await rate_pending(billing_pool, CLOCK)
    assert await _lines(admin, "environment, calls_after, amount") == [
        ("live", 1, Decimal("0.06")),
        ("test", 2, Decimal("0.11")),
    ]


async def test_each_price_version_is_a_line_of_its_own_and_goes_on_in_the_months_tiers(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "first", model="graduated", price=GRADUATED)
    await add_price(admin, "second", model="graduated", price=GRADUATED)
    versions = ["first"] * 11 + ["second"] * 11
    await use(billing_pool, [call("acct_a", OCTOBER_5, price_version=version) for version in versions])
    await rate_pending(billing_pool, CLOCK)
    assert await _lines(admin, "price_version, calls_after, precise_after") == [
        ("first", 11, Decimal("1.083")),
        ("second", 11, Decimal("0.363")),
    ]


async def test_a_line_says_what_each_application_and_cost_centre_used(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(
        billing_pool,
        [
            call("acct_a", OCTOBER_5, application_id="app_x", units="2"),
            call("acct_a", OCTOBER_5, application_id="app_y", cost_centre_id="cc_y"),
            call("acct_a", OCTOBER_5, application_id="app_x"),
        ],
    )
    await rate_pending(billing_pool, CLOCK)
    ((split,),) = await _lines(admin, "split")
    assert isinstance(split, str)
    assert msgspec.json.decode(split) == [
        {"application_id": "app_x", "cost_centre_id": "cc_acct_a", "calls": 2, "units": "3"},
        {"application_id": "app_y", "cost_centre_id": "cc_y", "calls": 1, "units": "1"},
    ]


async def test_raters_at_the_same_time_share_the_work_and_never_double_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    accounts = [f"acct_{letter}" for letter in "abcdefgh"]
    for account in accounts:
        await add_account(admin, account)
    await add_price(admin, "price")
    for _ in range(3):
        await use(billing_pool, [call(account, OCTOBER_5) for account in accounts for _ in range(10)])
        reports = await asyncio.gather(*(rate_pending(billing_pool, CLOCK) for _ in range(4)))
        assert sum(report.lines for report in reports) == len(accounts)
    assert await _lines(admin, "account_id, step, calls_after") != []
    assert await admin.fetchval("SELECT sum(amount) FROM billing.rated_line") == Decimal("1.65") * len(
        accounts
    )


async def test_a_month_that_somebody_closes_is_passed_over_and_stays_marked(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    for account in ("acct_a", "acct_b"):
        await add_account(admin, account)
    await add_price(admin, "price")
    await use(billing_pool, [call(account, OCTOBER_5) for account in ("acct_a", "acct_b")])
    async with all_accounts(billing_pool) as closer:
        await lock_books(closer, "acct_a", "live")
        assert (await rate_pending(billing_pool, CLOCK)).months == 1
    assert await admin.fetchval("SELECT account_id FROM billing.unrated") == "acct_a"
    assert (await rate_pending(billing_pool, CLOCK)).months == 1


async def test_usage_that_is_rolled_up_while_a_month_is_rated_is_never_left_behind(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await store(billing_pool, [call("acct_a", OCTOBER_5)])
    async with all_accounts(billing_pool) as rolling:
        await roll_up(rolling)
        # The sums of the second call are not visible yet; its mark must not be taken without them.
        assert (await rate_pending(billing_pool, CLOCK)).months == 0
        closing = asyncio.create_task(close(billing_pool, OCTOBER, CLOCK))
        done, _ = await asyncio.wait([closing], timeout=0.2)
        assert not done
    assert [one.total for one in (await closing).issued] == [Decimal("0.11")]
    assert await admin.fetchval("SELECT count(*) FROM billing.unrated") == 0


async def test_a_price_that_calls_cannot_feed_keeps_nobody_else_waiting(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    for account in ("acct_a", "acct_b"):
        await add_account(admin, account)
    await add_price(admin, "price")
    await add_price(admin, "credits", **UNRATABLE)
    await use(billing_pool, [call("acct_a", OCTOBER_5, price_version="credits"), call("acct_b", OCTOBER_5)])
    report = await rate_pending(billing_pool, CLOCK)
    assert (report.months, report.lines) == (1, 1)
    ((month, reason),) = [(one.month, one.reason) for one in report.unratable]
    assert month == Month("acct_a", "live", OCTOBER)
    assert "uptime" in reason
    assert await admin.fetchval("SELECT account_id FROM billing.unrated") == "acct_a"


async def test_models_that_need_more_than_a_sum_are_fed_from_hours_calls_and_endings(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a", timezone="UTC")
    hourly = {"model": "package", "price": {"package_size": "10", "package_price": "1"}}
    await add_price(admin, "hourly", "stock/hourly", "bucketed", hourly)
    share = {"rate_pct": "1", "min_per_event": "0.50"}
    await add_price(admin, "share", "stock/share", "percentage", share)
    tiers = [
        {"min_success_rate": "90", "unit_price": "2"},
        {"min_success_rate": "0", "unit_price": "1"},
    ]
    success = {"tiers": tiers, "minimum_sample": 3}
    await add_price(admin, "success", "stock/success", "success_tiered", success)
    await use(
        billing_pool,
        [
            *(
                call("acct_a", OCTOBER_5.replace(hour=h), operation="stock/hourly", price_version="hourly")
                for h in (1, 2)
            ),
            *(
                call("acct_a", OCTOBER_5, operation="stock/share", price_version="share", units=u)
                for u in ("10", "100")
            ),
            *(
                call("acct_a", OCTOBER_5, operation="stock/success", price_version="success", class_=class_)
                for class_ in ("ok", "ok", "caller_error", "provider_error")
            ),
        ],
    )
    await rate_pending(billing_pool, CLOCK)
    # Two packages begun; 0.50 at least and 1.00; 2 of 3 judged calls are below 90 %.
    assert await _lines(admin, "operation, amount") == [
        ("stock/hourly", Decimal("2.00")),
        ("stock/share", Decimal("1.50")),
        ("stock/success", Decimal("2.00")),
    ]


_BY_SUCCESS = {
    "minimum_sample": 15,
    "tiers": [{"min_success_rate": "90", "unit_price": "2"}, {"min_success_rate": "0", "unit_price": "1"}],
}


@pytest.mark.parametrize("measured_on", ["service", "account"])
async def test_a_price_by_success_follows_all_calls_that_it_is_measured_on(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, measured_on: str
) -> None:
    """Also those of other accounts and earlier months, and after the month was issued."""
    await add_account(admin, "acct_a")
    await add_account(admin, "acct_b", timezone="Pacific/Honolulu")
    await add_price(admin, "price", model="success_tiered", price={**_BY_SUCCESS, "measured_on": measured_on})
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(10)])
    ended_in_shanghai = ManualClock(datetime(2026, 10, 31, 20, tzinfo=UTC))
    (issued,) = (await close(billing_pool, OCTOBER, ended_in_shanghai)).issued
    assert issued.total == Decimal("20.00")
    # Too few calls to judge by: whoever else is measured together with them decides.
    late = (
        datetime(2026, 10, 31, 21, tzinfo=UTC)
        if measured_on == "service"
        else datetime(2026, 9, 5, tzinfo=UTC)
    )
    payer = "acct_b" if measured_on == "service" else "acct_a"
    await use(billing_pool, [call(payer, late, class_="provider_error") for _ in range(10)])
    await rate_pending(billing_pool, ManualClock(datetime(2026, 11, 2, tzinfo=UTC)))
    assert await verify(billing_pool, ()) == []
    corrected = await admin.fetchval(
        "SELECT amount FROM billing.rated_line WHERE account_id = 'acct_a' AND period = '2026-10-01' AND step = 2"
    )
    assert corrected == Decimal("-10.00")

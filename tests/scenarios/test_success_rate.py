"""A success rate is (ok + declined) / (ok + declined + provider_error), wherever a price asks for one."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import asyncpg
import pytest

from billing.invoice.close import close
from billing.invoice.rate_pending import rate_pending
from billing.invoice.simulate import simulate
from billing.rebuild import verify
from billing.transaction import all_accounts
from catalog.plan import parse_plan
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.usage_books import add_account, add_price, call, use

OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
OCTOBER = Period(2026, 10)
NOVEMBER_2 = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))
TIERS = {
    "tiers": [
        {"min_success_rate": "99", "unit_price": "1.5"},
        {"min_success_rate": "0", "unit_price": "0.7"},
    ]
}
FACTOR = {
    "unit_price": "1.5",
    "success_factor": [
        {"min_success_rate": "99", "factor_pct": "100"},
        {"min_success_rate": "0", "factor_pct": "50"},
    ],
}
PRICES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "stock/tiered": ("success_tiered", TIERS),
    "stock/together": ("success_tiered", {**TIERS, "measured_on": "service"}),
    "stock/factored": ("per_unit", FACTOR),
}
FULL = {"stock/tiered": 3, "stock/together": 3, "stock/factored": 3}


def _called(*third: Mapping[str, Any]) -> list[UsageEvent]:
    """Two good calls of every operation and these."""
    return [
        call("acct_a", OCTOBER_5, operation=operation, price_version=operation, **fields)
        for operation in PRICES
        for fields in ({}, {}, *third)
    ]


@pytest.fixture
async def books(admin: asyncpg.Connection, billing_pool: asyncpg.Pool) -> asyncpg.Pool:
    """An account in yen with a price of each kind."""
    await add_account(admin, "acct_a", currency="JPY")
    for operation, (model, price) in PRICES.items():
        await add_price(admin, operation, operation, model, price, currency="JPY")
    return billing_pool


@pytest.mark.parametrize(
    ("third", "amounts"),
    [
        ({"class_": "declined"}, FULL),
        ({"class_": "caller_error"}, FULL),
        # Below 99 %: 2 x 0.7, and half of 2 x 1.5.
        ({"class_": "provider_error"}, {"stock/tiered": 1, "stock/together": 1, "stock/factored": 2}),
        # Answered and billed, but by `success_when` a failure: 3 x 0.7, and half of 3 x 1.5.
        ({"outcome": "failure"}, {"stock/tiered": 2, "stock/together": 2, "stock/factored": 2}),
    ],
)
async def test_what_is_billed_at_which_rate(
    admin: asyncpg.Connection, books: asyncpg.Pool, third: Mapping[str, Any], amounts: Mapping[str, int]
) -> None:
    """Rated, posted and rebuilt alike. A refusal is no failure of who rightly refuses, and what the caller spoiled is no
    part of the rate."""
    await use(books, _called(third))
    await close(books, OCTOBER, NOVEMBER_2)
    rated = await admin.fetch("SELECT operation, sum(amount) AS amount FROM billing.rated_line GROUP BY 1")
    assert {row["operation"]: row["amount"] for row in rated} == amounts
    assert await verify(books, ()) == []


async def test_a_factor_is_that_of_the_months_rate_whatever_prices_the_calls_were_made_under(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """95 of 95 under one version and 4 of 5 under the next are 99 % of the month, and no less of the fifth call."""
    await add_account(admin, "acct_a")
    factor = [
        {"min_success_rate": "99", "factor_pct": "100"},
        {"min_success_rate": "0", "factor_pct": "50"},
    ]
    for number, plan_id in enumerate(("v1", "v2"), 1):
        price = {"unit_price": "1", "success_factor": factor}
        await add_price(admin, plan_id, "stock/factored", "per_unit", price, version=number)
    days = {"v1": OCTOBER_5, "v2": OCTOBER_5 + timedelta(days=10)}

    def called(version: str, number: int, **fields: Any) -> list[UsageEvent]:
        each = {"operation": "stock/factored", "price_version": version, **fields}
        return [call("acct_a", days[version], **each) for _ in range(number)]

    async def total() -> Decimal:
        await rate_pending(billing_pool, NOVEMBER_2)
        found = await admin.fetchval("SELECT sum(amount) FROM billing.rated_line")
        return Decimal(found)

    failed = {"class_": "provider_error"}
    await use(billing_pool, [*called("v1", 95), *called("v2", 4), *called("v2", 1, **failed)])
    assert await total() == Decimal("99.00")
    async with all_accounts(billing_pool) as connection:
        found = await simulate(connection, "stock", [], OCTOBER, "live")
    assert found.totals[0].effect.current.amount == "99.00"
    # What fails under the later price, and is known late, moves what the earlier one billed; a success moves it back.
    await use(billing_pool, called("v2", 1, **failed))
    assert await total() == Decimal("49.50")
    await close(billing_pool, OCTOBER, NOVEMBER_2)
    await use(billing_pool, called("v1", 100))
    assert await total() == Decimal("199.00")
    assert await verify(billing_pool, ()) == []


async def test_a_simulated_price_sees_the_same_rate(admin: asyncpg.Connection, books: asyncpg.Pool) -> None:
    await admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at) "
        "VALUES ('sub_acct_a', 'acct_a', 'stock', 'draft', '2026-01-01')"
    )
    await use(books, _called({"class_": "declined"}))

    async def drafted(billable_on: str) -> dict[str, str]:
        prices = [
            {"operation": name.removeprefix("stock/"), "currency": "JPY", "model": model, "price": price}
            for name, (model, price) in PRICES.items()
        ]
        plan = {"id": "draft", "audience": "both", "effective_from": "2027-01-01", "billable_on": billable_on}
        async with all_accounts(books) as connection:
            found = await simulate(
                connection, "stock", [parse_plan({**plan, "prices": prices})], OCTOBER, "live"
            )
        return {line.operation: line.effect.draft.amount for line in found.lines}

    assert set((await drafted("success")).values()) == {"3"}
    # Which calls are billed is another question: `accepted` bills the declined one too, 3 x 1.5.
    assert set((await drafted("accepted")).values()) == {"5"}
    await use(books, _called({"class_": "provider_error"}))
    # 4 x 0.7, and half of 4 x 1.5: five of six judged calls are below 99 %.
    assert set((await drafted("success")).values()) == {"3"}


async def test_months_that_were_rated_while_a_refusal_was_no_success_are_rated_again(
    admin: asyncpg.Connection, books: asyncpg.Pool
) -> None:
    """The migration marks them; a month without a refusal, or of another price, is left alone."""
    await add_account(admin, "acct_b")
    await add_price(admin, "flat")
    refused = [
        *_called({"class_": "declined"}),
        call("acct_b", OCTOBER_5, class_="declined", price_version="flat"),
    ]
    july = [
        call(
            "acct_a", datetime(2026, 7, 5, tzinfo=UTC), operation="stock/tiered", price_version="stock/tiered"
        )
    ]
    await use(books, [*refused, *july])
    await close(books, OCTOBER, NOVEMBER_2)
    assert await admin.fetch("SELECT * FROM billing.unrated") == []
    # What the price had come to by the old rate.
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(
        "UPDATE billing.rated_line SET amount = 1, amount_after = 1 WHERE operation = 'stock/tiered'"
    )
    await admin.execute("SET session_replication_role = origin")
    migration = import_module("deploy.migrations.versions.0027_refusals_succeed")
    await admin.execute("SET ordergate.account = '*'")
    await admin.execute(migration._MARK)
    marked = await admin.fetch("SELECT account_id, period FROM billing.unrated")
    assert [tuple(row) for row in marked] == [("acct_a", OCTOBER.first_day)]
    await rate_pending(books, NOVEMBER_2)
    corrected = await admin.fetch("SELECT period, step, amount FROM billing.rated_line WHERE step = 2")
    assert [tuple(row) for row in corrected] == [(OCTOBER.first_day, 2, 2)]

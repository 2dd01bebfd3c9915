"""A hard budget gives back what corrections take away, and equals one that begins when they are stored."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from billing.allowance import Holder, Wanted, take
from billing.desk import accept
from billing.lease.begin import keep_limits
from billing.lease.reported import count_reports
from billing.store.amend import Amendment, amend
from billing.store.reported import store_reports
from catalog.limit import Quota
from catalog.load import PriceVersion, applied
from catalog.plan import parse_price
from tests.allowances import add_limit
from tests.reported_usage import TIMEZONE, accepted, corrected
from tests.reported_usage import report as reported
from tests.usage_books import add_account, add_price, call, roll_up_all

OCTOBER_1, NOVEMBER_1 = date(2026, 10, 1), date(2026, 11, 1)
NOVEMBER_10 = datetime(2026, 11, 10, 4, tzinfo=UTC)


async def test_a_correction_is_no_call_and_counts_in_the_month_of_its_event(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    quota = Quota("account", "month", 8, True)
    counted = await add_limit(admin, "quota", "address/validate month", starts_on=NOVEMBER_1)
    november = await add_limit(admin, "budget", starts_on=NOVEMBER_1)
    october = await add_limit(admin, "budget", starts_on=OCTOBER_1)
    old = call("acct_a", datetime(2026, 10, 5, tzinfo=UTC), units="10")
    await accepted(gateway_pool, [reported(old)], NOVEMBER_10)
    new = [call("acct_a", NOVEMBER_10, units=units) for units in ("4", "5")]
    async with gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
        batch = [reported(one, None, quota) for one in new]
        await accept(connection, "acct_a", "live", TIMEZONE, batch[:1], NOVEMBER_10)
        # Reported and corrected in one batch, and an earlier event with them.
        await keep_limits(connection, "acct_a")
        await store_reports(connection, "acct_a", "live", batch[1:])
        await amend(connection, [Amendment(old.uuid, Decimal(-8)), Amendment(new[1].uuid, Decimal(-2))])
        differences = [
            msgspec.structs.replace(reported(old), charge=Decimal("-0.44")),
            msgspec.structs.replace(reported(new[1]), charge=Decimal("-0.11")),
        ]
        await count_reports(connection, "acct_a", "live", TIMEZONE, [batch[1], *differences], NOVEMBER_10)

    async def left_used(limit: int) -> Decimal:
        found: Decimal = await admin.fetchval(
            "SELECT used - returned FROM billing.allowance WHERE id = $1", limit
        )
        return found

    assert [await left_used(one) for one in (counted, november, october)] == [
        2,
        Decimal("0.385"),
        Decimal("0.11"),
    ]


PRICES: dict[str, tuple[str, dict[str, Any]]] = {
    "by the unit": ("per_unit", {"unit_price": "0.055"}),
    "by the package": ("package", {"package_price": "1", "package_size": "3"}),
    "with a fee for each": ("percentage", {"rate_pct": "10", "fixed_per_event": "1.00"}),
    "within bounds": ("percentage", {"rate_pct": "10", "min_per_event": "0.50", "max_per_event": "2"}),
    "by combination": (
        "matrix",
        {
            "dimensions": ["country"],
            "cells": [{"dimensions": {"country": "DE"}, "unit_price": "9"}],
            "default": "0.30",
        },
    ),
}


@pytest.mark.parametrize("name", PRICES)
async def test_a_budget_that_begins_later_equals_one_that_counted_all_along(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, name: str
) -> None:
    model, terms = PRICES[name]
    await add_account(admin, "acct_a")
    await add_price(admin, "price", model=model, price=terms)
    price = applied(
        PriceVersion(
            "price",
            "address",
            "p",
            "address/validate",
            "CNY",
            1,
            NOVEMBER_10,
            "success",
            model,
            parse_price(model, terms),
        )
    ).of(())
    assert price is not None
    first = await add_limit(admin, "budget", starts_on=NOVEMBER_1)
    events = [call("acct_a", NOVEMBER_10, units=units) for units in ("10", "4", "1", "50")]
    for one in events:
        charge = price.amount(one.quantity)
        await accepted(gateway_pool, [msgspec.structs.replace(reported(one), charge=charge)], NOVEMBER_10)
    for number, (before, after) in enumerate((("10", "7"), ("4", "0"), ("1", "2"))):
        if number == 2:
            await roll_up_all(billing_pool)
        costs = [price.amount(Decimal(units)) if units != "0" else Decimal(0) for units in (before, after)]
        units = str(Decimal(after) - Decimal(before))
        await corrected(gateway_pool, events[number], units, NOVEMBER_10, costs[1] - costs[0])
    await add_limit(admin, "budget", starts_on=OCTOBER_1, scope="app_acct_a")
    starts_at = datetime(2026, 10, 31, 16, tzinfo=UTC)
    wanted = Wanted(
        "acct_a", "live", "budget", "budget of app_acct_a", NOVEMBER_1, starts_at, NOVEMBER_1, Decimal(1)
    )
    async with gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
        taken = await take(connection, Holder(uuid4(), uuid4()), wanted, NOVEMBER_10, NOVEMBER_10)
    along = await admin.fetchval("SELECT used - returned FROM billing.allowance WHERE id = $1", first)
    assert abs(taken.standing.used - along) <= Decimal("0.000000000003"), "as a charge is rounded"
    assert along == sum(price.amount(Decimal(units)) for units in ("7", "2", "50"))


async def test_a_budget_never_gives_back_more_than_it_began_with(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    """It rounds the sum of what was used before it; each correction is rounded by itself."""
    await add_account(admin, "acct_a")
    await add_price(admin, "price", model="package", price={"package_price": "1", "package_size": "3"})
    events = [call("acct_a", NOVEMBER_10, units="2") for _ in range(2)]
    for one in events:
        await accepted(gateway_pool, [reported(one)], NOVEMBER_10)
    limit = await add_limit(admin, "budget", starts_on=NOVEMBER_1)
    await admin.execute("UPDATE billing.allowance SET used = 1.333333333333")
    for one in events:
        await corrected(gateway_pool, one, "-2", NOVEMBER_10, Decimal("-0.666666666667"))
    kept = await admin.fetchrow("SELECT used, returned FROM billing.allowance WHERE id = $1", limit)
    assert kept is not None and kept["used"] == kept["returned"] == Decimal("1.333333333333")

"""The prices in force, simulated as drafts over a month that they billed, change nothing: to the cent, for every model."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.desk import close
from billing.invoice.rate_pending import rate_pending
from billing.invoice.simulate import LineEffect, simulate
from billing.result.step import Proof
from catalog.plan import MODELS, Plan, parse_plan
from catalog.vocabulary.clock import ManualClock
from tests.reported_usage import amend_as_said
from tests.result_books import NOVEMBER, PROVEN, SAVED, ResultBooks, add_share, answered
from tests.usage_books import PROFILE, add_account, add_price, call, store, use

# The subscriptions begin within the month, and every second one ends within it.
BEGINS, ENDS = datetime(2026, 11, 10, 4, tzinfo=UTC), datetime(2026, 11, 25, 4, tzinfo=UTC)
IN_DECEMBER = ManualClock(datetime(2026, 12, 3, tzinfo=UTC))
TIERS = [
    {"up_to": "100", "unit_price": "0.07", "flat_fee": "0.50"},
    {"up_to": None, "unit_price": "0.03", "flat_fee": "2"},
]
SHARES = [{"up_to": "100", "rate_pct": "3.3", "flat_fee": "0.5"}, {"up_to": None, "rate_pct": "1.1"}]
BLOCKS = [
    {"block_size": "30", "max_blocks": 2, "block_price": "1.11"},
    {"block_size": "50", "max_blocks": None, "block_price": "0.99"},
]
FACTOR = [{"min_success_rate": "99", "factor_pct": "100"}, {"min_success_rate": "0", "factor_pct": "90"}]
BOUNDS = {"minimum": "100", "maximum": "500", "discount_amount": "10", "discount_pct": "7"}
SHARE: Mapping[str, Any] = {"rate_pct": "10", "of": "/reply/saving", "min": "1", "max": "50"}
PRICES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "per_unit": ("per_unit", {"unit_price": "0.055", "free_units": "7"}),
    "bounded": ("per_unit", {"unit_price": "0.055", **BOUNDS}),
    "limited": ("per_unit", {"unit_price": "9", **BOUNDS, "success_factor": FACTOR}),
    "unit_conversion": ("unit_conversion", {"unit_price": "1.17", "divide_by": "60", "round": "up"}),
    "flat": ("flat", {"amount": "300"}),
    "graduated": ("graduated", {"tiers": TIERS}),
    "volume": ("volume", {"tiers": TIERS}),
    "package": ("package", {"package_size": "30", "package_price": "1.10", "free_units": "7"}),
    "percentage": ("percentage", {"rate_pct": "3", "fixed_per_event": "0.11", "max_per_event": "2"}),
    "graduated_percentage": ("graduated_percentage", {"tiers": SHARES}),
    "volume_percentage": ("volume_percentage", {"tiers": SHARES}),
    "block_graduated": ("block_graduated", {"tiers": BLOCKS}),
    "block_volume": ("block_volume", {"tiers": BLOCKS}),
    "dynamic": ("dynamic", {"multiplier": "1.037"}),
    "capacity": (
        "capacity",
        {"tiers": [{"max": {"units_per_day": "150", "calls": "4"}, "price": "90"}, {"max": None, "price": "300"}]},
    ),
    "bucketed": ("bucketed", {"model": "package", "price": {"package_size": "30", "package_price": "0.9"}}),
    "matrix": (
        "matrix",
        {
            "dimensions": ["country"],
            "cells": [{"dimensions": {"country": "DE"}, "unit_price": "0.07"}],
            "default": "0.03",
        },
    ),
    "success_tiered": (
        "success_tiered",
        {"tiers": [{"min_success_rate": "99", "unit_price": "0.9"}, {"min_success_rate": "0", "unit_price": "0.7"}]},
    ),
}  # fmt: skip


def _plan(plan: str, operation: str, model: str, price: Mapping[str, Any]) -> Plan:
    entry = {"operation": operation.partition("/")[2], "currency": "CNY", "model": model, "price": price}
    return parse_plan({"id": plan, "audience": "both", "effective_from": "2026-01-01", "prices": [entry]})


async def _subscribe(
    admin: asyncpg.Connection, account: str, operation: str, plan: str, *, ends: bool
) -> None:
    await admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)",
        f"sub_{plan}",
        account,
        operation.partition("/")[0],
        plan,
        BEGINS,
        ENDS if ends else None,
    )


async def _simulated(
    pool: asyncpg.Pool, service: str, *plans: Plan, scope: str = "*"
) -> Mapping[str, LineEffect]:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', $1, true)", scope)
        found = await simulate(connection, service, plans, NOVEMBER, "live")
    return {one.plan_id: one for one in found.lines}


async def test_every_model_with_corrections_and_late_calls_in_a_month_that_was_not_whole(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    assert {model for model, _ in PRICES.values()} == set(MODELS) - {"outcome", "sla_credit"}
    for place, (plan, (model, price)) in enumerate(PRICES.items()):
        await add_account(admin, f"acct_{plan}", "external", profile=PROFILE)
        await add_price(admin, plan, model=model, price=price)
        await _subscribe(admin, f"acct_{plan}", "address/validate", plan, ends=bool(place % 2))

    def calls(plan: str, day: int, *units: str, **fields: Any) -> list[Any]:
        moment = BEGINS + timedelta(days=day)
        told = {"price_version": plan, "subscription_id": f"sub_{plan}", **fields}
        return [
            call(f"acct_{plan}", moment + timedelta(hours=hour), units=one, dimensions=(("country", country),), **told)
            for hour, (one, country) in enumerate(zip(units, ("DE", "FR", "DE"), strict=False))
        ]  # fmt: skip

    reported = []
    for plan in PRICES:
        await store(billing_pool, calls(plan, 1, "10.5", "20", "33"))
        await store(
            billing_pool,
            calls(plan, 1, "0", class_="declined") + calls(plan, 3, "0", class_="provider_error"),
        )
        reported += calls(plan, 2, "100", "50")
    await store(billing_pool, reported, "import")
    for lowered, voided in zip(reported[::2], reported[1::2], strict=True):
        await amend_as_said(admin, lowered, "-60")
        await amend_as_said(admin, voided, "-50")
    await close(billing_pool, NOVEMBER, IN_DECEMBER)
    late = [event for plan in PRICES for event in calls(plan, 4, "77", "41")]
    await use(billing_pool, late)
    for event in late[::2]:
        await amend_as_said(admin, event, "-7")
    await use(billing_pool, ())
    assert not (await rate_pending(billing_pool, IN_DECEMBER)).unratable

    plans = [_plan(plan, "address/validate", *terms) for plan, terms in PRICES.items()]
    found = await _simulated(billing_pool, "address", *plans)
    billed = await admin.fetch(
        "SELECT price_version, sum(amount) AS amount FROM billing.rated_line GROUP BY 1"
    )
    assert {plan: Decimal(one.effect.draft.amount) for plan, one in found.items()} == {
        row["price_version"]: row["amount"] for row in billed
    }
    assert {plan: one.effect.difference.amount for plan, one in found.items()} == dict.fromkeys(
        PRICES, "0.00"
    )
    assert found["flat"].effect.draft.amount == "210.00" and found["capacity"].effect.draft.amount == "210.00"


@pytest.mark.parametrize("bounds", [{}, BOUNDS])
async def test_shares_of_results_whatever_became_of_these(
    admin: asyncpg.Connection,
    billing_pool: asyncpg.Pool,
    gateway_pool: asyncpg.Pool,
    reader_pool: asyncpg.Pool,
    bounds: Mapping[str, Any],
) -> None:
    """What the reply said is told until the provider states it anew; what was declined or withdrawn is nothing."""
    prices = {
        "saved": (SAVED, {**SHARE, **bounds}),
        "proven": (PROVEN, {"rate_pct": "10", "max": "50", **bounds}),
    }
    await add_account(admin, "acct_a")
    for plan, (operation, price) in prices.items():
        await add_share(admin, plan, operation, price)
        await _subscribe(admin, "acct_a", operation, plan, ends=plan == "saved")
    books = ResultBooks(gateway_pool, billing_pool, admin)
    restated, anew, declined, withdrawn, left = (
        answered(saving, moment=BEGINS + timedelta(days=1), subscription_id="sub_saved")
        for saving in ("123.45", "200", "70", "80", "33")
    )
    proven = answered("17", "proven", BEGINS + timedelta(days=1), subscription_id="sub_proven")
    await books.called(restated, anew, declined, withdrawn, left, proven)
    hundred = Proof(Decimal(2), Decimal(1), Decimal(100), "as audited")
    await books.restate(restated.uuid, hundred)
    await books.decline(anew.uuid)
    await books.restate(anew.uuid, Proof(Decimal(3), Decimal(1), Decimal(90), "as agreed"))
    await books.decline(declined.uuid)
    await books.withdraw(withdrawn.uuid)
    for _ in range(2):
        await books.state(Proof(Decimal(10), Decimal(0), Decimal(60), "six hundred"))
    open_ = await _simulated(reader_pool, "customs", _plan("saved", SAVED, "outcome", SHARE), scope="acct_a")
    assert open_["saved"].effect.draft.amount == "31.30", (
        "10 of 100, 18 of 180 and 3.30 of 33, if they are accepted"
    )
    await books.accept_all()
    await books.billed()
    found = await _simulated(
        billing_pool, "customs", *(_plan(plan, operation, "outcome", price) for plan, (operation, price) in prices.items())
    )  # fmt: skip
    assert {plan: one.effect.difference.amount for plan, one in found.items()} == {
        "saved": "0.00",
        "proven": "0.00",
    }
    if not bounds:
        assert {plan: one.effect.draft.amount for plan, one in found.items()} == {
            "saved": "31.30",
            "proven": "100.00",
        }

"""What last month would have cost under draft prices: to the cent, without writing anything."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.invoice.rate_pending import rate_pending
from billing.invoice.simulate import Simulation, simulate
from billing.transaction import all_accounts
from catalog.plan import Plan, parse_plan
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.usage_books import GRADUATED, add_account, add_price, call, use

OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
OCTOBER = Period(2026, 10)
CLOCK = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))


def draft(
    plan: str,
    price: Mapping[str, Any],
    *,
    model: str = "per_unit",
    operation: str = "validate",
    currency: str = "CNY",
    billable_on: str = "success",
) -> Plan:
    return parse_plan(
        {
            "id": plan,
            "audience": "both",
            "effective_from": "2027-01-01",
            "billable_on": billable_on,
            "prices": [{"operation": operation, "currency": currency, "model": model, "price": price}],
        }
    )


async def subscribe(admin: asyncpg.Connection, account: str, plan: str, service: str = "address") -> None:
    await admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at) VALUES ($1, $2, $3, $4, $5)",
        f"sub_{account}",
        account,
        service,
        plan,
        datetime(2026, 1, 1, tzinfo=UTC),
    )


async def simulated(
    pool: asyncpg.Pool, plans: Sequence[Plan], service: str = "address", period: Period = OCTOBER
) -> Simulation:
    async with all_accounts(pool) as connection:
        return await simulate(connection, service, plans, period, "live")


def amounts(simulation: Simulation) -> dict[str, tuple[str, str, str]]:
    return {
        one.of: (one.effect.current.amount, one.effect.draft.amount, one.effect.difference.amount)
        for one in (*simulation.accounts, *simulation.operations, *simulation.totals)
    }


async def test_a_draft_shows_what_each_account_would_pay_and_the_service_earn(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_price(admin, "price", model="graduated", price=GRADUATED)
    for account, calls in (("acct_a", 34), ("acct_b", 10)):
        await add_account(admin, account)
        await subscribe(admin, account, "internal")
        await use(billing_pool, [call(account, OCTOBER_5) for _ in range(calls)])
    await rate_pending(billing_pool, CLOCK)
    effect = await simulated(billing_pool, [draft("internal", {"unit_price": "0.05"})])
    assert amounts(effect) == {
        "acct_a": ("1.79", "1.70", "-0.09"),
        "acct_b": ("0.55", "0.50", "-0.05"),
        "address/validate": ("2.34", "2.20", "-0.14"),
        "address": ("2.34", "2.20", "-0.14"),
    }
    posted = await admin.fetchval("SELECT sum(amount) FROM billing.rated_line")
    assert posted == Decimal("2.34"), "current is what the documents say"


async def test_the_demo_group_would_pay_a_tenth_less_for_customs_checks_of_october(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """118 checks: 50 x 3.60 + 68 x 3.40 = 411.20, and 370.08 with every tier a tenth lower."""
    tiers = [("50", "3.60"), ("200", "3.40"), (None, "3.20")]

    def graduated(factor: str) -> dict[str, Any]:
        return {
            "tiers": [
                {"up_to": up_to, "unit_price": str(Decimal(price) * Decimal(factor)), "flat_fee": "0"}
                for up_to, price in tiers
            ]
        }

    await add_account(admin, "acct_a")
    await add_price(admin, "price", "customs/check", "graduated", graduated("1"))
    await subscribe(admin, "acct_a", "internal", "customs")
    await use(billing_pool, [call("acct_a", OCTOBER_5, operation="customs/check") for _ in range(118)])
    plan = draft("internal", graduated("0.9"), model="graduated", operation="check")
    effect = await simulated(billing_pool, [plan], "customs")
    assert amounts(effect)["acct_a"] == ("411.20", "370.08", "-41.12")


async def test_calls_under_several_price_versions_are_one_quantity_under_the_draft(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await subscribe(admin, "acct_a", "internal")
    for version in ("old", "new"):
        await add_price(admin, version, model="graduated", price=GRADUATED)
        await use(billing_pool, [call("acct_a", OCTOBER_5, price_version=version) for _ in range(11)])
    effect = await simulated(billing_pool, [draft("internal", GRADUATED, model="graduated")])
    # 10 x 0.055 + 12 x 0.033 + 0.50 both ways; today it is two lines, 1.083 and 0.363, each rounded
    assert amounts(effect)["acct_a"] == ("1.44", "1.45", "0.01")


async def test_a_draft_may_bill_other_calls_than_the_price_in_force(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await subscribe(admin, "acct_a", "internal")
    events = [call("acct_a", OCTOBER_5) for _ in range(10)]
    events += [call("acct_a", OCTOBER_5, class_="declined") for _ in range(5)]
    await use(billing_pool, events)
    for billable_on, cost in (("success", "0.60"), ("accepted", "0.90")):
        plan = draft("internal", {"unit_price": "0.06"}, billable_on=billable_on)
        assert amounts(await simulated(billing_pool, [plan]))["acct_a"][1] == cost


async def test_prices_of_single_events_and_of_hours_are_simulated_on_what_was_called(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await subscribe(admin, "acct_a", "internal")
    hours = (OCTOBER_5, OCTOBER_5.replace(hour=3))
    await use(billing_pool, [call("acct_a", hour, units="150") for hour in hours])
    percentage = draft("internal", {"rate_pct": "1", "max_per_event": "1.20"}, model="percentage")
    assert amounts(await simulated(billing_pool, [percentage]))["acct_a"][1] == "2.40"
    package = {"package_size": "100", "package_price": "0.90", "free_units": "0", "round": "up"}
    hourly = draft("internal", {"model": "package", "price": package}, model="bucketed")
    assert amounts(await simulated(billing_pool, [hourly]))["acct_a"][1] == "3.60"


@pytest.mark.parametrize("answered", [7, 6])
async def test_a_success_factor_lowers_the_bill_of_who_was_served_badly(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, answered: int
) -> None:
    """34.30 becomes 30.87: the factor of a first-pass rate below 99.97 % is 90 %. Seven are billed, whether we failed an
    eighth or one of them did not pass at first; what was rightly declined changes neither."""
    await add_account(admin, "acct_a", kind="external")
    await add_price(admin, "price", "customs/check", price={"unit_price": "4.90"})
    await subscribe(admin, "acct_a", "distributor", "customs")
    ended: dict[str, Any] = {"class_": "provider_error"} if answered == 7 else {"outcome": "failure"}
    calls = [call("acct_a", OCTOBER_5, operation="customs/check") for _ in range(answered)]
    calls.append(call("acct_a", OCTOBER_5, operation="customs/check", **ended))
    calls.append(call("acct_a", OCTOBER_5, operation="customs/check", class_="declined"))
    await use(billing_pool, calls)
    factor = [
        {"min_success_rate": "99.97", "factor_pct": "100"},
        {"min_success_rate": "0", "factor_pct": "90"},
    ]
    plan = draft("distributor", {"unit_price": "4.90", "success_factor": factor}, operation="check")
    assert amounts(await simulated(billing_pool, [plan], "customs"))["acct_a"] == ("34.30", "30.87", "-3.43")


async def test_who_has_another_plan_or_currency_keeps_the_price_and_is_said_to(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_price(admin, "price")
    await add_price(admin, "dollars", currency="USD")
    for account, plan, currency in (("acct_a", "other", "CNY"), ("acct_b", "internal", "USD")):
        await add_account(admin, account, currency=currency)
        await subscribe(admin, account, plan)
        version = "price" if currency == "CNY" else "dollars"
        await use(billing_pool, [call(account, OCTOBER_5, price_version=version) for _ in range(100)])
    effect = await simulated(billing_pool, [draft("internal", {"unit_price": "9"})])
    assert [line.priced for line in effect.lines] == [False, False]
    assert amounts(effect)["acct_a"] == amounts(effect)["acct_b"] == ("5.50", "5.50", "0.00")
    assert [total.effect.current.currency for total in effect.totals] == ["CNY", "USD"]


async def test_a_month_without_calls_has_no_effect(billing_pool: asyncpg.Pool) -> None:
    effect = await simulated(billing_pool, [draft("internal", {"unit_price": "9"})])
    assert (effect.lines, effect.accounts, effect.totals) == ((), (), ())


async def test_a_draft_that_calls_cannot_be_measured_for_is_refused(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await subscribe(admin, "acct_a", "internal")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    matrix = {
        "dimensions": ["country"],
        "cells": [{"dimensions": {"country": "DE"}, "unit_price": "5"}],
    }
    with pytest.raises(Problem, match="no cell for country ''"):
        await simulated(billing_pool, [draft("internal", matrix, model="matrix")])


async def test_an_account_sees_its_own_bill_only(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_price(admin, "price")
    for account in ("acct_a", "acct_b"):
        await add_account(admin, account)
        await subscribe(admin, account, "internal")
        await use(billing_pool, [call(account, OCTOBER_5)])
    async with billing_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', 'acct_a', true)")
        effect = await simulate(
            connection, "address", [draft("internal", {"unit_price": "1"})], OCTOBER, "live"
        )
    assert [one.of for one in effect.accounts] == ["acct_a"]

"""A fee for the month by the highest tier that anything needs: published, called, rated, explained, corrected and simulated."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from billing.flow import Flow
from billing.invoice.arithmetic import arithmetic
from billing.invoice.month import Month
from billing.invoice.rate_pending import rate_pending
from billing.invoice.simulate import simulate
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import document, usage
from catalog.passport import PassportRefused
from catalog.plan import parse_plan
from catalog.plan.price import CAPACITY_UNITS
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock, SystemClock, from_ns
from catalog.vocabulary.money import round_money
from catalog.vocabulary.period import Period
from tests.capacity_books import LONG_AGO, OCTOBER, add_version, amounts, calls, closed, tiers
from tests.gateways import BERLIN, RunningGateway
from tests.reported_usage import amend_as_said
from tests.usage_books import add_account, roll_up_all, store, use

CLOCK = SystemClock()


def _sold_by(price: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(passport: dict[str, Any]) -> None:
        for plan in passport["plans"]:
            for entry in plan["prices"]:
                if entry["operation"] == "validate":
                    entry.update(model="capacity", price=price)

    return change


async def test_a_capacity_is_published_called_charged_as_an_estimate_and_rated(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    await gateway.publish("address", _sold_by(tiers({"calls": "1"}, {"calls": "2"})))
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    month = Period.of(from_ns(CLOCK.now_ns()), "Asia/Shanghai")
    flow = Flow(billing_pool, gateway.home.journals, None, CLOCK)
    spent = []
    for _ in range(3):
        reply = await gateway.call(key, "address/validate", BERLIN)
        # What one call adds is not known before the month is over; by itself it costs nothing.
        assert (reply.status_code, reply.headers["ordergate-charge"]) == (200, "0 CNY; estimate")
        while (await flow.ship()).more or (await flow.roll_up()).more:
            pass
        await rate_pending(billing_pool, CLOCK)
        async with all_accounts(billing_pool) as connection:
            spent.append((await usage(connection, opened.account.id, "live", month)).amount.amount)
    flow.close()
    # It is subscribed to since today.
    today = from_ns(CLOCK.now_ns()).astimezone(ZoneInfo("Asia/Shanghai")).date()
    left, days = (month.next().first_day - today).days, (month.next().first_day - month.first_day).days
    assert spent == [str(round_money(Decimal(fee * left) / days, "CNY")) for fee in (31, 62, 310)]
    assert await verify(billing_pool, ()) == []


@pytest.mark.parametrize("bounds", [{"users": "10"}, {"calls": "5", "seats": "2"}])
async def test_what_nothing_counts_of_an_operation_is_not_published(
    gateway: RunningGateway, bounds: dict[str, str]
) -> None:
    with pytest.raises(PassportRefused) as refused:
        await gateway.publish("address", _sold_by(tiers(bounds)))
    unknown = next(unit for unit in bounds if unit not in CAPACITY_UNITS)
    error = refused.value.errors[0]
    assert (error.rule, error.pointer.partition("/price/")[2]) == ("not-metered", f"tiers/0/max/{unknown}")
    assert all(unit in error.detail for unit in (unknown, *CAPACITY_UNITS))


async def test_a_fee_for_the_month_is_no_price_of_an_hour(gateway: RunningGateway) -> None:
    nested = {"model": "capacity", "price": tiers({"calls": "1"})}

    def change(passport: dict[str, Any]) -> None:
        passport["plans"][0]["prices"][0].update(model="bucketed", price=nested)

    with pytest.raises(PassportRefused) as refused:
        await gateway.publish("address", change)
    assert refused.value.errors[0].pointer == "/plans/0/prices/0/price/model"


_WITHIN = {
    "calls": "13",
    "units": "130",
    "calls_per_day": "8",
    "units_per_day": "80",
    "calls_per_hour": "5",
    "units_per_hour": "50",
}


async def test_each_unit_is_counted_on_the_payers_clock_and_its_bound_is_inclusive(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    # Half past three in the afternoon of UTC is another day in Shanghai than a quarter past four.
    evening, night = (
        datetime(2026, 10, 5, hour, minute, tzinfo=UTC) for hour, minute in ((15, 30), (16, 15))
    )
    late = night + timedelta(minutes=50)
    assert set(_WITHIN) == set(CAPACITY_UNITS)

    async def due(*used: UsageEvent) -> dict[str, Decimal]:
        await use(billing_pool, used)
        await rate_pending(billing_pool, ManualClock(datetime(2026, 10, 20, tzinfo=UTC)))
        rows = await admin.fetch("SELECT account_id, sum(amount) AS due FROM billing.rated_line GROUP BY 1")
        return {row["account_id"]: row["due"] for row in rows}

    for unit, within in _WITHIN.items():
        await add_account(admin, unit)
        await add_version(admin, 1, LONG_AGO, tiers({unit: within}), plan=unit)

    def each(moment: datetime, count: int, **fields: Any) -> list[UsageEvent]:
        return [one for unit in _WITHIN for one in calls(moment, count, f"{unit}1", unit, **fields)]

    used = [*each(evening, 5, units="10"), *each(night, 3, units="10"), *each(late, 5, units="10")]
    # What is not billed needs no room.
    used += each(night, 9, class_="declined")
    assert await due(*used) == dict.fromkeys(_WITHIN, Decimal("31.00"))
    assert await due(*each(late, 1, units="0.001")) == dict.fromkeys(_WITHIN, Decimal("62.00"))
    assert await verify(billing_pool, ()) == []


async def test_the_highest_tier_that_anything_needs_is_the_one_and_the_line_says_what_needed_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    bounds = ({"calls": "10", "units_per_day": "5"}, {"calls": "20", "units_per_day": "5"})
    await add_version(admin, 1, LONG_AGO, tiers(*bounds))
    await use(billing_pool, calls(datetime(2026, 10, 5, tzinfo=UTC), 5))
    for day, count, explained in (
        (6, 0, ("calls in the month: 5, up to 10", "units on one day: 5, up to 5", "1 × 31 = 31")),
        (6, 5, ("calls in the month: 10, up to 10", "units on one day: 5, up to 5", "1 × 31 = 31")),
        (7, 1, ("calls in the month: 11, up to 20", "1 × 62 = 62")),
        (7, 5, ("units on one day: 6, beyond the other tiers", "1 × 310 = 310")),
    ):
        await use(billing_pool, calls(datetime(2026, 10, day, tzinfo=UTC), count))
        await rate_pending(billing_pool, ManualClock(datetime(2026, 10, 20, tzinfo=UTC)))
        async with all_accounts(billing_pool) as connection:
            (line,) = (await document(connection, Month("acct_a", "live", OCTOBER))).lines
        own = tuple(step for step in line.tiers if step.step != "billed_before")
        assert arithmetic(msgspec.structs.replace(line, tiers=own), "en") == explained
        assert all(arithmetic(line, "zh-CN"))


@pytest.mark.parametrize(("flag", "due"), [(False, "0.00"), (True, "31.00")])
async def test_a_month_without_billable_calls_costs_nothing_unless_the_price_says_so(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, flag: bool, due: str
) -> None:
    await add_account(admin, "acct_a")
    price = {**tiers({"calls_per_day": "1"}), "zero_usage_bills_first_tier_flat": flag}
    await add_version(admin, 1, LONG_AGO, price)
    await use(billing_pool, calls(datetime(2026, 10, 5, tzinfo=UTC), 3, class_="declined"))
    assert amounts(await closed(billing_pool)) == [("v1", due)]


async def test_a_single_tier_is_a_fee_for_a_month_with_calls(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_version(admin, 1, LONG_AGO, tiers())
    await use(billing_pool, calls(datetime(2026, 10, 5, tzinfo=UTC), 1))
    assert amounts(await closed(billing_pool)) == [("v1", "31.00")]


async def test_a_doubled_hour_is_two_hours_of_one_long_day(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a", timezone="Europe/Berlin")
    await add_version(admin, 1, LONG_AGO, tiers({"calls_per_hour": "2", "calls_per_day": "6"}))
    # The 25th of October has 25 hours in Berlin: from 22:00 UTC of the day before to 23:00.
    first = datetime(2026, 10, 24, 22, tzinfo=UTC)
    used = [first, first + timedelta(hours=24, minutes=59)]
    used += [datetime(2026, 10, 25, hour, minute, tzinfo=UTC) for hour in (0, 1) for minute in (10, 50)]
    await use(billing_pool, [one for moment in used for one in calls(moment, 1)])
    clock = ManualClock(datetime(2026, 10, 30, tzinfo=UTC))
    await rate_pending(billing_pool, clock)
    assert await admin.fetchval("SELECT sum(amount) FROM billing.rated_line") == Decimal("31.00")
    await use(billing_pool, calls(first + timedelta(hours=12), 1))
    assert amounts(await closed(billing_pool)) == [("v1", "62.00")]


async def test_usage_that_comes_late_or_is_amended_moves_the_tier_on_the_next_document(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_version(admin, 1, LONG_AGO, tiers({"calls_per_day": "2", "units_per_hour": "5"}))
    (event, *others) = calls(datetime(2026, 10, 5, tzinfo=UTC), 2)
    await store(billing_pool, [event, *others], "import")
    await roll_up_all(billing_pool)
    assert amounts(await closed(billing_pool)) == [("v1", "31.00")]

    async def late() -> list[Decimal]:
        await roll_up_all(billing_pool)
        await rate_pending(billing_pool, ManualClock(datetime(2026, 11, 3, tzinfo=UTC)))
        rows = await admin.fetch(
            "SELECT amount FROM billing.rated_line WHERE corrects IS NOT NULL ORDER BY id"
        )
        assert await verify(billing_pool, ()) == []
        return [row["amount"] for row in rows]

    # Four units more of a call: 6 in the hour, by no more calls than before; and taken away again.
    for units, corrections in (("4", ["31.00"]), ("-4", ["31.00", "-31.00"])):
        await amend_as_said(admin, event, units)
        assert await late() == [Decimal(one) for one in corrections]
    await use(billing_pool, calls(datetime(2026, 10, 5, 3, tzinfo=UTC), 1))
    assert await late() == [Decimal(one) for one in ("31.00", "-31.00", "31.00")]


async def test_a_draft_is_tried_on_the_calls_that_it_would_bill_under_whatever_price_they_were_made(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at) "
        "VALUES ('sub_acct_a', 'acct_a', 'address', 'v', '2026-01-01')"
    )
    await add_version(admin, 1, LONG_AGO, tiers({"calls": "4"}))
    await add_version(admin, 2, date(2026, 10, 22), {"unit_price": "1"}, model="per_unit")
    day = datetime(2026, 10, 5, tzinfo=UTC)
    await use(billing_pool, [*calls(day, 3, units="2"), *calls(day, 2, class_="declined")])
    await use(billing_pool, calls(datetime(2026, 10, 25, tzinfo=UTC), 4, "v2"))

    async def drafted(billable_on: str, **bounds: str) -> tuple[str, str]:
        entry = {"operation": "validate", "currency": "CNY", "model": "capacity", "price": tiers(bounds)}
        plan = {"id": "v", "audience": "both", "effective_from": "2027-01-01", "billable_on": billable_on}
        async with all_accounts(billing_pool) as connection:
            found = await simulate(
                connection, "address", [parse_plan({**plan, "prices": [entry]})], OCTOBER, "live"
            )
        effect = found.lines[0].effect
        return effect.current.amount, effect.draft.amount

    assert await drafted("success", calls="7", units_per_day="6") == ("25.00", "31.00")
    assert await drafted("success", calls="6") == ("25.00", "62.00")
    # Refusals would be billed, each as one.
    assert await drafted("accepted", units_per_day="8", calls_per_hour="5") == ("25.00", "31.00")
    assert await drafted("accepted", units_per_day="7") == ("25.00", "62.00")
    assert await drafted("accepted", calls_per_day="4") == ("25.00", "62.00")

"""The demo's plan: the volumes it spends, and what they come to at the planned prices, to the call and to the cent."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_services.registry import built_in_passports
from billing.rate import Usage, rate
from catalog.plan import parse_price
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.money import round_money
from catalog.vocabulary.period import Period
from deploy.demo.group import demo_group
from deploy.demo.hours import call_times
from deploy.demo.months import closing_time, months_at
from deploy.demo.plan import plan_of
from tests.demo_prices import PRICES

PLAN = plan_of(demo_group())
MEMBERS = {member.name: member for member in demo_group().members}
BRANDS = tuple(name for name, member in MEMBERS.items() if member.kind == "internal")
DEALERS = tuple(name for name, member in MEMBERS.items() if member.kind == "external")
COMMITTED = DEALERS[:6]
ACCESS_FEE, MINIMUM, COMMITTED_DISCOUNT = Decimal("2.00"), Decimal("40.00"), Decimal("0.05")
TIMEZONES = demo_group().timezones


@cache
def _line(member: str, operation: str, month: int) -> Decimal:
    model, fields = PRICES[operation][member in DEALERS]
    used = PLAN.volume(member, operation, month)
    return rate(parse_price(model, fields), Usage(Decimal(used)), "CNY").amount if used else Decimal(0)


@cache
def _month(member: str, month: int) -> Decimal:
    """A month's document: lines, a dealer's access fee, a commitment's discount and minimum."""
    lines = sum((_line(member, operation, month) for operation in PRICES), Decimal(0))
    if member in DEALERS:
        lines += ACCESS_FEE
    if member in COMMITTED:
        lines = max(lines - round_money(lines * COMMITTED_DISCOUNT, "CNY"), MINIMUM)
    return lines


def _year(*members: str) -> Decimal:
    return sum((_month(member, month) for member in members for month in range(1, 13)), Decimal(0))


def test_a_year_is_303741_calls_and_each_operation_spends_its_volume() -> None:
    assert sum(sum(cells.values()) for cells in PLAN.volumes.values()) == 303_741
    for volumes in demo_group().annual_volume.values():
        for operation, annual in volumes.items():
            assert sum(PLAN.volumes[operation].values()) == annual
    assert set(PRICES) == set(PLAN.volumes)


def test_the_group_has_6_brands_and_32_dealers_whose_shares_are_the_whole() -> None:
    assert (len(BRANDS), len(DEALERS), DEALERS[0], DEALERS[-1]) == (6, 32, "d-01", "d-32")
    assert sum(member.share["domestic"] for member in MEMBERS.values()) == 1
    assert sum(member.share["customs"] for member in MEMBERS.values()) == 1
    assert MEMBERS["d-27"].timezone == "Asia/Jakarta"


def test_a_year_comes_to_47000_yuan() -> None:
    assert (_year(*BRANDS), _year(*DEALERS)) == (Decimal("34065.10"), Decimal("12934.90"))
    by_service = {
        service: sum(
            _line(member, operation, month)
            for operation in PRICES
            if operation.startswith(service)
            for member in MEMBERS
            for month in range(1, 13)
        )
        for service in ("address", "stock", "customs", "invoice")
    }
    assert by_service == {
        "address": Decimal("3876.44"),
        "stock": Decimal("6179.40"),
        "customs": Decimal("29009.55"),
        "invoice": Decimal("7164.33"),
    }


@pytest.mark.parametrize(
    ("month", "calls", "yuan"),
    [
        (1, 22_773, "3520.23"),
        (2, 18_209, "2877.54"),
        (3, 22_773, "3520.23"),
        (4, 22_773, "3520.23"),
        (5, 24_295, "3807.36"),
        (6, 31_892, "4894.46"),
        (7, 22_771, "3518.23"),
        (8, 22_769, "3500.22"),
        (9, 25_840, "4023.85"),
        (10, 25_837, "4018.84"),
        (11, 37_975, "5780.25"),
        (12, 25_834, "4018.56"),
    ],
)
def test_each_month_has_its_calls_and_its_yuan(month: int, calls: int, yuan: str) -> None:
    assert sum(cells[member, month] for cells in PLAN.volumes.values() for member in MEMBERS) == calls
    assert sum(_month(member, month) for member in MEMBERS) == Decimal(yuan)


@pytest.mark.parametrize(
    ("member", "year", "october"),
    [
        ("bu-01", "5246.11", "443.89"),
        ("bu-02", "6006.95", "515.24"),
        ("bu-03", "3965.07", "336.89"),
        ("bu-04", "2845.70", "242.93"),
        ("bu-05", "6833.69", "577.05"),
        ("bu-06", "9167.58", "772.43"),
        ("d-01", "845.29", "66.29"),
        ("d-06", "488.91", "40.00"),
        ("d-21", "198.48", "16.75"),
        ("d-27", "820.97", "74.46"),
    ],
)
def test_the_accounts_of_the_story_pay_what_it_says(member: str, year: str, october: str) -> None:
    assert (_year(member), _month(member, 10)) == (Decimal(year), Decimal(october))


def test_the_lines_that_the_story_explains() -> None:
    assert (PLAN.volume("bu-01", "stock/reserve", 10), _line("bu-01", "stock/reserve", 10)) == (
        816,
        Decimal("53.04"),
    )
    assert _line("bu-01", "invoice/issue", 10) == 612 * Decimal("0.18")
    assert _line("bu-06", "customs/check", 10) == Decimal("411.20")
    assert (_month("bu-02", 11), _month("bu-03", 11)) == (Decimal("750.00"), Decimal("490.17"))


def test_operations_that_have_landed_charge_what_the_plan_says() -> None:
    checked = 0
    for passport in built_in_passports():
        for plan in passport.parsed_plans:
            for entry in plan.prices:
                operation = f"{passport.service}/{entry.operation}"
                if entry.currency == "CNY" and operation in PRICES:
                    model, fields = PRICES[operation][plan.audience == "external"]
                    assert (entry.model, entry.price) == (model, parse_price(model, fields)), operation
                    checked += 1
    assert checked >= 16


@given(
    period=st.builds(Period, st.integers(2025, 2030), st.integers(1, 12)),
    timezone=st.sampled_from(sorted(TIMEZONES | {"Europe/Berlin", "America/St_Johns"})),
    count=st.integers(0, 500),
)
def test_calls_fall_into_their_month_in_order_and_always_at_the_same_moments(
    period: Period, timezone: str, count: int
) -> None:
    times = list(call_times(period, timezone, count, Random("seed")))
    assert len(times) == count
    assert times == sorted(times)
    assert all(Period.of(from_ns(moment), timezone) == period for moment in times)
    assert times == list(call_times(period, timezone, count, Random("seed")))


def test_people_call_by_day_more_than_by_night_on_their_own_clock() -> None:
    for timezone in ("Asia/Dubai", "Asia/Shanghai"):
        hours = [
            from_ns(moment).astimezone(ZoneInfo(timezone)).hour
            for moment in call_times(Period(2026, 10), timezone, 2_000, Random("seed"))
        ]
        night, day = (sum(start <= hour < start + 6 for hour in hours) for start in (0, 9))
        assert 0 < night < day / 5


@given(st.integers(0, 10 * 365 * 24 * 60))
def test_the_three_closed_months_are_over_for_everybody_and_were_closed_in_the_past(minutes: int) -> None:
    opened_at = datetime(2025, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    months = months_at(opened_at, TIMEZONES)
    assert months.all == tuple(sorted(months.all))
    assert [month.next() for month in months.all[:-1]] == list(months.all[1:])
    assert len(months.closed) == 3
    for timezone in TIMEZONES:
        assert months.closed[-1] < Period.of(opened_at, timezone)
        assert months.running.bounds(timezone)[0] <= opened_at
    for month in months.closed:
        closed_at = closing_time(month, TIMEZONES, opened_at)
        assert closed_at <= opened_at
        assert all(month.bounds(timezone)[1] <= closed_at for timezone in TIMEZONES)


def test_on_the_first_of_a_month_the_month_that_runs_somewhere_still_is_the_running_one() -> None:
    # In Shanghai it is 1 December, in Dubai still 30 November.
    opened_at = datetime(2026, 11, 30, 17, 0, tzinfo=UTC)
    assert months_at(opened_at, TIMEZONES).running == Period(2026, 11)
    later = opened_at + timedelta(hours=4)
    assert months_at(later, TIMEZONES).closed[-1] == Period(2026, 11)

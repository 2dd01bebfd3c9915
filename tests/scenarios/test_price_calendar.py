"""A price that changes within a month: whose midnight, which quantity, which days, and who keeps the old one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_services.registry import built_in_passports
from billing.desk import close
from billing.invoice.month import Month
from billing.invoice.parts import Life, shares
from billing.invoice.rate_pending import rate_pending
from billing.rate import Usage, rate, rate_part
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import Document, document
from catalog.load import PriceVersion, load
from catalog.plan import parse_price
from catalog.vocabulary.clock import ManualClock, to_ns
from catalog.vocabulary.period import Period
from tests.usage_books import GRADUATED, add_account, call, use

OCTOBER, FEBRUARY = Period(2026, 10), Period(2028, 2)
CLOSED = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))


async def _price(
    admin: asyncpg.Connection, version: int, starts_on: date, model: str, price: Mapping[str, Any]
) -> None:
    await admin.execute(
        "INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version, effective_from, "
        "effective_on, billable_on, model, price, published_at) "
        "VALUES ($1, 'address', 'plan', 'both', 'address/validate', 'CNY', $2, '2026-01-01', $3, 'success', $4, $5, now())",
        f"v{version}",
        version,
        starts_on,
        model,
        msgspec.json.encode(price).decode(),
    )


async def _subscribe(admin: asyncpg.Connection, starts_at: datetime, ends_at: datetime | None = None) -> None:
    await admin.execute(
        "INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at, ends_at) "
        "VALUES ('sub_acct_a', 'acct_a', 'address', 'plan', $1, $2)",
        starts_at,
        ends_at,
    )


async def _closed(pool: asyncpg.Pool, used: Mapping[str, int]) -> Document:
    days = {"v1": 5, "v2": 25}
    for version, calls in used.items():
        moment = datetime(2026, 10, days[version], tzinfo=UTC)
        await use(pool, [call("acct_a", moment, price_version=version) for _ in range(calls)])
    await close(pool, OCTOBER, CLOSED)
    assert await verify(pool, ()) == []
    async with all_accounts(pool) as connection:
        return await document(connection, Month("acct_a", "live", OCTOBER))


def _amounts(found: Document) -> Sequence[tuple[str, int, str]]:
    return [(line.price_version, line.calls, line.amount) for line in found.lines]


async def test_tiers_go_on_where_the_earlier_price_left_them(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    dearer = {"tiers": [{**tier, "unit_price": f"{tier['unit_price']}9"} for tier in GRADUATED["tiers"]]}
    await _price(admin, 1, date(2026, 1, 1), "graduated", GRADUATED)
    await _price(admin, 2, date(2026, 10, 20), "graduated", dearer)
    found = await _closed(billing_pool, {"v1": 12, "v2": 8})
    # 10 x 0.055 + 2 x 0.033 + 0.50, then calls 13 to 20 in the second tier, whose fee was paid.
    assert _amounts(found) == [("v1", 12, "1.12"), ("v2", 8, "0.27")]
    assert found.lines[1].precise_amount == "0.2712"


async def test_free_units_are_the_months_and_a_change_does_not_take_back_what_was_free(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    for version, starts_on, price in ((1, date(2026, 1, 1), "1"), (2, date(2026, 10, 20), "2")):
        await _price(admin, version, starts_on, "per_unit", {"unit_price": price, "free_units": "10"})
    found = await _closed(billing_pool, {"v1": 8, "v2": 5})
    assert _amounts(found) == [("v1", 8, "0.00"), ("v2", 5, "6.00")]


async def test_free_units_are_the_months_whatever_model_priced_the_first_of_them(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    matrix = {"dimensions": ["country"], "cells": [], "default": "1"}
    await _price(admin, 1, date(2026, 1, 1), "matrix", matrix)
    await _price(admin, 2, date(2026, 10, 20), "per_unit", {"unit_price": "2", "free_units": "10"})
    found = await _closed(billing_pool, {"v1": 8, "v2": 5})
    assert _amounts(found) == [("v1", 8, "8.00"), ("v2", 5, "6.00")]


async def test_flat_fees_count_by_days_even_of_a_price_that_was_not_called_under(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await _price(admin, 1, date(2026, 1, 1), "flat", {"amount": "31.00"})
    await _price(admin, 2, date(2026, 10, 22), "flat", {"amount": "62.00"})
    # 21 days of 31.00 a month, 10 days of 62.00.
    found = await _closed(billing_pool, {"v2": 1})
    assert _amounts(found) == [("v1", 0, "21.00"), ("v2", 1, "20.00")]


async def test_minimum_maximum_and_fixed_discount_count_by_days(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await _price(admin, 1, date(2026, 1, 1), "per_unit", {"unit_price": "1", "minimum": "62.00"})
    await _price(
        admin,
        2,
        date(2026, 10, 22),
        "per_unit",
        {"unit_price": "1", "maximum": "31.00", "discount_amount": "3.10"},
    )
    found = await _closed(billing_pool, {"v1": 40, "v2": 30})
    # At least 42.00 in 21 days; 30 - 1.00, but at most 10.00 in ten.
    assert _amounts(found) == [("v1", 40, "42.00"), ("v2", 30, "10.00")]


async def test_a_subscription_that_begins_and_ends_within_the_month_pays_for_its_days(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    # The 3rd to the 8th in Shanghai.
    await _subscribe(admin, datetime(2026, 10, 2, 17, tzinfo=UTC), datetime(2026, 10, 8, 3, tzinfo=UTC))
    await _price(admin, 1, date(2026, 1, 1), "flat", {"amount": "31.00"})
    assert _amounts(await _closed(billing_pool, {"v1": 1})) == [("v1", 1, "5.00")]


async def test_a_change_of_price_within_an_open_month_moves_the_time_to_its_days_and_no_issued_line(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await _price(admin, 1, date(2026, 1, 1), "flat", {"amount": "31.00"})
    await use(billing_pool, [call("acct_a", datetime(2026, 10, 5, tzinfo=UTC), price_version="v1")])
    await rate_pending(billing_pool, ManualClock(datetime(2026, 10, 6, tzinfo=UTC)))
    assert await admin.fetchval("SELECT sum(amount) FROM billing.rated_line") == Decimal("31.00")
    await _price(admin, 2, date(2026, 10, 22), "per_unit", {"unit_price": "1"})
    assert _amounts(await _closed(billing_pool, {})) == [("v1", 1, "21.00")]


@pytest.mark.parametrize(
    ("timezone", "expected"),
    [("Asia/Shanghai", Fraction(14, 29)), ("America/New_York", Fraction(14, 29)), ("UTC", Fraction(14, 29))],
)
def test_a_leap_february_has_29_days_on_every_calendar(timezone: str, expected: Fraction) -> None:
    versions = [_version(1, date(2026, 1, 1)), _version(2, date(2028, 2, 15))]
    assert shares(versions, FEBRUARY, timezone, None) == {"v1": expected, "v2": Fraction(15, 29)}


def _version(number: int, starts_on: date, published: datetime | None = None) -> PriceVersion:
    return PriceVersion(
        f"v{number}",
        "address",
        "plan",
        "address/validate",
        "CNY",
        number,
        published or datetime(2020, 1, 1, tzinfo=UTC),
        "success",
        "flat",
        parse_price("flat", {"amount": "1"}),
        starts_on,
    )


@given(
    st.lists(st.dates(date(2028, 1, 20), date(2028, 3, 10)), min_size=1, max_size=6).map(sorted),
    st.sampled_from(["Asia/Shanghai", "America/New_York", "Pacific/Apia", "Asia/Kathmandu", "Europe/Berlin"]),
)
def test_the_days_of_all_versions_sum_to_those_since_the_first_one_began(
    starts: list[date], timezone: str
) -> None:
    versions = [_version(number, day) for number, day in enumerate(starts, 1)]
    held = sum(shares(versions, FEBRUARY, timezone, None).values())
    since = min(29, max(0, (date(2028, 3, 1) - starts[0]).days))
    assert held == Fraction(since, 29)


def test_who_keeps_the_prices_of_a_moment_is_not_concerned_by_later_ones() -> None:
    sold = datetime(2026, 10, 10, tzinfo=UTC)
    versions = [_version(1, date(2026, 1, 1)), _version(2, date(2026, 10, 22))]
    assert shares(versions, OCTOBER, "UTC", Life(datetime(2026, 1, 1, tzinfo=UTC), None, sold)) == {"v1": 1}
    operation = load(built_in_passports(), versions).operations["/v1/address/validate"]
    later, early = to_ns(datetime(2026, 12, 1, tzinfo=UTC)), to_ns(datetime(2026, 1, 2, tzinfo=UTC))

    def paid(occurred_at_ns: int, kept_ns: int | None) -> str | None:
        price = operation.price_at("plan", "CNY", "UTC", occurred_at_ns, kept_ns)
        return None if price is None else price.id

    assert (paid(later, to_ns(sold)), paid(later, None), paid(early, later)) == ("v1", "v2", "v1")
    assert paid(later, to_ns(datetime(2020, 1, 1, tzinfo=UTC))) is None


_MODELS = (
    ("graduated", dict(GRADUATED)),
    ("volume", dict(GRADUATED)),
    ("per_unit", {"unit_price": "0.07", "free_units": "9"}),
    ("package", {"package_size": "10", "package_price": "0.9", "free_units": "3", "round": "up"}),
)


@given(st.sampled_from(_MODELS), st.lists(st.integers(0, 60), min_size=1, max_size=5))
def test_a_change_that_changes_nothing_changes_nothing(model: tuple[str, Any], parts: list[int]) -> None:
    price = parse_price(*model)
    so_far, precise = 0, Decimal(0)
    for part in parts:
        before = Usage(Decimal(so_far)) if so_far else None
        so_far += part
        precise += rate_part(price, Usage(Decimal(so_far)), "CNY", before=before).precise
    assert precise == rate(price, Usage(Decimal(so_far)), "CNY").precise

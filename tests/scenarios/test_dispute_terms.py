"""An accepted dispute takes off what the whole bill is less by: discount, minimum, commitment and tax with the line."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.desk import close
from billing.invoice.dispute import reject_dispute
from billing.invoice.month import Month
from billing.invoice.note_document import credit_note_document
from billing.invoice.rate_pending import rate_pending
from billing.transaction import all_accounts
from catalog.accounts.account import find_account
from catalog.accounts.contract_terms import ContractTerms, set_terms
from catalog.accounts.tax import TaxRate, set_tax_rate
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from tests.dispute_books import as_gateway, concede, contest, read_document
from tests.settled_books import assert_books_agree, ledger
from tests.usage_books import PROFILE, add_account, add_price, call, use

BY: Mapping[str, Any] = {"actor": "operator@test", "now": datetime(2026, 8, 1, tzinfo=UTC)}
OCTOBER, NOVEMBER, DECEMBER, JANUARY = (
    Period(2026, 10),
    Period(2026, 11),
    Period(2026, 12),
    Period(2027, 1),
)


def _in(period: Period, day: int = 5) -> datetime:
    return datetime(period.year, period.month, day, tzinfo=UTC)


def _after(period: Period) -> datetime:
    return _in(period.next(), 2)


def _month(period: Period) -> Month:
    return Month("acct_x", "live", period)


async def _agree(database: Database, starts_on: date, service: str = "", **terms: Any) -> None:
    async with as_gateway(database) as gateway:
        account = await find_account(gateway, "acct_x")
        fields = {name: Decimal(value) if isinstance(value, str) else value for name, value in terms.items()}
        await set_terms(gateway, account, ContractTerms("", service, starts_on, **fields), **BY)


async def _tax(database: Database, region: str, percent: str, service: str = "") -> None:
    async with as_gateway(database) as gateway:
        rate = TaxRate(region, service, date(2026, 1, 1), "sales tax", Decimal(percent))
        await set_tax_rate(gateway, rate, **BY)


async def _sell(admin: asyncpg.Connection, country: str = "US", kind: str = "external") -> None:
    """acct_x pays 1.00 for a check, 0.39 for a reservation, and 2.50 for a certificate."""
    await add_account(admin, "acct_x", kind, timezone="UTC", profile={**PROFILE, "country": country})
    for operation, price in (
        ("address/validate", "1"),
        ("stock/reserve", "0.39"),
        ("customs/certificate", "2.50"),
    ):
        await add_price(admin, operation, operation, price={"unit_price": price})


async def _use(pool: asyncpg.Pool, period: Period, operation: str, count: int) -> None:
    await use(
        pool,
        [
            call("acct_x", _in(period), operation=operation, price_version=operation, subscription_id="sub_x")
            for _ in range(count)
        ],
    )


async def _close(pool: asyncpg.Pool, period: Period) -> None:
    await close(pool, period, ManualClock(_after(period)))


async def _rate(pool: asyncpg.Pool, period: Period) -> None:
    """While the month runs."""
    await rate_pending(pool, ManualClock(_in(period, 20)))


async def _note(pool: asyncpg.Pool, number: str | None) -> list[tuple[str, str, str]]:
    assert number is not None
    async with all_accounts(pool) as connection:
        found = await credit_note_document(connection, number)
    assert sum(Decimal(line.amount) for line in found.lines) == Decimal(found.total)
    return [(line.kind, line.service, line.amount) for line in found.lines]


async def _owed(admin: asyncpg.Connection) -> Decimal:
    found = await ledger(admin, "receivable")
    return found.get(("acct_x", "receivable"), Decimal(0))


async def test_a_dispute_takes_off_what_was_paid_for_the_line_discount_and_tax_with_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _sell(admin)
    await _tax(database, "US", "8.875")
    await _agree(database, date(2026, 12, 1), discount_pct="20")
    await _use(billing_pool, NOVEMBER, "address/validate", 1)
    await _close(billing_pool, NOVEMBER)
    await _use(billing_pool, NOVEMBER, "customs/certificate", 1)
    await _use(billing_pool, DECEMBER, "address/validate", 20)
    await _close(billing_pool, DECEMBER)
    december = await read_document(billing_pool, _month(DECEMBER))
    assert (december.total, [line.amount for line in december.lines[:2]]) == ("20.14", ["20.00", "2.50"])
    before = await _owed(admin)

    whole = await contest(database, billing_pool, _month(DECEMBER), 1, "20.00", _after(DECEMBER))
    late = await contest(database, billing_pool, _month(DECEMBER), 2, "2.50", _after(DECEMBER))
    assert [one.held and one.held.amount for one in (whole, late)] == ["17.42", "2.72"]
    assert (await read_document(billing_pool, _month(DECEMBER))).disputed == "20.14"
    await assert_books_agree(billing_pool)

    whole = await concede(billing_pool, whole.id, _after(DECEMBER))
    assert whole.credited is not None and whole.credited.amount == "17.42"
    assert await _note(billing_pool, whole.credit_note) == [
        ("credited", "address", "20.00"),
        ("discount", "account", "-4.00"),
        ("tax", "tax", "1.42"),
    ]
    late = await concede(billing_pool, late.id, _after(DECEMBER))
    assert await _note(billing_pool, late.credit_note) == [
        ("credited", "customs", "2.50"),
        ("tax", "tax", "0.22"),
    ]
    assert before - await _owed(admin) == Decimal("20.14"), "all of the document, and no more"
    await assert_books_agree(billing_pool)
    booked = await ledger(admin, "%")
    assert booked[("house", "earnings:address")] == Decimal("-1.00")
    assert ("house", "discount:account") not in booked
    assert booked[("house", "tax")] == Decimal("-0.09")


async def test_nothing_goes_below_the_minimum_and_the_payer_is_told_why(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _sell(admin)
    await _agree(database, date(2026, 10, 1), minimum="40.00")
    await _use(billing_pool, OCTOBER, "stock/reserve", 6)
    await _close(billing_pool, OCTOBER)
    assert (await read_document(billing_pool, _month(OCTOBER))).total == "40.00"
    opened = await contest(database, billing_pool, _month(OCTOBER), 1, "2.34", _after(OCTOBER))
    assert opened.held is not None and opened.held.amount == "0.00"
    assert "agreed minimum" in opened.notice
    decided = await concede(billing_pool, opened.id, _after(OCTOBER))
    assert (decided.state, decided.credit_note) == ("accepted", None)
    assert decided.accepted is not None and decided.accepted.amount == "2.34"
    assert decided.credited is not None and decided.credited.amount == "0.00"
    assert "agreed minimum" in decided.notice
    assert await _owed(admin) == Decimal("40.00")
    await assert_books_agree(billing_pool)
    # What comes late fills the minimum that the dispute left open, before anything is charged on top of it.
    await _use(billing_pool, OCTOBER, "address/validate", 39)
    await _use(billing_pool, NOVEMBER, "address/validate", 1)
    await _rate(billing_pool, NOVEMBER)
    late = await read_document(billing_pool, _month(NOVEMBER))
    await _close(billing_pool, NOVEMBER)
    issued = await read_document(billing_pool, _month(NOVEMBER))
    assert (late.total, issued.total) == ("40.00", "40.00"), "November's own minimum, nothing for October"
    assert [(line.kind, line.amount, line.precise_amount) for line in issued.lines if line.correction] == [
        ("usage", "39.00", "39.00"),
        ("top_up", "-39.00", "-39.00"),
    ]
    await assert_books_agree(billing_pool)


async def test_a_line_above_the_minimum_comes_off_down_to_it_whichever_dispute_is_decided_first(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _sell(admin)
    await _tax(database, "US", "8.875")
    await _agree(database, date(2026, 10, 1), minimum="40.00")
    await _use(billing_pool, OCTOBER, "address/validate", 50)
    await _use(billing_pool, OCTOBER, "customs/certificate", 12)
    await _close(billing_pool, OCTOBER)
    first = await contest(database, billing_pool, _month(OCTOBER), 1, "50.00", _after(OCTOBER))
    second = await contest(database, billing_pool, _month(OCTOBER), 2, "30.00", _after(OCTOBER))
    # 80.00 with 7.10 of tax; 40.00 with 3.55 without the first, and with neither.
    assert first.held is not None and first.held.amount == "43.55"
    assert second.held is not None and second.held.amount == "0.00"
    second = await concede(billing_pool, second.id, _after(OCTOBER))
    assert second.credited is not None and second.credited.amount == "32.66"
    first = await concede(billing_pool, first.id, _after(OCTOBER))
    assert first.credited is not None and first.credited.amount == "10.89"
    assert await _note(billing_pool, first.credit_note) == [
        ("credited", "address", "50.00"),
        ("top_up", "account", "-40.00"),
        ("tax", "tax", "0.89"),
    ]
    assert await _owed(admin) == Decimal("43.55")
    await assert_books_agree(billing_pool)


async def test_what_comes_late_is_taxed_and_discounted_without_what_a_dispute_took_off(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _sell(admin, "CN")
    await _tax(database, "CN", "6")
    await _tax(database, "CN", "13", service="customs")
    await _use(billing_pool, OCTOBER, "address/validate", 30)
    await _use(billing_pool, OCTOBER, "customs/certificate", 2)
    await _close(billing_pool, OCTOBER)
    opened = await contest(database, billing_pool, _month(OCTOBER), 1, "3.00", _after(OCTOBER))
    decided = await concede(billing_pool, opened.id, _after(OCTOBER))
    assert await _note(billing_pool, decided.credit_note) == [
        ("credited", "address", "3.00"),
        ("tax", "tax", "0.18"),
    ]
    await _use(billing_pool, OCTOBER, "address/validate", 10)
    await _rate(billing_pool, NOVEMBER)
    await _close(billing_pool, NOVEMBER)
    (late, tax) = (await read_document(billing_pool, _month(NOVEMBER))).lines
    assert (late.amount, tax.amount, tax.base, tax.precise_amount) == ("10.00", "0.60", "37.00", "0.60")
    await assert_books_agree(billing_pool)


async def test_less_spending_in_a_committed_span_moves_its_last_month(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _sell(admin)
    await _agree(database, date(2026, 10, 1), committed_spend="100.00", committed_months=2)
    await _use(billing_pool, OCTOBER, "address/validate", 60)
    await _close(billing_pool, OCTOBER)
    early = await contest(database, billing_pool, _month(OCTOBER), 1, "10.00", _after(OCTOBER))
    early = await concede(billing_pool, early.id, _after(OCTOBER))
    assert early.credited is not None and early.credited.amount == "10.00", "the span is not over yet"
    await _use(billing_pool, NOVEMBER, "address/validate", 55)
    await _close(billing_pool, NOVEMBER)
    assert (await read_document(billing_pool, _month(NOVEMBER))).total == "55.00"
    late = await contest(database, billing_pool, _month(OCTOBER), 1, "20.00", _after(NOVEMBER))
    late = await concede(billing_pool, late.id, _after(NOVEMBER))
    assert await _note(billing_pool, late.credit_note) == [
        ("credited", "address", "20.00"),
        ("true_up", "account", "-15.00"),
    ]
    assert await _owed(admin) == Decimal("100.00")
    await assert_books_agree(billing_pool)


async def test_a_part_of_a_dispute_is_accepted_and_the_rest_can_be_disputed_again(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _sell(admin)
    await _tax(database, "US", "8.875")
    await _agree(database, date(2026, 10, 1), discount_pct="20")
    await _use(billing_pool, OCTOBER, "address/validate", 20)
    await _close(billing_pool, OCTOBER)
    opened = await contest(database, billing_pool, _month(OCTOBER), 1, "15.00", _after(OCTOBER))
    for wrong in ("15.01", "0", "0.005", "-1"):
        with pytest.raises(Problem, match="/amount"):
            await concede(billing_pool, opened.id, _after(OCTOBER), wrong)
    decided = await concede(billing_pool, opened.id, _after(OCTOBER), "5.00")
    # 16.00 and 1.42 of tax before, 12.00 and 1.07 after.
    assert decided.credited is not None and decided.credited.amount == "4.35"
    assert decided.accepted is not None and decided.accepted.amount == "5.00"
    with pytest.raises(Problem, match=r"15\.00 CNY of this line"):
        await contest(database, billing_pool, _month(OCTOBER), 1, "15.01", _after(OCTOBER))
    again = await contest(database, billing_pool, _month(OCTOBER), 1, "15.00", _after(OCTOBER))
    await concede(billing_pool, again.id, _after(OCTOBER))
    assert await _owed(admin) == 0
    await assert_books_agree(billing_pool)


async def test_what_cannot_be_credited_on_its_document_is_not_held(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _sell(admin)
    await add_price(
        admin,
        "falling",
        "customs/screen",
        "volume",
        {
            "tiers": [
                {"up_to": "10", "unit_price": "10.00", "flat_fee": "0"},
                {"up_to": None, "unit_price": "1.00", "flat_fee": "0"},
            ]
        },
    )

    async def screen(period: Period, count: int) -> None:
        one = {"operation": "customs/screen", "price_version": "falling", "subscription_id": "sub_x"}
        await use(billing_pool, [call("acct_x", _in(period), **one) for _ in range(count)])  # type: ignore[arg-type]

    await screen(OCTOBER, 10)
    await _close(billing_pool, OCTOBER)
    # Ten more make October 20.00 instead of 100.00: November takes 80.00 back.
    await screen(OCTOBER, 10)
    await _use(billing_pool, NOVEMBER, "address/validate", 90)
    await _close(billing_pool, NOVEMBER)
    assert (await read_document(billing_pool, _month(NOVEMBER))).total == "10.00"
    with pytest.raises(Problem, match=r"90\.00 CNY would come off the document, and 10\.00 are left"):
        await contest(database, billing_pool, _month(NOVEMBER), 1, "90.00", _after(NOVEMBER))
    opened = await contest(database, billing_pool, _month(NOVEMBER), 1, "10.00", _after(NOVEMBER))
    await concede(billing_pool, opened.id, _after(NOVEMBER))
    await assert_books_agree(billing_pool)


async def test_a_line_without_which_the_taxes_rise_above_it_is_not_taken_off(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    """The fee of 1,000.00 is of the groups of both rates in proportion; without the lower one it is all of the higher."""
    await _sell(admin)
    await _tax(database, "US", "6")
    await _tax(database, "US", "1", service="address")
    await _agree(database, date(2026, 10, 1), access_fee="1000.00")
    await _use(billing_pool, OCTOBER, "address/validate", 1)
    await _use(billing_pool, OCTOBER, "customs/certificate", 1)
    await _close(billing_pool, OCTOBER)
    with pytest.raises(Problem, match="would be higher by"):
        await contest(database, billing_pool, _month(OCTOBER), 1, "1.00", _after(OCTOBER))


async def test_a_rejected_dispute_gives_back_exactly_what_was_held(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _sell(admin)
    await _tax(database, "US", "8.875")
    await _use(billing_pool, OCTOBER, "address/validate", 20)
    await _close(billing_pool, OCTOBER)
    owed = await _owed(admin)
    opened = await contest(database, billing_pool, _month(OCTOBER), 1, "10.00", _after(OCTOBER))
    assert opened.held is not None and opened.held.amount == "10.89"
    assert await _owed(admin) == owed - Decimal("10.89")
    async with all_accounts(billing_pool) as connection:
        rejected = await reject_dispute(connection, opened.id, "it was", "operator@test", _after(OCTOBER))
    assert (rejected.credited, rejected.notice) == (None, "")
    assert await _owed(admin) == owed
    await assert_books_agree(billing_pool)

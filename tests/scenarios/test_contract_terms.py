"""What an account agreed to beside the prices is on its bill: in the contract's order, exact, and only once."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.audit.compare import compare
from billing.desk import close
from billing.invoice.month import Month
from billing.invoice.rate_pending import rate_pending
from billing.ledger.balances import balances
from billing.rebuild import verify
from billing.transaction import all_accounts, one_snapshot
from billing.view import Document, document
from catalog.accounts.account import find_account
from catalog.accounts.contract_terms import ContractTerms, list_terms, set_terms
from catalog.accounts.tax import TaxRate, set_tax_rate
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.usage_books import PROFILE, add_account, add_price, call, use

SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER = (Period(2026, month) for month in (9, 10, 11, 12))
OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
BY: Mapping[str, Any] = {"actor": "operator@test", "now": datetime(2026, 8, 1, tzinfo=UTC)}


def _after(period: Period) -> ManualClock:
    return ManualClock(datetime(period.next().year, period.next().month, 2, tzinfo=UTC))


async def _agree(
    database: Database, account_id: str, starts_on: date, service: str = "", **terms: Any
) -> None:
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        async with gateway.transaction():
            account = await find_account(gateway, account_id)
            fields: dict[str, Any] = {
                name: Decimal(value) if isinstance(value, str) else value for name, value in terms.items()
            }
            await set_terms(gateway, account, ContractTerms("", service, starts_on, **fields), **BY)
    finally:
        await gateway.close()


async def _document(pool: asyncpg.Pool, period: Period, account_id: str = "acct_a") -> Document:
    async with all_accounts(pool) as connection:
        return await document(connection, Month(account_id, "live", period))


def _charges(found: Document) -> list[tuple[str, str, str]]:
    return [(line.kind, line.service, line.amount) for line in found.lines if line.kind != "usage"]


async def _assert_books_agree(pool: asyncpg.Pool) -> None:
    async with one_snapshot(pool) as connection:
        for environment in ("test", "live"):
            found = await compare(connection, environment)
            assert (found.diff, found.money_diff, found.differences) == (0, Decimal(0), ())
        assert sum(one.amount for one in await balances(connection, "live")) == 0
    assert await verify(pool, ()) == []


@pytest.fixture
async def sold(admin: asyncpg.Connection, database: Database) -> None:
    """An account that pays a yuan for each call."""
    await add_account(admin, "acct_a")
    await add_price(admin, "price", price={"unit_price": "1"})
    await add_price(admin, "stock", "stock/reserve", price={"unit_price": "1"})


async def test_the_order_is_lines_fee_discount_minimum(
    sold: None, admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    """The demo's own figures: d-01 in October, d-06 in February."""
    await add_price(admin, "d01", price={"unit_price": "67.78"})
    await add_price(admin, "d06", price={"unit_price": "26.02"})
    await _agree(database, "acct_a", date(2026, 10, 1), access_fee="2.00", discount_pct="5", minimum="40.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5, price_version="d01")])
    await use(billing_pool, [call("acct_a", datetime(2026, 11, 5, tzinfo=UTC), price_version="d06")])
    for period in (OCTOBER, NOVEMBER):
        await close(billing_pool, period, _after(period))
    october, november = await _document(billing_pool, OCTOBER), await _document(billing_pool, NOVEMBER)
    assert _charges(october) == [("fee", "account", "2.00"), ("discount", "account", "-3.49")]
    assert (october.total, october.lines[-1].precise_amount, october.lines[-1].base) == (
        "66.29",
        "-3.489",
        "69.78",
    )
    assert _charges(november) == [
        ("fee", "account", "2.00"),
        ("discount", "account", "-1.40"),
        ("top_up", "account", "13.38"),
    ]
    assert november.total == "40.00"
    assert [(one.service, one.amount) for one in november.services] == [
        ("account", "13.98"),
        ("address", "26.02"),
    ]
    await _assert_books_agree(billing_pool)
    async with all_accounts(billing_pool) as connection:
        booked = {one.ledger_account: one.amount for one in await balances(connection, "live")}
    assert (booked["fee:account"], booked["discount:account"], booked["top_up:account"]) == (
        Decimal("-4.00"),
        Decimal("4.89"),
        Decimal("-13.38"),
    )


async def test_a_month_without_calls_costs_the_fee_and_the_minimum_and_closing_again_nothing_more(
    sold: None, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _agree(database, "acct_a", date(2026, 9, 1), access_fee="2.00", minimum="40.00")
    report = await close(billing_pool, OCTOBER, _after(OCTOBER))
    assert [(one.period, one.total) for one in report.issued] == [
        ("2026-09", Decimal("40.00")),
        ("2026-10", Decimal("40.00")),
    ]
    again = await close(billing_pool, OCTOBER, _after(OCTOBER))
    assert (again.issued, again.already_issued) == ((), 1)
    await _assert_books_agree(billing_pool)


async def test_a_contract_that_starts_within_a_month_charges_it_by_days_on_the_accounts_calendar(
    sold: None, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _agree(database, "acct_a", date(2026, 10, 22), access_fee="31.00", minimum="93.10")
    await close(billing_pool, OCTOBER, _after(OCTOBER))
    # Ten of 31 days: 10.00 of the fee, 30.03 of the minimum.
    assert _charges(await _document(billing_pool, OCTOBER)) == [
        ("fee", "account", "10.00"),
        ("top_up", "account", "20.03"),
    ]
    await _assert_books_agree(billing_pool)


async def test_late_calls_are_corrected_by_the_terms_of_their_own_month(
    sold: None, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _agree(database, "acct_a", date(2026, 10, 1), access_fee="2.00", discount_pct="5", minimum="40.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(30)])
    await close(billing_pool, OCTOBER, _after(OCTOBER))
    # November has other terms; what is late for October does not care.
    await _agree(database, "acct_a", date(2026, 11, 1), discount_pct="50")
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(20)])
    await rate_pending(billing_pool, _after(OCTOBER))
    await close(billing_pool, NOVEMBER, _after(NOVEMBER))
    october, november = await _document(billing_pool, OCTOBER), await _document(billing_pool, NOVEMBER)
    assert _charges(october) == [
        ("fee", "account", "2.00"),
        ("discount", "account", "-1.60"),
        ("top_up", "account", "9.60"),
    ]
    # 50 + 2 - 2.60 = 49.40, of which 40.00 are billed: 20.00 - 1.00 - 9.60.
    assert _charges(november) == [("discount", "account", "-1.00"), ("top_up", "account", "-9.60")]
    assert all(line.correction and line.usage_period == "2026-10" for line in november.lines)
    assert november.total == "9.40"
    assert sum(Decimal(tier.amount) for tier in november.lines[1].tiers) == Decimal("-1.00")
    await _assert_books_agree(billing_pool)


async def test_terms_set_after_the_issue_change_nothing_that_was_issued(
    sold: None, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await close(billing_pool, OCTOBER, _after(OCTOBER))
    await _agree(database, "acct_a", date(2026, 10, 1), access_fee="2.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await close(billing_pool, NOVEMBER, _after(NOVEMBER))
    november = await _document(billing_pool, NOVEMBER)
    assert [(line.kind, line.usage_period, line.amount) for line in november.lines] == [
        ("usage", "2026-10", "1.00"),
        ("fee", "2026-11", "2.00"),
    ]
    await _assert_books_agree(billing_pool)


async def test_a_commitment_is_drawn_down_and_trued_up_in_its_last_month(
    sold: None, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _agree(database, "acct_a", date(2026, 9, 1), committed_spend="100.00", committed_months=3)
    for month, calls in ((9, 30), (10, 20), (11, 10)):
        await use(billing_pool, [call("acct_a", datetime(2026, month, 5, tzinfo=UTC)) for _ in range(calls)])
    for period in (SEPTEMBER, OCTOBER, NOVEMBER):
        await close(billing_pool, period, _after(period))
    assert _charges(await _document(billing_pool, OCTOBER)) == []
    assert _charges(await _document(billing_pool, NOVEMBER)) == [("true_up", "account", "40.00")]
    # Five late calls of September were committed already: they cost nothing more.
    await use(billing_pool, [call("acct_a", datetime(2026, 9, 5, tzinfo=UTC)) for _ in range(5)])
    await close(billing_pool, DECEMBER, _after(DECEMBER))
    december = await _document(billing_pool, DECEMBER)
    assert [(line.kind, line.amount) for line in december.lines] == [("usage", "5.00"), ("true_up", "-5.00")]
    await _assert_books_agree(billing_pool)


async def test_a_draft_shows_what_its_terms_would_come_to(
    sold: None, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _agree(database, "acct_a", date(2026, 10, 1), access_fee="2.00", minimum="40.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await rate_pending(billing_pool, ManualClock(OCTOBER_5))
    draft = await _document(billing_pool, OCTOBER)
    assert (draft.state, _charges(draft), draft.total) == (
        "draft",
        [("fee", "account", "2.00"), ("top_up", "account", "37.00")],
        "40.00",
    )
    await _assert_books_agree(billing_pool)


async def test_tax_is_rounded_once_for_each_rate_and_only_external_accounts_pay_it(
    sold: None, admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await add_account(admin, "acct_x", kind="external", profile={**PROFILE, "country": "CN"})
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    async with gateway.transaction():
        for service, rate in (("", "6"), ("stock", "13")):
            await set_tax_rate(gateway, TaxRate("CN", service, date(2026, 1, 1), "VAT", Decimal(rate)), **BY)
    await gateway.close()
    await _agree(database, "acct_x", date(2026, 10, 1), access_fee="2.01")
    for account in ("acct_a", "acct_x"):
        await use(billing_pool, [call(account, OCTOBER_5) for _ in range(3)])
        await use(billing_pool, [call(account, OCTOBER_5, operation="stock/reserve", price_version="stock")])
    await close(billing_pool, OCTOBER, _after(OCTOBER))
    assert (await _document(billing_pool, OCTOBER)).total == "4.00"
    found = await _document(billing_pool, OCTOBER, "acct_x")
    # The fee is divided 3 : 1, so 6 % of 4.51 and 13 % of 1.50.
    assert [(line.name, line.base, line.amount) for line in found.lines if line.kind == "tax"] == [
        ("CN VAT 13 %", "1.50", "0.20"),
        ("CN VAT 6 %", "4.51", "0.27"),
    ]
    assert found.total == "6.48"
    assert ("tax", "0.47") in [(one.service, one.amount) for one in found.services]
    await _assert_books_agree(billing_pool)


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"access_fee": Decimal(-1)}, "/access_fee"),
        ({"minimum": Decimal("0.001")}, "/minimum"),
        ({"discount_pct": Decimal(101)}, "/discount_pct"),
        ({"committed_spend": Decimal(10)}, "/committed_spend"),
        ({"committed_months": 121, "committed_spend": Decimal(1)}, "/committed_months"),
        ({"access_fee": Decimal(1), "service": "teleport"}, "/service"),
        ({"access_fee": Decimal(1), "starts_on": date(2026, 11, 15)}, "/starts_on"),
        ({"starts_on": date(2026, 11, 15)}, "/starts_on"),
    ],
)
async def test_terms_that_cannot_be_kept_are_refused(
    sold: None, database: Database, terms: Mapping[str, Any], pointer: str
) -> None:
    await _agree(database, "acct_a", date(2026, 10, 1), access_fee="2.00")
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        account = await find_account(gateway, "acct_a")
        wrong = ContractTerms(**{"id": "", "service": "", "starts_on": date(2026, 12, 1), **terms})
        with pytest.raises(Problem) as refused:
            async with gateway.transaction():
                await set_terms(gateway, account, wrong, **BY)
        assert [error.pointer for error in refused.value.errors] == [pointer]
        assert len(await list_terms(gateway, account)) == 1
    finally:
        await gateway.close()


@pytest.mark.parametrize(
    "wrong",
    [
        TaxRate("cn", "", date(2026, 1, 1), "VAT", Decimal(6)),
        TaxRate("CN", "", date(2026, 1, 2), "VAT", Decimal(6)),
        TaxRate("CN", "", date(2026, 1, 1), " ", Decimal(6)),
        TaxRate("CN", "", date(2026, 1, 1), "VAT", Decimal(-6)),
    ],
)
async def test_tax_rates_that_no_law_writes_are_refused(database: Database, wrong: TaxRate) -> None:
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        with pytest.raises(Problem, match=r"write|use the|changes on"):
            async with gateway.transaction():
                await set_tax_rate(gateway, wrong, **BY)
    finally:
        await gateway.close()

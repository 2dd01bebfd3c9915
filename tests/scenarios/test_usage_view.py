"""What an account sees of its own usage, documents and calls, within its own scope."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.desk import close
from billing.invoice.month import Month
from billing.invoice.rate_pending import rate_pending
from billing.result.step import Proof
from billing.transaction import Connection
from billing.view import calls, document, documents, usage
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import parse_call_id
from catalog.vocabulary.money import Money
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.result_books import PROVEN, ResultBooks, add_share, answered
from tests.usage_books import GRADUATED, add_account, add_price, call, use

OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)


@asynccontextmanager
async def _as_account(pool: asyncpg.Pool, account_id: str) -> AsyncIterator[Connection]:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', $1, true)", account_id)
        yield connection


async def _prices(admin: asyncpg.Connection) -> None:
    await add_price(admin, "price", model="graduated", price=GRADUATED)
    await add_price(admin, "reserve", "stock/reserve", price={"unit_price": "0.065"})


async def test_usage_shows_money_by_service_and_operation_before_anything_is_rated(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, reader_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await _prices(admin)
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(34)])
    reserve: dict[str, Any] = {"operation": "stock/reserve", "price_version": "reserve"}
    await use(
        billing_pool,
        [call("acct_a", OCTOBER_5, **reserve), call("acct_a", OCTOBER_5, class_="declined", **reserve)],
    )
    async with _as_account(reader_pool, "acct_a") as connection:
        found = await usage(connection, "acct_a", "live", OCTOBER)
        empty = await usage(connection, "acct_a", "test", OCTOBER)
    assert (found.calls, found.units, found.amount) == (36, "35", Money("1.86", "CNY"))
    address, stock = found.services
    assert (address.service, address.amount) == ("address", Money("1.79", "CNY"))
    (operation,) = stock.operations
    assert (operation.operation, operation.calls, operation.units) == ("stock/reserve", 2, "1")
    assert operation.amount == Money("0.07", "CNY")
    assert (empty.calls, empty.amount, empty.services) == (0, Money("0.00", "CNY"), ())


async def test_what_is_shown_is_what_the_document_then_says(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, reader_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await _prices(admin)
    for month in (10, 11):
        await use(billing_pool, [call("acct_a", OCTOBER_5.replace(month=month)) for _ in range(34)])
    async with _as_account(reader_pool, "acct_a") as connection:
        seen = (await usage(connection, "acct_a", "live", OCTOBER)).amount
    await close(billing_pool, NOVEMBER, ManualClock(datetime(2026, 12, 2, tzinfo=UTC)))
    async with _as_account(reader_pool, "acct_a") as connection:
        first = await documents(connection, "acct_a", "live", limit=1)
        second = await documents(connection, "acct_a", "live", limit=1, after=first.next)
    assert [(one.period, one.total, one.number) for one in first.data + second.data] == [
        ("2026-11", seen, "S-2026-000002"),
        ("2026-10", seen, "S-2026-000001"),
    ]
    assert second.next is None


async def test_recent_calls_are_paged_latest_first_with_their_charge(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, reader_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await _prices(admin)
    moments = [OCTOBER_5 + timedelta(seconds=second) for second in range(5)]
    fields: list[dict[str, Any]] = [
        {},
        {"class_": "declined"},
        {},
        {"operation": "stock/reserve", "price_version": "reserve"},
        {},
    ]
    await use(billing_pool, [call("acct_a", at, **more) for at, more in zip(moments, fields, strict=True)])
    async with _as_account(reader_pool, "acct_a") as connection:
        page = await calls(connection, "acct_a", "live", limit=2)
        assert page.next is not None
        rest = await calls(connection, "acct_a", "live", limit=3, after=parse_call_id(page.next))
    entries = page.data + rest.data
    assert [one.occurred_at for one in entries] == [
        f"2026-10-05T00:00:0{second}Z" for second in (4, 3, 2, 1, 0)
    ]
    assert [(one.charge.amount, one.charge.currency, one.estimate) for one in entries] == [
        ("0.055", "CNY", True),
        ("0.065", "CNY", False),
        ("0.055", "CNY", True),
        ("0", "CNY", False),
        ("0.055", "CNY", True),
    ]
    assert rest.next is None


async def test_a_call_is_charged_for_each_of_its_results_by_itself(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> None:
    """A tenth of 10,700 is 1,070, and of 60,000 the most that one result costs."""
    await add_account(admin, "acct_a")
    await add_share(admin, "proven", PROVEN, {"rate_pct": "10", "max": "5000"})
    books = ResultBooks(gateway_pool, billing_pool, admin)
    await books.called(answered(price="proven"))
    for saved in (10_700, 60_000):
        await books.state(Proof(Decimal(2), Decimal(1), Decimal(saved), "audited"))
    await books.accept("6070.00")
    async with _as_account(billing_pool, "acct_a") as connection:
        (shown,) = (await calls(connection, "acct_a", "live", 10)).data
    assert (shown.units, shown.charge, shown.estimate) == ("70700", Money("6070", "CNY"), False)


async def test_another_account_sees_nothing(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, reader_pool: asyncpg.Pool
) -> None:
    for account in ("acct_a", "acct_b"):
        await add_account(admin, account)
    await _prices(admin)
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await close(billing_pool, OCTOBER, ManualClock(datetime(2026, 11, 2, tzinfo=UTC)))
    async with _as_account(reader_pool, "acct_b") as connection:
        with pytest.raises(Problem, match="no account acct_a"):
            await usage(connection, "acct_a", "live", OCTOBER)
        assert (await calls(connection, "acct_a", "live", limit=9)).data == ()
        assert (await documents(connection, "acct_a", "live", limit=9)).data == ()


async def test_a_month_under_contract_shows_what_its_draft_comes_to_beside_what_its_calls_cost(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, reader_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await _prices(admin)
    await admin.execute("SET ordergate.account = '*'")
    await admin.execute(
        "INSERT INTO catalog.account_terms (id, account_id, service, starts_on, revision, access_fee, discount_pct, minimum, "
        "committed_spend, committed_months, set_at, set_by) "
        "VALUES ('terms_a', 'acct_a', '', '2026-09-01', 1, 2.00, 5, 40.00, 0, 0, '2026-09-01Z', 'tests')"
    )
    async with _as_account(reader_pool, "acct_a") as connection:
        untouched = await usage(connection, "acct_a", "live", OCTOBER)
    assert (untouched.amount, untouched.bill.amount) == (Money("0.00", "CNY"), Money("40.00", "CNY"))
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(34)])
    await rate_pending(billing_pool, ManualClock(OCTOBER_5))
    async with _as_account(reader_pool, "acct_a") as connection:
        seen = await usage(connection, "acct_a", "live", OCTOBER)
        (draft,) = (await documents(connection, "acct_a", "live", limit=9)).data
        drafted = await document(connection, Month("acct_a", "live", OCTOBER))
        sandbox = await usage(connection, "acct_a", "test", OCTOBER)
    assert seen.amount == Money("1.79", "CNY"), "what its calls cost"
    assert seen.bill.amount == draft.total == Money(drafted.total, "CNY") == Money("40.00", "CNY")
    assert [(one.kind, one.amount.amount) for one in seen.bill.besides] == [
        ("fee", "2.00"),
        ("discount", "-0.19"),
        ("top_up", "36.40"),
    ]
    assert (draft.state, draft.number, sandbox.bill.amount) == ("draft", None, Money("0.00", "CNY"))

"""A bill far above what the account is used to waits for a person, and everybody else's does not."""

from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest

from billing.desk import close, issue_held
from billing.invoice.guard import is_unusual
from billing.invoice.month import Month
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import document
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.usage_books import add_account, add_price, call, use

JULY, AUGUST, SEPTEMBER, OCTOBER, NOVEMBER = (Period(2026, month) for month in range(7, 12))
HELD = Month("acct_a", "live", OCTOBER)


def _after(period: Period) -> ManualClock:
    return ManualClock(datetime(period.next().year, period.next().month, 2, tzinfo=UTC))


async def _use(pool: asyncpg.Pool, period: Period, calls: int, account: str = "acct_a") -> None:
    await use(pool, [call(account, datetime(period.year, period.month, 5, tzinfo=UTC)) for _ in range(calls)])


async def _closed(admin: asyncpg.Connection, pool: asyncpg.Pool, october: int) -> None:
    """Three months of two calls, then an October of as many as that, and a neighbour whose October is usual."""
    await add_account(admin, "acct_a")
    await add_account(admin, "acct_b")
    await add_price(admin, "price", price={"unit_price": "1"})
    for period in (JULY, AUGUST, SEPTEMBER):
        await _use(pool, period, 2)
        await close(pool, period, _after(period))
    await _use(pool, OCTOBER, october)
    await _use(pool, OCTOBER, 1, "acct_b")


async def test_more_than_ten_times_the_median_is_held_and_the_neighbour_is_issued(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _closed(admin, billing_pool, october=21)
    report = await close(billing_pool, OCTOBER, _after(OCTOBER))
    assert [one.account_id for one in report.issued] == ["acct_b"]
    assert [(one.account_id, one.reason, one.amount) for one in report.left_draft] == [
        ("acct_a", "unusual-amount", Decimal("21.00"))
    ]
    async with all_accounts(billing_pool) as connection:
        draft = await document(connection, HELD)
    assert (draft.state, draft.held, draft.total) == ("draft", "unusual-amount", "21.00")
    # It waits, and with it what comes after it: documents come in the order of their months.
    await _use(billing_pool, NOVEMBER, 2)
    report = await close(billing_pool, NOVEMBER, _after(NOVEMBER))
    assert [(one.period, one.reason) for one in report.left_draft] == [
        ("2026-10", "unusual-amount"),
        ("2026-11", "after 2026-10"),
    ]
    assert await verify(billing_pool, ()) == []

    issued = await issue_held(billing_pool, HELD, actor="finance@test", clock=_after(NOVEMBER))
    assert (issued.number, issued.total) == ("S-2026-000005", Decimal("21.00"))
    report = await close(billing_pool, NOVEMBER, _after(NOVEMBER))
    assert [(one.period, one.number) for one in report.issued] == [("2026-11", "S-2026-000006")]
    row = await admin.fetchrow(
        "SELECT actor, object, detail FROM catalog.audit WHERE action = 'invoice.approve'"
    )
    assert row is not None
    assert (row["actor"], row["object"]) == ("finance@test", "account/acct_a")
    assert '"unusual-amount"' in row["detail"]
    assert await verify(billing_pool, ()) == []


async def test_ten_times_the_median_is_issued(admin: asyncpg.Connection, billing_pool: asyncpg.Pool) -> None:
    await _closed(admin, billing_pool, october=20)
    assert len((await close(billing_pool, OCTOBER, _after(OCTOBER))).issued) == 2


async def test_only_what_is_held_is_approved_and_in_the_order_of_the_months(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _closed(admin, billing_pool, october=21)
    with pytest.raises(Problem, match="no document of 2026-10 that is held"):
        await issue_held(billing_pool, HELD, actor="finance@test", clock=_after(OCTOBER))
    nobody = Month("acct_nobody", "live", OCTOBER)
    with pytest.raises(Problem, match="no account"):
        await issue_held(billing_pool, nobody, actor="finance@test", clock=_after(OCTOBER))
    await close(billing_pool, OCTOBER, _after(OCTOBER))
    issued = await issue_held(billing_pool, HELD, actor="finance@test", clock=_after(OCTOBER))
    assert issued.period == "2026-10"
    with pytest.raises(Problem, match="held"):
        await issue_held(billing_pool, HELD, actor="finance@test", clock=_after(OCTOBER))
    assert await verify(billing_pool, ()) == []


@pytest.mark.parametrize(
    ("total", "earlier", "held"),
    [
        ("1000.00", [], False),
        ("1000.00", ["1.00", "1.00"], False),
        ("10.00", ["1.00", "1.00", "1.00"], False),
        ("10.01", ["1.00", "1.00", "1.00"], True),
        ("0.00", ["0.00", "0.00", "0.00"], False),
        ("0.01", ["0.00", "0.00", "0.00"], True),
        # Twelve at most: the cheap months of long ago do not count.
        ("50.00", ["0.01"] * 13 + ["5.00"] * 12, False),
        ("15.01", ["1.00", "2.00", "1.00", "2.00"], True),
    ],
)
def test_the_rule(total: str, earlier: list[str], held: bool) -> None:
    assert is_unusual(Decimal(total), [Decimal(one) for one in earlier]) is held

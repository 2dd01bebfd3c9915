"""What was paid in advance pays the month's document; what is not used expires; every book agrees."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.desk import close
from billing.prepaid.expire import expire_credit
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.prepaid_books import (
    NOVEMBER_2,
    OCTOBER_5,
    SEPTEMBER_1,
    all_agree,
    give,
    grants,
    ledger,
    spend,
)
from tests.usage_books import PROFILE, add_account, add_price, call, use

OCTOBER = Period(2026, 10)


@pytest.fixture
async def account(admin: asyncpg.Connection) -> None:
    await add_account(admin, "acct_a", kind="external", profile=PROFILE)
    await add_price(admin, "price")


@pytest.mark.usefixtures("account")
async def test_a_document_is_paid_by_the_grants_that_its_calls_took_of(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    first = await give(billing_pool, "0.10", priority=1)
    second = await give(billing_pool, "5.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(20)])
    await spend(admin, first, "0.10")
    await spend(admin, second, "1.000")
    report = await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    assert [one.total for one in report.issued] == [Decimal("1.10")]
    one, two = await grants(billing_pool)
    assert (one.applied, one.used, two.applied, two.used) == (
        Decimal("0.10"),
        Decimal("0.10"),
        Decimal("1.00"),
        Decimal("1.00"),
    )
    assert await ledger(billing_pool) == {
        "bank": Decimal("5.10"),
        "earnings:address": Decimal("-1.10"),
        "prepaid": Decimal("-4.00"),
    }
    await all_agree(billing_pool)


@pytest.mark.usefixtures("account")
async def test_a_price_below_the_list_gives_the_difference_back_and_one_above_takes_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_price(admin, "pack", model="package", price={"package_size": "10", "package_price": "1.00"})
    grant = await give(billing_pool, "5.00")
    # Eleven calls are two packages, and eleven tenths of one by the list.
    await use(billing_pool, [call("acct_a", OCTOBER_5, price_version="pack") for _ in range(11)])
    await spend(admin, grant, "1.10")
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    (found,) = await grants(billing_pool)
    assert (found.applied, found.used) == (Decimal(2), Decimal(2))
    assert "receivable" not in await ledger(billing_pool)
    await all_agree(billing_pool)


@pytest.mark.usefixtures("account")
async def test_less_was_due_than_the_calls_took_and_the_rest_is_free_again(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    grant = await give(billing_pool, "5.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(10)])
    await spend(admin, grant, "2.00")
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    (found,) = await grants(billing_pool)
    assert (found.applied, found.used) == (Decimal("0.55"), Decimal("0.55"))
    await all_agree(billing_pool)


@pytest.mark.usefixtures("account")
async def test_what_no_credit_covers_stays_receivable(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "0.30", category="promotional")
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(10)])
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    assert await ledger(billing_pool) == {
        "promotions": Decimal("0.30"),
        "earnings:address": Decimal("-0.55"),
        "receivable": Decimal("0.25"),
    }
    await all_agree(billing_pool)


@pytest.mark.usefixtures("account")
async def test_a_month_whose_credit_workers_still_hold_is_not_issued(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    grant = await give(billing_pool, "5.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await spend(admin, grant, "1.00", state="open")
    report = await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    assert report.issued == ()
    assert "workers still hold" in report.left_draft[0].reason


@pytest.mark.usefixtures("account")
async def test_an_expired_grant_is_booked_once_when_its_calls_have_been_paid(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    grant = await give(billing_pool, "5.00", valid_until=datetime(2026, 10, 20, tzinfo=UTC))
    given = await give(
        billing_pool, "1.00", valid_until=datetime(2026, 10, 20, tzinfo=UTC), category="promotional"
    )
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(20)])
    await spend(admin, grant, "1.10")
    clock = ManualClock(NOVEMBER_2)
    assert await expire_credit(billing_pool, clock) == 1, "nothing was taken of the second"
    await close(billing_pool, OCTOBER, clock)
    assert await expire_credit(billing_pool, clock) == 1
    assert await expire_credit(billing_pool, clock) == 0
    found = {one.id: one for one in await grants(billing_pool)}
    assert (found[grant.id].expired, found[given.id].expired) == (Decimal("3.90"), Decimal(1))
    assert await ledger(billing_pool) == {
        "bank": 5,
        "breakage": Decimal("-3.90"),
        "earnings:address": Decimal("-1.10"),
    }
    kinds = await admin.fetch("SELECT kind FROM catalog.outbox WHERE kind = 'credit.expired'")
    assert len(kinds) == 2
    await all_agree(billing_pool)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("amount", "terms", "pointer"),
    [
        ("0", {}, "/amount"),
        ("1.001", {}, "/amount"),
        ("1", {"priority": 1001}, "/priority"),
        ("1", {"valid_until": SEPTEMBER_1}, "/expires"),
    ],
)
async def test_a_grant_that_cannot_be_is_refused_by_field(
    billing_pool: asyncpg.Pool, amount: str, terms: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Problem) as refused:
        await give(billing_pool, amount, **terms)
    assert (refused.value.type.name, refused.value.errors[0].pointer) == ("invalid-input", pointer)


@pytest.mark.usefixtures("account")
async def test_who_is_collected_from_does_not_pay_in_advance_as_well(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await admin.execute(
        "INSERT INTO billing.payment_account (account_id, enabled, terms_days, reminder_days, changed_at) "
        "VALUES ('acct_a', true, 30, '{1}', now())"
    )
    with pytest.raises(Problem) as refused:
        await give(billing_pool, "1")
    assert refused.value.type.name == "conflict"

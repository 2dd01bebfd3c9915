"""Reported usage takes of prepaid credit as calls do: at once, from the right grants, and every book agrees in the end."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import asyncpg
import pytest

from billing.allowance import Holder, Wanted, take
from billing.desk import close
from billing.invoice.rate_pending import rate_pending
from billing.prepaid.expire import expire_credit
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.prepaid_books import (
    NOVEMBER_2,
    OCTOBER_5,
    all_agree,
    faults,
    give,
    grants,
    ledger,
    spend,
    used,
)
from tests.reported_usage import accepted, report
from tests.usage_books import PROFILE, add_account, add_price, call, roll_up_all, use

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
OCTOBER_15, OCTOBER_25 = datetime(2026, 10, 15, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
NOVEMBER_5, DECEMBER_2 = datetime(2026, 11, 5, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
async def account(admin: asyncpg.Connection) -> None:
    await add_account(admin, "acct_a", kind="external", profile=PROFILE)
    await add_price(admin, "price")


async def test_a_document_is_paid_by_the_credit_that_reported_usage_took(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    grant = await give(billing_pool, "5.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(10)])
    await spend(admin, grant, "0.55")
    reports = [report(call("acct_a", OCTOBER_5, units="7")), report(call("acct_a", OCTOBER_15, units="13"))]
    await accepted(gateway_pool, reports, OCTOBER_25)
    await roll_up_all(billing_pool)
    assert await used(billing_pool) == [Decimal("1.65")]
    assert await faults(billing_pool) == []
    issued = (await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))).issued
    assert [one.total for one in issued] == [Decimal("1.65")]
    (found,) = await grants(billing_pool)
    assert (found.used, found.applied) == (Decimal("1.65"), Decimal("1.65"))
    await all_agree(billing_pool)


async def test_what_credit_did_not_cover_overdraws_it_until_the_document_leaves_it_receivable(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "0.40", priority=1)
    await give(billing_pool, "0.60", priority=2)
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_5, units="30"))], OCTOBER_25)
    await roll_up_all(billing_pool)
    assert await used(billing_pool) == [Decimal("0.40"), Decimal("1.25")]
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    assert await used(billing_pool) == [Decimal("0.40"), Decimal("0.60")]
    assert (await ledger(billing_pool))["receivable"] == Decimal("0.65")
    await all_agree(billing_pool)


async def test_a_grant_makes_up_for_what_another_one_is_overdrawn_by_before_calls_take_of_it(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "1.00", priority=1)
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_5, units="30"))], OCTOBER_25)
    await give(billing_pool, "1.00", priority=2)
    lent = []
    for _ in range(9):
        async with gateway_pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
            month = OCTOBER.first_day
            wanted = Wanted("acct_a", "live", "credit", "", month, OCTOBER_5, month, Decimal("0.055"))
            taken = await take(connection, Holder(uuid4(), uuid4()), wanted, OCTOBER_25, OCTOBER_25)
            lent += [one.amount for one in taken.leases]
    assert sum(lent) == Decimal("0.33"), "six calls of the 0.35 that are left in all"


async def test_usage_of_a_month_that_was_issued_takes_of_credit_for_the_document_that_will_carry_it(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "5.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_5, units="10"))], NOVEMBER_5)
    await roll_up_all(billing_pool)
    await rate_pending(billing_pool, ManualClock(NOVEMBER_5))
    assert await used(billing_pool) == [Decimal("0.61")], "0.06 of the document, and 0.55"
    issued = (await close(billing_pool, NOVEMBER, ManualClock(DECEMBER_2))).issued
    assert [one.total for one in issued] == [Decimal("0.55")]
    (found,) = await grants(billing_pool)
    assert found.used == found.applied == Decimal("0.61")
    await all_agree(billing_pool)


async def test_a_grant_that_is_over_pays_for_what_was_used_in_its_time_and_expires_after_that(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "1.00", valid_until=OCTOBER_15 + DAY)
    await give(billing_pool, "5.00")
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_15, units="4"))], OCTOBER_25)
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_15 + DAY, units="4"))], OCTOBER_25)
    assert await used(billing_pool) == [Decimal("0.22"), Decimal("0.22")]
    assert await expire_credit(billing_pool, ManualClock(OCTOBER_25)) == 0, "its month is not issued yet"
    await roll_up_all(billing_pool)
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_2))
    assert await expire_credit(billing_pool, ManualClock(NOVEMBER_2)) == 1
    assert [one.expired for one in await grants(billing_pool)] == [Decimal("0.78"), None]
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_15, units="4"))], NOVEMBER_5)
    assert await used(billing_pool) == [Decimal("0.22"), Decimal("0.44")], "what has lapsed pays nothing"


async def test_an_account_that_was_only_given_credit_does_not_pay_in_advance(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await give(billing_pool, "5.00", category="promotional")
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_5, units="10"))], OCTOBER_25)
    assert await used(billing_pool) == [0]
    assert await admin.fetchval("SELECT count(*) FROM billing.lease") == 0


async def test_workers_are_asked_for_what_they_hold_of_credit_that_is_overdrawn(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    first, second = await give(billing_pool, "1.00", priority=1), await give(billing_pool, "1.00", priority=2)
    await spend(admin, first, "1.00", state="open")

    async def wanted() -> list[str]:
        rows = await admin.fetch("SELECT subject FROM billing.allowance WHERE wanted_at IS NOT NULL")
        return [row["subject"] for row in rows]

    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_5, units="18"))], OCTOBER_25)
    assert await wanted() == []
    await accepted(gateway_pool, [report(call("acct_a", OCTOBER_5, units="1"))], OCTOBER_25)
    assert await wanted() == [first.id]
    assert [one.used for one in await grants(billing_pool)] == [0, Decimal("1.045")]
    assert second.reserved == 0

"""An accepted result is usage that has happened: it counts against the limits that there are, as reported usage does."""

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from billing.allowance import Holder, Wanted, take
from billing.desk import close
from billing.invoice.month import Month
from billing.invoice.rate_pending import rate_pending
from billing.invoice.results import accept_results
from billing.lease.so_far import charges_so_far
from billing.result.step import Proof
from catalog.vocabulary.clock import ManualClock, from_ns, to_ns
from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.problem import Problem
from tests.allowances import add_limit
from tests.prepaid_books import all_agree, faults, give, grants, used
from tests.result_books import NOON, NOVEMBER, NOW, PROVEN, SAVED, ResultBooks, add_share, answered
from tests.usage_books import PROFILE, add_account, roll_up_all

OCTOBER_1, NOVEMBER_1 = date(2026, 10, 1), date(2026, 11, 1)
DECEMBER_2, DECEMBER_9, JANUARY_2 = (
    ManualClock(datetime(*day, tzinfo=UTC)) for day in ((2026, 12, 2), (2026, 12, 9), (2027, 1, 2))
)


@pytest.fixture
async def books(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> ResultBooks:
    await add_account(admin, "acct_a", "external", profile=PROFILE)
    await add_share(admin, "proven", PROVEN, {"rate_pct": "10", "max": "50"})
    await add_share(admin, "saved", SAVED, {"rate_pct": "10", "of": "/reply/saving", "min": "1", "max": "50"})
    return ResultBooks(gateway_pool, billing_pool, admin)


async def spent(admin: asyncpg.Connection, limit: int) -> Decimal:
    """What is used of a limit."""
    found: Decimal = await admin.fetchval("SELECT used FROM billing.allowance WHERE id = $1", limit)
    return found


async def begun(pool: asyncpg.Pool, subject: str) -> Decimal:
    """What November's budget starts from when it is first asked for."""
    starts_at = datetime(2026, 10, 31, 16, tzinfo=UTC)
    wanted = Wanted("acct_a", "live", "budget", subject, NOVEMBER_1, starts_at, NOVEMBER_1, Decimal(1))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
        return (await take(connection, Holder(uuid4(), uuid4()), wanted, NOW, NOW)).standing.used


async def test_it_counts_in_the_budgets_of_its_calls_month_and_never_twice(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    november = await add_limit(admin, "budget", starts_on=NOVEMBER_1)
    october = await add_limit(admin, "budget", starts_on=OCTOBER_1)
    application = await add_limit(admin, "budget", starts_on=NOVEMBER_1, scope="app_acct_a")
    quota = await add_limit(admin, "quota", "customs/check month", starts_on=NOVEMBER_1)
    await books.called(answered("100"), answered("2"), answered("7000"))
    assert await spent(admin, november) == 0, "what is open is owed by nobody"
    with pytest.raises(Problem, match=r"come to 61\.00 CNY now"):
        await books.accept("60.00")
    assert await spent(admin, november) == 0
    await books.accept("61.00")
    await books.called(answered("30"))
    await books.accept("3.00")
    with pytest.raises(Problem, match="waits for acceptance"):
        await books.accept("3.00")
    assert [await spent(admin, one) for one in (november, october, application, quota)] == [64, 0, 64, 0]


@pytest.mark.parametrize("rolled_up", [False, True])
async def test_a_budget_that_begins_later_equals_one_that_counted_all_along(
    books: ResultBooks, admin: asyncpg.Connection, rolled_up: bool
) -> None:
    """Several results of one call are each bounded by itself."""
    along = await add_limit(admin, "budget", starts_on=NOVEMBER_1)
    await books.called(answered("100"), answered("2"), answered(price="proven"))
    for _ in range(2):
        await books.state(Proof(Decimal(10), Decimal(0), Decimal(100), "a thousand"))
    assert (await books.accept_all()).total.amount == "111.00"
    await add_limit(admin, "budget", starts_on=OCTOBER_1, scope="app_acct_a")
    if rolled_up:
        await roll_up_all(books.billing)
    assert await begun(books.gateway, "budget of app_acct_a") == await spent(admin, along) == 111


async def test_prepaid_credit_pays_it_and_is_taken_when_it_is_accepted(
    books: ResultBooks, billing_pool: asyncpg.Pool
) -> None:
    await give(billing_pool, "40.00")
    declined = answered("50")
    await books.called(answered("100"), answered("350"), declined)
    await books.decline(declined.uuid)
    await books.accept_all()
    assert await used(billing_pool) == [Decimal("45.00")], "overdrawn, for it is owed"
    assert await faults(billing_pool) == []
    await roll_up_all(billing_pool)
    (issued,) = (await close(billing_pool, NOVEMBER, DECEMBER_2)).issued
    assert issued.total == Decimal("45.00")
    (found,) = await grants(billing_pool)
    assert found.used == found.applied == Decimal("40.00")
    await all_agree(billing_pool)


async def test_what_is_accepted_after_the_issue_is_taken_for_the_document_that_carries_it(
    books: ResultBooks, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await give(billing_pool, "40.00")
    await books.called(answered("100"))
    await close(billing_pool, NOVEMBER, DECEMBER_2)
    async with books.gateway.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', 'acct_a', true)")
        await accept_results(connection, books.month, Decimal(10), "payer", from_ns(DECEMBER_9.now_ns()))
    assert await used(billing_pool) == [Decimal("10.00")]
    assert await admin.fetchval("SELECT period FROM billing.lease") == date(2026, 12, 1)
    await roll_up_all(billing_pool)
    await rate_pending(billing_pool, DECEMBER_9)
    (issued,) = (await close(billing_pool, NOVEMBER.next(), JANUARY_2)).issued
    assert (issued.period, issued.total) == ("2026-12", Decimal("10.00"))
    (found,) = await grants(billing_pool)
    assert found.used == found.applied == Decimal("10.00")
    await all_agree(billing_pool)


async def test_a_limit_that_begins_while_results_are_accepted_counts_them_once(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    await books.called(*(answered("100") for _ in range(30)))
    limit = await add_limit(admin, "budget", starts_on=OCTOBER_1)
    subject = await admin.fetchval("SELECT subject FROM billing.allowance WHERE id = $1", limit)
    await asyncio.gather(books.accept("300.00"), *(begun(books.gateway, subject) for _ in range(4)))
    assert await admin.fetchval("SELECT used FROM billing.allowance WHERE starts_on = $1", NOVEMBER_1) == 300


async def test_a_budget_of_a_sandbox_begins_with_what_was_accepted_in_it_whatever_its_clock_says(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    await admin.execute("UPDATE catalog.account SET test_clock = '2026-12-03Z' WHERE id = 'acct_a'")
    event = answered("100", moment=NOON, environment="test")
    earlier = new_event_id(to_ns(datetime(2026, 10, 2, tzinfo=UTC)))
    await books.called(msgspec.structs.replace(event, id=earlier.hex))
    await books.accept("10.00", Month("acct_a", "test", NOVEMBER))
    starts_at = datetime(2026, 10, 31, 16, tzinfo=UTC)
    wanted = Wanted("acct_a", "test", "budget", "any", NOVEMBER_1, starts_at, NOVEMBER_1, Decimal(1))
    async with books.gateway.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
        assert await charges_so_far(connection, wanted, "account", "acct_a") == 10


async def test_results_of_a_sandbox_take_nothing_of_live_limits(
    books: ResultBooks, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    live = await add_limit(admin, "budget", starts_on=NOVEMBER_1)
    await give(billing_pool, "40.00")
    await admin.execute("UPDATE catalog.account SET test_clock = '2026-12-03Z' WHERE id = 'acct_a'")
    await books.called(answered("100", moment=NOON, environment="test"))
    await books.accept("10.00", Month("acct_a", "test", NOVEMBER))
    assert [await spent(admin, live), *await used(billing_pool)] == [0, 0]

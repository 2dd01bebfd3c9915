"""A result is agreed to once, whatever races, by its payer alone; and what was agreed to is what became usage."""

import asyncio
from decimal import Decimal

import asyncpg
import pytest

from billing.invoice.results import accept_results, result_statement
from billing.result.step import decline_result
from billing.store.amend import Amendment, amend
from billing.store.usage_row import COLUMNS
from billing.transaction import all_accounts
from catalog.vocabulary.clock import SystemClock
from catalog.vocabulary.problem import Problem
from tests.fakes.journal_disk import is_torture
from tests.result_books import (
    NOON,
    ResultBooks,
    answered,
    everything,
    open_books,
)
from tests.usage_books import add_account


@pytest.fixture
async def books(
    gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> ResultBooks:
    return await open_books(gateway_pool, billing_pool, admin)


async def test_of_two_who_accept_at_once_one_does_and_the_database_would_not_let_both(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    await books.called(*(answered("100") for _ in range(20)))
    attempts = await asyncio.gather(*(books.accept("200.00") for _ in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in attempts) == ["Acceptance", "Problem", "Problem", "Problem"]
    assert await books.billed() == Decimal("200.00")
    copied = """
        INSERT INTO billing.result_step (result_id, step, account_id, environment, period, call_id, operation, subscription_id,
                                         price_version, kind, value, words, amendment_id, taken_at, taken_by)
        SELECT result_id, $1, account_id, environment, period, call_id, operation, subscription_id, price_version, 'accepted',
               value, '', gen_random_uuid(), taken_at, taken_by FROM billing.result_step LIMIT 1
    """
    for step, refusal in (
        (1, asyncpg.UniqueViolationError),
        (2, asyncpg.RestrictViolationError),
        (3, asyncpg.RestrictViolationError),
    ):
        with pytest.raises(refusal):
            await admin.execute(copied, step)
    for change in (
        "DELETE FROM billing.result_step",
        "UPDATE billing.result_step SET value = 0",
        "TRUNCATE billing.result_step",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await admin.execute(change)


async def test_an_acceptance_and_a_withdrawal_at_once_leave_one_of_them(
    books: ResultBooks, billing_pool: asyncpg.Pool
) -> None:
    events = [answered("100") for _ in range(6)]
    await books.called(*events)
    outcomes = await asyncio.gather(
        *(books.withdraw(one.uuid) for one in events[:3]), books.accept("60.00"), return_exceptions=True
    )
    kinds = [type(one).__name__ for one in outcomes]
    assert kinds in (
        ["Problem", "Problem", "Problem", "Acceptance"],
        ["Result", "Result", "Result", "Problem"],
    )
    accepted = kinds[-1] == "Acceptance"
    assert await books.billed() == (Decimal("60.00") if accepted else Decimal(0))
    assert await everything(billing_pool) == []


async def test_nobody_sees_or_says_anything_about_anothers_results(
    books: ResultBooks, admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_b")
    event = answered("100")
    await books.called(event)
    async with gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', 'acct_b', true)")
        with pytest.raises(Problem, match="There is no result"):
            await decline_result(connection, event.uuid, "live", "mine", "stranger", NOON)
        with pytest.raises(Problem, match="There is no account acct_a"):
            await result_statement(connection, books.month, 10)
        with pytest.raises(Problem, match="There is no account acct_a"):
            await accept_results(connection, books.month, Decimal(10), "stranger", NOON)
    await books.accept("10.00")
    async with gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', 'acct_b', true)")
        assert await connection.fetch("SELECT * FROM billing.result_step") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "INSERT INTO billing.result_step (result_id, step, account_id, environment, period, call_id, operation, "
                "subscription_id, price_version, kind, value, words, taken_at, taken_by) VALUES ($1, 1, 'acct_a', 'live', "
                "'2026-11-01', $1, 'customs/check', 's', 'saved', 'declined', 1, '', now(), 'x')",
                answered("1").uuid,
            )


async def test_an_acceptance_without_its_usage_is_found_and_usage_that_nobody_accepted(
    books: ResultBooks, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    first, second = answered("100"), answered("200")
    await books.called(first, second)
    await admin.execute(
        "INSERT INTO billing.result_step (result_id, step, account_id, environment, period, call_id, operation, subscription_id, "
        "price_version, kind, value, words, amendment_id, taken_at, taken_by) VALUES ($1, 1, 'acct_a', 'live', '2026-11-01', $1, "
        "'customs/check', 'sub_acct_a', 'saved', 'accepted', 100, '', $2, now(), 'x')",
        first.uuid,
        answered().uuid,
    )
    async with all_accounts(billing_pool) as connection:
        await amend(connection, [Amendment(second.uuid, Decimal(200))])
    await books.billed()
    found = [one for one in await everything(billing_pool) if "result" in one]
    assert [one.partition(":")[2] for one in sorted(found)] == [
        " accepted at 100, its usage says nothing",
        " accepted at 100, its usage says nothing",
        " 200 units of a result that nobody accepted",
        " 200 units of a result that nobody accepted",
    ]


async def test_a_hundred_thousand_results_are_accepted_in_seconds(
    books: ResultBooks, admin: asyncpg.Connection
) -> None:
    count = 100_000 if is_torture() else 5_000
    await books.called(answered("100"))
    columns = ", ".join(one for one in COLUMNS if one != "id")
    await admin.execute(
        f"INSERT INTO billing.usage_event (id, {columns}) "  # noqa: S608 - constants
        f"SELECT (left(id::text, 15) || substr(gen_random_uuid()::text, 16))::uuid, {columns} "
        "FROM billing.usage_event, generate_series(2, $1)",
        count,
    )
    begun = SystemClock().monotonic_ns()
    statement = await books.statement()
    read = SystemClock().monotonic_ns()
    assert (statement.open, statement.total.amount) == (count, f"{count * 10}.00")
    assert (await books.accept(statement.total.amount)).results == count
    ended = SystemClock().monotonic_ns()
    print(
        f"\n{count} results: read in {(read - begun) / 1e9:.2f} s, accepted in {(ended - read) / 1e9:.2f} s"
    )
    assert ended - begun < 30 * 1_000_000_000
    assert await books.billed() == count * 10

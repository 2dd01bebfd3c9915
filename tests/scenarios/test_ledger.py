"""The ledger only grows, and only by what balances; issued documents stay as they are."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest

from billing.invoice.close import close
from billing.invoice.rate_pending import rate_pending
from billing.ledger.balances import Balance, balances
from billing.ledger.post import Entry, post
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import OWNER
from tests.usage_books import add_account, add_price, call, use

NOW = datetime(2026, 11, 2, tzinfo=UTC)
OCTOBER = Period(2026, 10)


def _entries(*amounts: str, currency: str = "CNY") -> list[Entry]:
    return [Entry("acct_a", f"account-{place}", currency, Decimal(a)) for place, a in enumerate(amounts)]


async def _post(pool: asyncpg.Pool, source: str, entries: Sequence[Entry]) -> int:
    async with all_accounts(pool) as connection:
        return await post(connection, "rating", source, "live", NOW, entries)


async def _issue_one(admin: asyncpg.Connection, pool: asyncpg.Pool) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(pool, [call("acct_a", datetime(2026, 10, 5, tzinfo=UTC)) for _ in range(100)])
    await close(pool, OCTOBER, ManualClock(NOW))


async def test_balances_are_the_sum_of_postings_and_zero_over_the_books(billing_pool: asyncpg.Pool) -> None:
    await _post(billing_pool, "one", _entries("10.00", "-10.00"))
    await _post(billing_pool, "two", _entries("-2.50", "1.50", "1.00"))
    await _post(billing_pool, "yen", _entries("7", "-7", currency="JPY"))
    async with all_accounts(billing_pool) as connection:
        found = await balances(connection, "live")
        assert await balances(connection, "test") == ()
    assert Balance("acct_a", "account-0", "CNY", Decimal("7.50")) in found
    assert Balance("acct_a", "account-2", "CNY", Decimal("1.00")) in found
    assert sum(one.amount for one in found if one.currency == "CNY") == 0
    assert sum(one.amount for one in found if one.currency == "JPY") == 0


@pytest.mark.parametrize("amounts", [("1.00", "-0.99"), ("0.00", "0.00"), ("0.005", "-0.005"), ()])
async def test_what_does_not_balance_in_minor_units_is_not_posted(
    billing_pool: asyncpg.Pool, amounts: tuple[str, ...]
) -> None:
    with pytest.raises(AssertionError):
        await _post(billing_pool, "bad", _entries(*amounts))


async def test_entries_that_balance_only_across_currencies_are_not_posted(billing_pool: asyncpg.Pool) -> None:
    with pytest.raises(AssertionError):
        await _post(billing_pool, "bad", _entries("1.00") + _entries("-1.00", currency="USD"))


async def test_the_database_itself_refuses_to_commit_an_unbalanced_transaction(
    billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    async def add_a_cent() -> None:
        async with all_accounts(billing_pool) as connection:
            transaction_id = await post(connection, "rating", "one", "live", NOW, _entries("1.00", "-1.00"))
            await connection.execute(
                "INSERT INTO billing.posting VALUES ($1, 3, 'acct_a', 'accrued', 'CNY', 0.01)", transaction_id
            )

    with pytest.raises(asyncpg.CheckViolationError):
        await add_a_cent()
    assert await admin.fetchval("SELECT count(*) FROM billing.ledger_transaction") == 0


async def test_one_source_is_posted_once(billing_pool: asyncpg.Pool) -> None:
    await _post(billing_pool, "one", _entries("1.00", "-1.00"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await _post(billing_pool, "one", _entries("1.00", "-1.00"))


_CHANGES = (
    "UPDATE billing.posting SET amount = amount * 2",
    "DELETE FROM billing.posting",
    "TRUNCATE billing.posting",
    "UPDATE billing.ledger_transaction SET booked_at = now()",
    "DELETE FROM billing.ledger_transaction",
    "UPDATE billing.rated_line SET amount = 0",
    "DELETE FROM billing.rated_line",
    "UPDATE billing.invoice_line SET amount = 0",
    "DELETE FROM billing.invoice_line",
    "TRUNCATE billing.invoice_line",
    "DELETE FROM billing.invoice",
)
_CHANGES_OF_ISSUED = (
    "UPDATE billing.invoice SET total = total + 1",
    "UPDATE billing.invoice SET state = 'draft', number = NULL, total = NULL, issued_at = NULL",
    "UPDATE billing.invoice SET recipient = '{}'",
    "INSERT INTO billing.invoice_line SELECT invoice_id, account_id, 99, operation, price_version, usage_period, calls, "
    "units, currency, amount, precise, trace, split, corrects FROM billing.invoice_line",
    "INSERT INTO billing.rated_line (account_id, environment, subscription_id, operation, price_version, period, step, "
    "currency, calls_before, calls_after, units_before, units_after, amount, amount_after, precise_after, trace, split, "
    "invoice_id, rated_at) SELECT account_id, environment, subscription_id, operation, price_version, period, step + 1, "
    "currency, calls_before, calls_after, units_before, units_after, amount, amount_after, precise_after, trace, split, "
    "invoice_id, rated_at FROM billing.rated_line",
)


async def test_neither_billing_nor_the_owner_can_change_the_books(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _issue_one(admin, billing_pool)
    before = await _books(admin)
    owner = await asyncpg.connect(**database.as_role(OWNER, {"ordergate.account": "*"}))
    try:
        for statement in _CHANGES + _CHANGES_OF_ISSUED:
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)):
                await billing_pool.execute(statement)
            with pytest.raises(asyncpg.RestrictViolationError):
                await owner.execute(statement)
    finally:
        await owner.close()
    assert await _books(admin) == before


async def _books(admin: asyncpg.Connection) -> list[list[asyncpg.Record]]:
    tables = ("ledger_transaction", "posting", "rated_line", "invoice_line", "invoice")
    return [await admin.fetch(f"SELECT * FROM billing.{table} ORDER BY 1, 2") for table in tables]  # noqa: S608


async def test_rating_accrues_for_the_payer_and_issuing_makes_it_receivable(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_a", datetime(2026, 10, 5, tzinfo=UTC)) for _ in range(100)])
    clock = ManualClock(NOW)
    await rate_pending(billing_pool, clock)
    async with all_accounts(billing_pool) as connection:
        assert await balances(connection, "live") == (
            Balance("acct_a", "accrued", "CNY", Decimal("5.50")),
            Balance("house", "earnings:address", "CNY", Decimal("-5.50")),
        )
    await close(billing_pool, OCTOBER, clock)
    async with all_accounts(billing_pool) as connection:
        assert await balances(connection, "live") == (
            Balance("acct_a", "accrued", "CNY", Decimal(0)),
            Balance("acct_a", "receivable", "CNY", Decimal("5.50")),
            Balance("house", "earnings:address", "CNY", Decimal("-5.50")),
        )

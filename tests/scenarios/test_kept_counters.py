"""What the product's own roles may do to counters: numbers go up by one, and no limit is had again by setting it back."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import asyncpg
import pytest

from billing.desk import close
from billing.invoice.credit_note import issue_credit_note, spread
from billing.store.amend import Amendment, amend
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import BILLING, GATEWAY, READER
from tests.prepaid_books import NOVEMBER_2, OCTOBER_5, give, grants, spend
from tests.usage_books import add_account, add_price, call, use

REFUSED = (asyncpg.RestrictViolationError, asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)
_QUOTA = (
    "INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used, leased) "
    "VALUES ('acct_a', 'live', 'quota', 'address', '2026-10-01', 7, 3) RETURNING id"
)
_LEASE = (
    "INSERT INTO billing.lease (allowance_id, account_id, worker_id, journal_id, period, granted, granted_at, expires_at, "
    "state) VALUES ($1, 'acct_a', $2, $2, '2026-10-01', 3, now(), now(), $3) RETURNING id"
)


@pytest.fixture
async def books(admin: asyncpg.Connection, billing_pool: asyncpg.Pool) -> int:
    """An issued October that credit paid, a quota with an open lease, one with a closed and one with an orphaned one."""
    await add_account(admin, "acct_a")
    await add_price(admin, "price", model="flat", price={"amount": "30.00"})
    grant = await give(billing_pool, "100.00")
    await use(billing_pool, [call("acct_a", OCTOBER_5)])
    await spend(admin, grant, "30.00")
    await close(billing_pool, Period(2026, 10), ManualClock(NOVEMBER_2))
    await admin.execute(_QUOTA.replace("'quota', 'address'", "'budget', 'budget_a'"))
    quota: int = await admin.fetchval(_QUOTA)
    await admin.fetchval(_LEASE, quota, uuid4(), "open")
    return quota


_HOLDERLESS = (
    "INSERT INTO billing.lease (allowance_id, account_id, period, granted, used, granted_at, expires_at, state, closed_at) "
    "SELECT id, account_id, '2026-10-01', {1}, {2}, now(), now(), 'closed', now() FROM billing.allowance WHERE kind = '{0}'"
)
_STATEMENTS = {
    "a number is given a second time": "UPDATE billing.invoice_number SET last = last - 1",
    "a number is left out": "UPDATE billing.invoice_number SET last = last + 2",
    "a number stays": "UPDATE billing.invoice_number SET last = last",
    "a series takes another's place": "UPDATE billing.invoice_number SET series = 'X-2026', last = last + 1",
    "a series begins in its midst": "INSERT INTO billing.invoice_number VALUES ('X-2026', 5)",
    "a series goes": "DELETE FROM billing.invoice_number",
    "a quota is had again": "UPDATE billing.allowance SET used = 0 WHERE kind = 'quota'",
    "credit is had again": "UPDATE billing.allowance SET used = 0 WHERE kind = 'credit'",
    "a little of credit is had again": "UPDATE billing.allowance SET used = used - 0.01 WHERE kind = 'credit'",
    "what is held is lent again": "UPDATE billing.allowance SET leased = 0 WHERE kind = 'quota'",
    "a closed lease was never used": "UPDATE billing.lease SET used = 0 WHERE state = 'closed'",
    "a closed lease is open": "UPDATE billing.lease SET state = 'open', closed_at = NULL WHERE state = 'closed'",
    "a lease grows": "UPDATE billing.lease SET granted = granted + 1 WHERE state = 'open'",
    "a budget gives back": "UPDATE billing.allowance SET returned = 1 WHERE kind = 'budget'",
    "a quota gives back": "UPDATE billing.allowance SET returned = 1 WHERE kind = 'quota'",
    "credit gives back as budgets do": "UPDATE billing.allowance SET returned = 1 WHERE kind = 'credit'",
    "credit is given back": _HOLDERLESS.format("credit", -1, -1),
    "a quota is given back by a lease": _HOLDERLESS.format("quota", -1, -1),
    "a lease is used while it is open": "UPDATE billing.lease SET used = 1 WHERE state = 'open'",
}


@pytest.mark.parametrize("role", [BILLING, GATEWAY, READER])
async def test_no_role_of_the_product_sets_a_counter_back(
    database: Database, admin: asyncpg.Connection, books: int, role: str
) -> None:
    tables = ("invoice_number", "allowance", "lease")
    before = [await admin.fetch(f"SELECT * FROM billing.{table} ORDER BY 1") for table in tables]  # noqa: S608
    connection = await asyncpg.connect(**database.as_role(role, {"ordergate.account": "*"}))
    accepted = []
    for name, statement in _STATEMENTS.items():
        try:
            await connection.execute(statement)
        except REFUSED:
            continue
        accepted.append(name)
    await connection.close()
    assert accepted == []
    after = [await admin.fetch(f"SELECT * FROM billing.{table} ORDER BY 1") for table in tables]  # noqa: S608
    assert after == before


async def _corrected(
    database: Database, statement: str, units: str = "-1", account_id: str = "acct_a"
) -> None:
    """What the gateway's role does in a transaction in which it stores usage that takes units away."""
    connection = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        async with connection.transaction():
            event = await connection.fetchval(
                "SELECT id FROM billing.usage_event WHERE account_id = $1 AND amends IS NULL LIMIT 1",
                account_id,
            )
            await amend(connection, [Amendment(event, Decimal(units))])
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("statement", "units", "account_id"),
    [
        ("UPDATE billing.allowance SET returned = 7.01 WHERE kind = 'budget'", "-1", "acct_a"),
        ("UPDATE billing.allowance SET returned = 1 WHERE kind = 'budget'", "1", "acct_a"),
        ("UPDATE billing.allowance SET returned = 1 WHERE kind = 'budget'", "-1", "acct_b"),
        ("UPDATE billing.allowance SET returned = 1 WHERE kind = 'quota'", "-1", "acct_a"),
        ("UPDATE billing.allowance SET used = used - 1 WHERE kind = 'credit'", "-1", "acct_a"),
        ("UPDATE billing.allowance SET used = used - 1 WHERE kind = 'budget'", "-1", "acct_a"),
        (_HOLDERLESS.format("credit", -1, -1), "-1", "acct_a"),
        (_HOLDERLESS.format("budget", -1, -1), "-1", "acct_a"),
        (_HOLDERLESS.format("credit", -1, 0), "-1", "acct_a"),
    ],
    ids=[
        "a budget gives back more than was used",
        "more usage gives a budget back",
        "another account's correction gives a budget back",
        "a quota gives back",
        "a counter of credit is set back without a lease",
        "a counter of a budget is set back",
        "credit that calls took is given back",
        "a budget gives back by a lease",
        "a lease gives back what it does not use",
    ],
)
async def test_a_correction_gives_back_no_more_than_it_may(
    database: Database,
    admin: asyncpg.Connection,
    billing_pool: asyncpg.Pool,
    books: int,
    statement: str,
    units: str,
    account_id: str,
) -> None:
    await add_account(admin, "acct_b")
    await use(billing_pool, [call("acct_b", OCTOBER_5)])
    before = [await admin.fetch(f"SELECT * FROM billing.{one} ORDER BY 1") for one in ("allowance", "lease")]  # noqa: S608
    with pytest.raises(REFUSED):
        await _corrected(database, statement, units, account_id)
    after = [await admin.fetch(f"SELECT * FROM billing.{one} ORDER BY 1") for one in ("allowance", "lease")]  # noqa: S608
    assert after == before


async def test_what_was_given_back_of_a_budget_is_not_taken_away_again(
    database: Database, admin: asyncpg.Connection, books: int
) -> None:
    await _corrected(database, "UPDATE billing.allowance SET returned = 2 WHERE kind = 'budget'")
    with pytest.raises(asyncpg.RestrictViolationError, match="what a correction takes away"):
        await _corrected(database, "UPDATE billing.allowance SET returned = 1 WHERE kind = 'budget'")
    assert await admin.fetchval("SELECT returned FROM billing.allowance WHERE kind = 'budget'") == 2


async def test_a_lease_that_is_given_up_is_not_taken_back(
    database: Database, admin: asyncpg.Connection, books: int
) -> None:
    lease = await admin.fetchval(_LEASE, books, uuid4(), "orphaned")
    connection = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    with pytest.raises(asyncpg.RestrictViolationError, match="it only becomes smaller"):
        await connection.execute("UPDATE billing.lease SET state = 'open' WHERE id = $1", lease)
    await connection.close()


async def test_what_documents_free_of_credit_is_free_and_a_person_with_all_rights_may_repair(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, books: int
) -> None:
    invoice_id = "inv_live_acct_a_2026-10"
    async with all_accounts(billing_pool) as connection:
        lines = await spread(connection, invoice_id, Decimal("12.00"), "too slow")
        now = datetime(2026, 11, 3, tzinfo=UTC)
        await issue_credit_note(connection, invoice_id, "correction", "test:1", lines, now)
    (grant,) = await grants(billing_pool)
    assert (grant.used, grant.applied) == (Decimal("18.00"), Decimal("18.00"))
    await admin.execute("UPDATE billing.allowance SET used = 1 WHERE kind = 'credit'")

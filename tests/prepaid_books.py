"""An account that pays in advance, for tests of what becomes of its credit: grants, what calls took of them, the books."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import asyncpg

from billing.audit.compare import compare
from billing.ledger.balances import balances
from billing.prepaid.faults import PREPAID_FAULTS
from billing.prepaid.grants import Grant, grant_credit, grants_of
from billing.rebuild import verify
from billing.transaction import all_accounts, one_snapshot
from catalog.accounts.account import find_account

SEPTEMBER_1, OCTOBER_5 = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 5, tzinfo=UTC)
NOVEMBER_2 = datetime(2026, 11, 2, tzinfo=UTC)


async def give(pool: asyncpg.Pool, amount: str, account_id: str = "acct_a", **terms: object) -> Grant:
    """A live grant; paid, without an end and from September on unless said otherwise."""
    fields = {"category": "paid", "priority": 100, "valid_until": None, "actor": "test", "now": SEPTEMBER_1}
    async with all_accounts(pool) as connection:
        account = await find_account(connection, account_id)
        return await grant_credit(connection, account, "live", Decimal(amount), **{**fields, **terms})  # type: ignore[arg-type]


async def spend(admin: asyncpg.Connection, grant: Grant, amount: str, state: str = "closed") -> None:
    """What calls of October took of a grant, as a worker reports it."""
    await admin.execute(
        "INSERT INTO billing.lease (allowance_id, account_id, worker_id, journal_id, period, granted, used, granted_at, "
        "expires_at, state, closed_at) SELECT id, account_id, $2, $2, '2026-10-01', $3::numeric, CASE WHEN $4 = 'closed' THEN $3::numeric ELSE 0 END, "
        "$5::timestamptz, $5::timestamptz, $4, CASE WHEN $4 = 'closed' THEN $5::timestamptz END FROM billing.allowance WHERE subject = $1",
        grant.id,
        uuid4(),
        Decimal(amount),
        state,
        OCTOBER_5,
    )
    column = "used" if state == "closed" else "leased"
    await admin.execute(
        f"UPDATE billing.allowance SET {column} = {column} + $2 WHERE subject = $1",  # noqa: S608 - one of two
        grant.id,
        Decimal(amount),
    )


async def grants(pool: asyncpg.Pool, account_id: str = "acct_a") -> Sequence[Grant]:
    """All live grants of the account."""
    async with all_accounts(pool) as connection:
        return await grants_of(connection, account_id, "live")


async def used(pool: asyncpg.Pool) -> list[Decimal]:
    """What of each grant is used, in the order in which they are consumed."""
    return [one.used for one in await grants(pool)]


async def faults(pool: asyncpg.Pool) -> list[str]:
    """What reconciling says of credit."""
    async with all_accounts(pool) as connection:
        return [row[0] for query in PREPAID_FAULTS for row in await connection.fetch(query, "live")]


async def ledger(pool: asyncpg.Pool) -> dict[str, Decimal]:
    """The balances of one payer and the house that are not nothing, by the ledger account's name."""
    async with all_accounts(pool) as connection:
        return {one.ledger_account: one.amount for one in await balances(connection, "live") if one.amount}


async def all_agree(pool: asyncpg.Pool) -> None:
    """Reconciling and rebuilding find no difference."""
    async with one_snapshot(pool) as connection:
        comparison = await compare(connection, "live")
    assert (comparison.diff, comparison.money_diff) == (0, Decimal(0))
    assert comparison.differences == ()
    assert await verify(pool, ()) == []

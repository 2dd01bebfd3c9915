"""Rows of accounts taken out of a database whose tables only grow: by the owner, in one transaction."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from graphlib import TopologicalSorter

import asyncpg

from billing.rollup.recompute import SUMMED, recompute

# Every table with an account's rows, so that tables of later versions are found too.
_TABLES = """
    SELECT attrelid::regclass::text AS name
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE attname = 'account_id' AND relkind IN ('r', 'p') AND NOT relispartition AND nspname !~ '^pg_'
"""
_REFERENCES = """
    SELECT conrelid::regclass::text AS referrer, confrelid::regclass::text AS referred FROM pg_constraint
     WHERE contype = 'f' AND conrelid <> confrelid
"""
_ACCOUNTS = "catalog.account"
_TRANSACTIONS = "billing.ledger_transaction"
_SELLERS = "catalog.seller"
# What was called, in sum and one by one. All else that billing has of an account follows from it, or was agreed for it.
_CALLS = frozenset(
    {
        "billing.usage_event",
        "billing.seen",
        "billing.correction",
        "billing.refusal_count",
        *(summed.table for summed in SUMMED),
    }
)
_CONTRACTS = "catalog.account_terms"
# What a unit is owed of another company's documents stands between the unit and the house, and what a provider took of a
# payment within the house.
_POSTED = """
    CREATE TEMPORARY TABLE erased ON COMMIT DROP AS
    SELECT transaction_id AS id FROM billing.posting WHERE account_id = ANY($1) UNION
    SELECT transaction_id FROM billing.settlement_entry WHERE account_id = ANY($1) AND transaction_id IS NOT NULL UNION
    SELECT ledger_transaction.id FROM billing.ledger_transaction
      JOIN billing.transfer ON kind = 'transfer' AND source = 'transfer:' || document_id WHERE account_id = ANY($1)
"""
_MARK = """
    INSERT INTO billing.unrated SELECT DISTINCT account_id, environment, period FROM billing.usage_hour
     WHERE account_id = ANY($1)
"""
_STILL_USED = """
    SELECT candidate FROM unnest($1::text[]) AS candidate
     WHERE EXISTS (SELECT FROM billing.usage_event WHERE payer = candidate OR account_id = candidate) ORDER BY 1
"""
# A series without documents begins anew; one that has some keeps its counter, for a number is never given twice.
_NUMBERS = """
    DELETE FROM billing.invoice_number
     WHERE NOT EXISTS (SELECT FROM billing.invoice WHERE left(number, -7) = series)
       AND NOT EXISTS (SELECT FROM billing.credit_note WHERE left(number, -7) = series)
"""


@asynccontextmanager
async def history_unlocked(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """Let the owner delete rows that only grow, until the end of the block; nobody else writes these tables meanwhile.

    Within a transaction: where it fails, the locks were never off.
    """
    tables = [_ACCOUNTS, _TRANSACTIONS, _SELLERS, *await account_tables(owner)]
    for table in tables:
        await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for table in tables:
        await owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def account_tables(owner: asyncpg.Connection) -> Sequence[str]:
    """Every table with an `account_id`, those that refer to others first."""
    names = {row["name"] for row in await owner.fetch(_TABLES)}
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(names, ()))
    for row in await owner.fetch(_REFERENCES):
        if {row["referrer"], row["referred"]} <= names:
            order.add(row["referred"], row["referrer"])
    return tuple(order.static_order())


async def erase_books(owner: asyncpg.Connection, accounts: Sequence[str]) -> None:
    """Everything that was rated, posted, invoiced, paid, contested and promised for these accounts."""
    await owner.execute(_POSTED, accounts)
    for table in await account_tables(owner):
        if table == _CONTRACTS or (table.startswith("billing.") and table not in _CALLS):
            await owner.execute(f"DELETE FROM {table} WHERE account_id = ANY($1)", accounts)  # noqa: S608
    await owner.execute("DELETE FROM billing.posting WHERE transaction_id IN (SELECT id FROM pg_temp.erased)")
    await owner.execute("DELETE FROM billing.ledger_transaction WHERE id IN (SELECT id FROM pg_temp.erased)")
    await owner.execute(_NUMBERS)


async def erase_usage(owner: asyncpg.Connection, accounts: Sequence[str], until: datetime) -> Sequence[str]:
    """The recorded calls of these accounts up to a moment, and their sums; returns the accounts that still stand in later
    calls or in usage that was reported, whenever that was.

    What they pay for is added up again and marked for rating. The transaction is REPEATABLE READ.
    """
    await owner.execute(
        "DELETE FROM billing.usage_event WHERE payer = ANY($1) AND occurred_at <= $2 AND recorded_by = 'journal'",
        accounts,
        until,
    )
    await recompute(owner)
    for summed in SUMMED:
        columns = f"{summed.key_list}, {summed.sum_list}"
        await owner.execute(f"DELETE FROM {summed.table} WHERE account_id = ANY($1)", accounts)  # noqa: S608
        await owner.execute(
            f"INSERT INTO {summed.table} ({columns}) "  # noqa: S608 - constants of billing
            f"SELECT {columns} FROM {summed.recomputed} WHERE account_id = ANY($1)",
            accounts,
        )
    await owner.execute(_MARK, accounts)
    rows = await owner.fetch(_STILL_USED, accounts)
    return [row["candidate"] for row in rows]


async def erase_seller(owner: asyncpg.Connection) -> None:
    """Who issued the demo's documents; a seller that an operator has named stays."""
    await owner.execute("DELETE FROM catalog.seller WHERE demo")


async def erase_accounts(owner: asyncpg.Connection, accounts: Sequence[str]) -> None:
    """These accounts, which have no usage any more, with every row of theirs."""
    for table in await account_tables(owner):
        await owner.execute(f"DELETE FROM {table} WHERE account_id = ANY($1)", accounts)  # noqa: S608
    await owner.execute(f"DELETE FROM {_ACCOUNTS} WHERE id = ANY($1)", accounts)  # noqa: S608

"""The only way money moves: a balanced transaction, added once, never changed."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import round_money

# What a transaction records: usage that was rated, a document that was issued or corrected, what became of its money.
Kind = Literal[
    "rating",
    "credit",
    "issue",
    "credit_note",
    "payment",
    "refund",
    "refund_failed",
    "dispute_opened",
    "dispute_fee",
    "dispute_won",
    "dispute_lost",
]


class Entry(msgspec.Struct, frozen=True):
    """One side of a transaction: a debit is positive, a credit negative, in whole minor units, never zero."""

    account_id: str
    ledger_account: str
    currency: str
    amount: Decimal


async def post(
    connection: Connection,
    kind: Kind,
    source: str,
    environment: Environment,
    booked_at: datetime,
    entries: Sequence[Entry],
) -> int:
    """Add one transaction on the caller's connection and return its id; the caller commits.

    `source` names the row that caused it, such as `rated_line:17`. One source is posted once: a second attempt raises
    `asyncpg.UniqueViolationError`. Entries that do not balance in every currency are a fault of the program: they
    raise `AssertionError` here, and a deferred trigger refuses them again when the transaction commits.
    """
    _assert_balanced(entries)
    transaction_id: int = await connection.fetchval(
        "INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at) "
        "VALUES ($1, $2, $3, $4) RETURNING id",
        environment,
        kind,
        source,
        booked_at,
    )
    await connection.execute(
        "INSERT INTO billing.posting (transaction_id, position, account_id, ledger_account, currency, amount) "
        "SELECT $1, position, account_id, ledger_account, currency, amount "
        "FROM unnest($2::text[], $3::text[], $4::text[], $5::numeric[]) WITH ORDINALITY "
        "AS entry (account_id, ledger_account, currency, amount, position)",
        transaction_id,
        [entry.account_id for entry in entries],
        [entry.ledger_account for entry in entries],
        [entry.currency for entry in entries],
        [entry.amount for entry in entries],
    )
    return transaction_id


def _assert_balanced(entries: Sequence[Entry]) -> None:
    assert entries, "a transaction has entries"
    totals: dict[str, Decimal] = {}
    for entry in entries:
        assert entry.amount, "the ledger holds no zero entries"
        assert round_money(entry.amount, entry.currency) == entry.amount, "only minor units are posted"
        totals[entry.currency] = totals.get(entry.currency, Decimal(0)) + entry.amount
    assert not any(totals.values()), "debits and credits differ"

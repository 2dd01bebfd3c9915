"""The only way money moves: a balanced transaction, added once, never changed."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import round_money

# What a transaction records: usage that was rated, what a bill has beside it, a document that was issued or corrected,
# what became of its money.
Kind = Literal[
    "rating",
    "charge",
    "credit",
    "tax",
    "issue",
    "grant",
    "prepaid",
    "restoration",
    "breakage",
    "credit_note",
    "transfer",
    "dispute_held",
    "dispute_released",
    "payment",
    "payment_fee",
    "refund",
    "refund_failed",
    "dispute_opened",
    "dispute_fee",
    "dispute_won",
    "dispute_lost",
    "bank_payment",
    "bank_refund",
    "written_off",
    "written_back",
]


class Entry(msgspec.Struct, frozen=True):
    """One side of a transaction: a debit is positive, a credit negative, in whole minor units, never zero."""

    account_id: str
    ledger_account: str
    currency: str
    amount: Decimal


class Transaction(msgspec.Struct, frozen=True):
    """Entries that stand or fall together. `source` names the row that caused them, such as `rated_line:17`."""

    kind: Kind
    source: str
    entries: tuple[Entry, ...]


_ADD = """
    WITH added AS (
        INSERT INTO billing.ledger_transaction (environment, kind, source, booked_at)
        SELECT $1, kind, source, $2 FROM unnest($3::text[], $4::text[]) AS one (kind, source)
        RETURNING id, kind, source
    )
    INSERT INTO billing.posting (transaction_id, position, account_id, ledger_account, currency, amount)
    SELECT added.id, position, account_id, ledger_account, currency, amount
    FROM unnest($5::text[], $6::text[], $7::smallint[], $8::text[], $9::text[], $10::text[], $11::numeric[])
         AS entry (kind, source, position, account_id, ledger_account, currency, amount)
    JOIN added USING (kind, source) RETURNING transaction_id
"""


async def post(
    connection: Connection,
    kind: Kind,
    source: str,
    environment: Environment,
    booked_at: datetime,
    entries: Sequence[Entry],
) -> int:
    """Add one transaction on the caller's connection and return its id; the caller commits. See `post_all`."""
    one = Transaction(kind, source, tuple(entries))
    (transaction_id, *_) = await post_all(connection, environment, booked_at, [one])
    return transaction_id


async def post_all(
    connection: Connection, environment: Environment, booked_at: datetime, transactions: Sequence[Transaction]
) -> list[int]:
    """Add transactions on the caller's connection in one statement; the caller commits. Returns each posting's transaction.

    One source is posted once: a second attempt raises `asyncpg.UniqueViolationError`. Entries that do not balance in
    every currency are a fault of the program: they raise `AssertionError` here, and a trigger refuses them again.
    """
    for transaction in transactions:
        _assert_balanced(transaction.entries)
    placed = [
        (one.kind, one.source, position, entry)
        for one in transactions
        for position, entry in enumerate(one.entries, 1)
    ]
    rows = await connection.fetch(
        _ADD,
        environment,
        booked_at,
        [one.kind for one in transactions],
        [one.source for one in transactions],
        [kind for kind, _, _, _ in placed],
        [source for _, source, _, _ in placed],
        [position for _, _, position, _ in placed],
        [entry.account_id for *_, entry in placed],
        [entry.ledger_account for *_, entry in placed],
        [entry.currency for *_, entry in placed],
        [entry.amount for *_, entry in placed],
    )
    return [row["transaction_id"] for row in rows]


def _assert_balanced(entries: Sequence[Entry]) -> None:
    assert entries, "a transaction has entries"
    totals: dict[str, Decimal] = {}
    for entry in entries:
        assert entry.amount, "the ledger holds no zero entries"
        assert round_money(entry.amount, entry.currency) == entry.amount, "only minor units are posted"
        totals[entry.currency] = totals.get(entry.currency, Decimal(0)) + entry.amount
    assert not any(totals.values()), "debits and credits differ"

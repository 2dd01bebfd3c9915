"""What became of an invoice's money: facts that are written once, and the state that follows from them.

A fact is named by the provider's own id, so the order in which facts are heard of and how often does not matter, and no
state is stored that could move backwards.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from billing.ledger.post import Entry, Kind, post
from billing.transaction import Connection

FactKind = Literal[
    "payment",
    "payment_fee",
    "refund",
    "refund_failed",
    "dispute_opened",
    "dispute_fee",
    "dispute_won",
    "dispute_lost",
    "voided",
]
SettlementState = Literal["open", "paid", "disputed", "lost", "void"]


class Collected(msgspec.Struct, frozen=True):
    """The invoice that facts are about: ours, issued and live."""

    invoice_id: str
    account_id: str
    number: str
    currency: str
    total: Decimal


class Settlement(msgspec.Struct, frozen=True):
    """Where an invoice stands. `owed` is what the payer still owes of it; amounts are in its currency."""

    state: SettlementState
    paid: Decimal
    refunded: Decimal
    credited: Decimal
    owed: Decimal


async def collected(connection: Connection, invoice_id: str) -> Collected | None:
    """A document that was handed over, its row locked so that what is written about it is written in turn."""
    row = await connection.fetchrow(
        "SELECT id, account_id, number, currency, total FROM billing.invoice WHERE id = $1 AND EXISTS "
        "(SELECT FROM billing.payment_task WHERE kind = 'invoice' AND document_id = $1) FOR UPDATE",
        invoice_id,
    )
    return None if row is None else Collected(*row)


async def known_facts(connection: Connection, invoice_id: str) -> set[tuple[str, str]]:
    """Kind and source of everything that is written about an invoice."""
    rows = await connection.fetch(
        "SELECT kind, source FROM billing.settlement_entry WHERE invoice_id = $1", invoice_id
    )
    return {(row["kind"], row["source"]) for row in rows}


async def write(
    connection: Connection,
    invoice: Collected,
    kind: FactKind,
    source: str,
    amount: Decimal,
    now: datetime,
    *,
    currency: str = "",
    debit: tuple[str, str] | None = None,
    credit: tuple[str, str] | None = None,
) -> bool:
    """Write a fact and its posting, from `credit` to `debit` (account, ledger account); False if it was known.

    A negative amount swaps the sides. Without sides, or with an amount of zero, nothing is posted.
    """
    currency = currency or invoice.currency
    if await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.settlement_entry WHERE kind = $1 AND source = $2)", kind, source
    ):
        return False
    transaction_id = None
    if debit is not None and credit is not None and amount:
        assert kind != "voided", "a void invoice is corrected by its credit note"
        booked: Kind = kind
        transaction_id = await post(
            connection,
            booked,
            source,
            "live",
            now,
            [Entry(*debit, currency, amount), Entry(*credit, currency, -amount)],
        )
    await connection.execute(
        "INSERT INTO billing.settlement_entry (kind, source, invoice_id, account_id, currency, amount, transaction_id, "
        "recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        kind,
        source,
        invoice.invoice_id,
        invoice.account_id,
        currency,
        amount,
        transaction_id,
        now,
    )
    return True


async def settlement(connection: Connection, invoice: Collected) -> Settlement:
    """Where an invoice stands by all that is written about it."""
    facts = await connection.fetch(
        "SELECT kind, amount FROM billing.settlement_entry WHERE invoice_id = $1", invoice.invoice_id
    )
    # A lost dispute's credit note records what the bank took; it pays for nothing.
    credited: Decimal = await connection.fetchval(
        "SELECT coalesce(sum(total), 0) FROM billing.credit_note WHERE invoice_id = $1 AND reason <> 'dispute_lost'",
        invoice.invoice_id,
    )
    return settle(invoice.total, credited, [(row["kind"], row["amount"]) for row in facts])


def settle(total: Decimal, credited: Decimal, facts: Iterable[tuple[FactKind, Decimal]]) -> Settlement:
    """The settlement that follows from facts in any order."""
    sums: dict[FactKind, Decimal] = {}
    counts: dict[FactKind, int] = {}
    for kind, amount in facts:
        sums[kind] = sums.get(kind, Decimal(0)) + amount
        counts[kind] = counts.get(kind, 0) + 1
    paid = sums.get("payment", Decimal(0))
    refunded = sums.get("refund", Decimal(0)) - sums.get("refund_failed", Decimal(0))
    decided = counts.get("dispute_won", 0) + counts.get("dispute_lost", 0)
    state: SettlementState = "open"
    if "voided" in counts:
        state = "void"
    elif counts.get("dispute_opened", 0) > decided:
        state = "disputed"
    elif "dispute_lost" in counts:
        state = "lost"
    elif paid + credited >= total:
        state = "paid"
    return Settlement(state, paid, refunded, credited, total - credited - paid + refunded)

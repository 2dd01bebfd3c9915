"""What became of an invoice's money: facts that are written once, and the state that follows from them.

A fact is named by the provider's own id, or by the reference under which the bank's statement has it, so the order in which
facts are heard of and how often does not matter, and no state is stored that could move backwards.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from billing.ledger.post import Entry, Kind, post
from billing.payment.owed import CONTESTED, PREPAID
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
    "bank_payment",
    "bank_refund",
    "written_off",
    "written_back",
]
SettlementState = Literal["open", "paid", "disputed", "lost", "void"]
_NOTHING = Decimal(0)


_CREDITED = f"""
    SELECT coalesce((SELECT sum(note.total) FROM billing.credit_note AS note
                     WHERE invoice_id = invoice.id AND reason <> 'dispute_lost'), 0) AS credited,
           {PREPAID} AS prepaid, {CONTESTED} AS contested FROM billing.invoice WHERE id = $1
"""  # noqa: S608 - constants of this product


class Told(msgspec.Struct, frozen=True):
    """What no provider tells: a person's word that money moved by bank on a day, and under which reference; or that a
    rest was written off on a day, and why."""

    reference: str
    moved_on: date
    recorded_by: str


class Collected(msgspec.Struct, frozen=True):
    """The invoice that facts are about: ours, issued and live."""

    invoice_id: str
    account_id: str
    number: str
    currency: str
    total: Decimal


class Settlement(msgspec.Struct, frozen=True):
    """Where an invoice stands. `owed` is what the payer still owes of it, less than nothing where it is owed to the payer;
    `prepaid` was paid from credit, `written_off` is no longer asked for, and `contested` of what is owed waits for a ruling.
    Amounts are in its currency."""

    state: SettlementState
    paid: Decimal
    refunded: Decimal
    credited: Decimal
    owed: Decimal
    prepaid: Decimal = Decimal(0)
    contested: Decimal = Decimal(0)
    written_off: Decimal = Decimal(0)


async def collected(connection: Connection, invoice_id: str) -> Collected | None:
    """A document that was handed over, its row locked so that what is written about it is written in turn."""
    row = await connection.fetchrow(
        "SELECT id, account_id, number, currency, total FROM billing.invoice WHERE id = $1 AND EXISTS "
        "(SELECT FROM billing.payment_task WHERE kind = 'invoice' AND document_id = $1) FOR UPDATE",
        invoice_id,
    )
    return None if row is None else Collected(*row)


async def payable(connection: Connection, invoice_id: str) -> Collected:
    """The same of any issued live invoice, whoever collects it."""
    row = await connection.fetchrow(
        "SELECT id, account_id, number, currency, total FROM billing.invoice "
        "WHERE id = $1 AND state = 'issued' AND environment = 'live' FOR UPDATE",
        invoice_id,
    )
    assert row is not None, "only what is issued is paid"
    return Collected(*row)


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
    told: Told | None = None,
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
        "recorded_at, reference, moved_on, recorded_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        kind,
        source,
        invoice.invoice_id,
        invoice.account_id,
        currency,
        amount,
        transaction_id,
        now,
        *((None, None, None) if told is None else msgspec.structs.astuple(told)),
    )
    return True


async def settlement(connection: Connection, invoice: Collected) -> Settlement:
    """Where an invoice stands by all that is written about it."""
    facts = await connection.fetch(
        "SELECT kind, amount FROM billing.settlement_entry WHERE invoice_id = $1", invoice.invoice_id
    )
    # A lost dispute's credit note records what the bank took; it pays for nothing.
    beside = await connection.fetchrow(_CREDITED, invoice.invoice_id)
    assert beside is not None, "what is settled is there"
    return settle(
        invoice.total,
        beside["credited"],
        [(row["kind"], row["amount"]) for row in facts],
        prepaid=beside["prepaid"],
        contested=beside["contested"],
    )


def settle(
    total: Decimal,
    credited: Decimal,
    facts: Iterable[tuple[FactKind, Decimal]],
    *,
    prepaid: Decimal = _NOTHING,
    contested: Decimal = _NOTHING,
) -> Settlement:
    """The settlement that follows from facts in any order."""
    sums: dict[FactKind, Decimal] = {}
    counts: dict[FactKind, int] = {}
    for kind, amount in facts:
        sums[kind] = sums.get(kind, Decimal(0)) + amount
        counts[kind] = counts.get(kind, 0) + 1
    by_bank, back_by_bank = sums.get("bank_payment", _NOTHING), sums.get("bank_refund", _NOTHING)
    by_provider = sums.get("payment", _NOTHING)
    refunded = sums.get("refund", _NOTHING) - sums.get("refund_failed", _NOTHING) + back_by_bank
    written_off = sums.get("written_off", _NOTHING) - sums.get("written_back", _NOTHING)
    decided = counts.get("dispute_won", 0) + counts.get("dispute_lost", 0)
    state: SettlementState = "open"
    if "voided" in counts:
        state = "void"
    elif counts.get("dispute_opened", 0) > decided:
        state = "disputed"
    elif "dispute_lost" in counts:
        state = "lost"
    # What a provider sends back it sends for a reason that it tells; what is sent back by bank may never have been owed.
    elif by_provider + by_bank - back_by_bank + written_off + credited + prepaid >= total:
        state = "paid"
    paid = by_provider + by_bank
    owed = total - credited - prepaid - paid - written_off + refunded
    return Settlement(state, paid, refunded, credited, owed, prepaid, contested, written_off)

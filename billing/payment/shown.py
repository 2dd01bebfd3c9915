"""What became of one invoice's money, for a person: every fact, what is left, and what was reminded of."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from billing.payment.find import find_invoice
from billing.payment.owed import days_overdue, due_in_days
from billing.payment.settlement import Collected, FactKind, Settlement, settlement
from billing.transaction import Connection
from catalog.vocabulary.money import Money, money

_INVOICE = """
    SELECT invoice.id, account_id, number, invoice.currency, total, account.name, timezone, due_on
    FROM billing.invoice JOIN catalog.account ON account.id = account_id WHERE invoice.id = $1
"""
_FACTS = """
    SELECT kind, amount, currency, coalesce(reference, source) AS name, moved_on, recorded_at, recorded_by
    FROM billing.settlement_entry WHERE invoice_id = $1 ORDER BY recorded_at, transaction_id
"""


class Fact(msgspec.Struct, frozen=True):
    """Something that happened to the money. `name` is the bank's reference, why a rest was written off, or the provider's id;
    `moved_on` is the day on the bank's statement, or that of the write-off, where a person recorded it."""

    kind: FactKind
    amount: Money
    name: str
    moved_on: date | None
    recorded_at: datetime
    recorded_by: str | None


class Reminder(msgspec.Struct, frozen=True):
    """A reminder that was announced."""

    stage: int
    announced_at: datetime


class InvoiceMoney(msgspec.Struct, frozen=True):
    """An invoice, where it stands, and by what. `due_in_days` and `days_overdue` as those of `OpenInvoice`."""

    document_id: str
    number: str
    account: str
    currency: str
    total: Money
    due_on: date | None
    due_in_days: int | None
    days_overdue: int | None
    standing: Settlement
    facts: Sequence[Fact]
    reminders: Sequence[Reminder]


async def invoice_money(connection: Connection, document: str, now: datetime) -> InvoiceMoney:
    """What became of an invoice's money, by the invoice's id or number; `Problem` as `find_invoice` has them."""
    invoice_id = await find_invoice(connection, document)
    row = await connection.fetchrow(_INVOICE, invoice_id)
    assert row is not None, "what was found is there"
    invoice = Collected(invoice_id, row["account_id"], row["number"], row["currency"], row["total"])
    facts = await connection.fetch(_FACTS, invoice_id)
    reminders = await connection.fetch(
        "SELECT stage, announced_at FROM billing.reminder WHERE invoice_id = $1 ORDER BY stage", invoice_id
    )
    return InvoiceMoney(
        invoice_id,
        invoice.number,
        row["name"],
        invoice.currency,
        money(invoice.total, invoice.currency),
        row["due_on"],
        due_in_days(row["due_on"], row["timezone"], now),
        days_overdue(row["due_on"], row["timezone"], now),
        await settlement(connection, invoice),
        [
            Fact(
                one["kind"],
                money(one["amount"], one["currency"]),
                one["name"],
                one["moved_on"],
                one["recorded_at"],
                one["recorded_by"],
            )
            for one in facts
        ],
        [Reminder(*one) for one in reminders],
    )

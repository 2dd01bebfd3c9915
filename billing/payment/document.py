"""Our issued documents as they are to stand in the provider's book."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from billing.invoice.credit_note import CreditLine, CreditNote, note_lines
from billing.invoice.document import DocumentLine, LineKind, document
from billing.invoice.month import Month, period_of
from billing.payment.provider import NewCreditNote, NewCustomer, NewInvoice, NewLine
from billing.transaction import Connection

# Longer than a request may be on its way: a provider takes no due date that has passed when it arrives.
_AHEAD_MIN = timedelta(minutes=15)


async def customer_for(connection: Connection, invoice_id: str) -> NewCustomer:
    """The payer, as the document was addressed when it was issued."""
    row = await connection.fetchrow(
        "SELECT account_id, recipient FROM billing.invoice WHERE id = $1", invoice_id
    )
    assert row is not None, "only what is issued is handed over"
    addressed: dict[str, Any] = msgspec.json.decode(row["recipient"])
    return NewCustomer(
        row["account_id"],
        str(addressed.get("legal_name") or addressed["name"]),
        str(addressed.get("address", "")),
        str(addressed.get("tax_id", "")),
    )


async def invoice_for(connection: Connection, invoice_id: str, customer_id: str, now: datetime) -> NewInvoice:
    """An issued invoice, one line for each line of the document, credits among them; due when the document says, or at once
    where that has passed by `now`."""
    row = await connection.fetchrow(
        "SELECT account_id, environment, period, total, due_on FROM billing.invoice WHERE id = $1 AND state = 'issued'",
        invoice_id,
    )
    assert row is not None, "only what is issued is handed over"
    month = Month(row["account_id"], row["environment"], period_of(row["period"]))
    ours = await document(connection, month)
    assert ours.number is not None and ours.id == invoice_id, "an issued document has a number"
    return NewInvoice(
        document_id=invoice_id,
        account_id=month.account_id,
        number=ours.number,
        period=ours.period,
        customer_id=customer_id,
        currency=ours.currency,
        total=row["total"],
        due_at=_due_at(row["due_on"], ours.timezone, now),
        lines=tuple(NewLine(line.position, _description(line), Decimal(line.amount)) for line in ours.lines),
    )


async def credit_note_for(
    connection: Connection, note: CreditNote, provider_invoice_id: str
) -> NewCreditNote:
    """A credit note on the invoice that the provider has of the document it corrects."""
    lines = await note_lines(connection, note.id)
    return NewCreditNote(
        document_id=note.id,
        number=note.number,
        invoice_id=provider_invoice_id,
        currency=note.currency,
        total=note.total,
        lines=_positive(note, lines),
    )


def _positive(note: CreditNote, lines: Sequence[CreditLine]) -> tuple[NewLine, ...]:
    """One line for each of ours; a provider takes no negative ones, so that a note that has some is one line there."""
    if any(line.amount < 0 for line in lines):
        return (NewLine(1, f"{lines[0].service}: {lines[0].description}", note.total),)
    return tuple(
        NewLine(position, f"{line.service}: {line.description}", line.amount)
        for position, line in enumerate(lines, 1)
    )


def _due_at(due_on: date | None, timezone: str, now: datetime) -> datetime | None:
    """Noon of the payer's due day, which is the same day on every calendar within half a day of the payer's."""
    if due_on is None:
        return None
    noon = datetime.combine(due_on, time(12), ZoneInfo(timezone))
    return noon if noon - _AHEAD_MIN > now else None


_KINDS: Mapping[LineKind, str] = {
    "fee": "access fee",
    "discount": "discount",
    "top_up": "minimum",
    "true_up": "committed spend",
    "tax": "tax",
    "net_credit": "net credit",
}


def _description(line: DocumentLine) -> str:
    if line.credit is not None:
        return f"{line.operation} {line.usage_period}: credit for {line.credit.objective}"
    correction = " (correction)" if line.correction else ""
    if line.kind != "usage":
        return f"{line.name or line.operation} {line.usage_period}{correction}: {_KINDS[line.kind]}"
    return f"{line.operation} {line.usage_period}{correction}: {line.calls} calls"

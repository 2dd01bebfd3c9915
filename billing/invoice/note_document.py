"""A credit note as people and programs read it: the same shape as the document that it corrects, and the same files."""

import re

import msgspec

from billing.invoice.credit_note import CreditLine, note_lines
from billing.invoice.document import (
    CorrectedDocument,
    Document,
    DocumentLine,
    service_totals,
)
from billing.invoice.month import payer_of, period_of
from billing.invoice.titles import service_titles
from billing.transaction import Connection
from catalog.accounts.seller import decode_seller
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.money import amount_text
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem

_NUMBER = re.compile(r"(DEMO-)?T?CN-[0-9]{4}-[0-9]{6,}")
_NOTE = """
    SELECT note.*, invoice.number AS corrects, invoice.period
    FROM billing.credit_note AS note JOIN billing.invoice ON invoice.id = note.invoice_id WHERE note.number = $1
"""


async def credit_note_document(connection: Connection, number: str) -> Document:
    """The credit note of this number, with positive amounts; it stands in the month that issued it.

    `Problem` not-found if the transaction's scope has none.
    """
    row = await connection.fetchrow(_NOTE, number) if _NUMBER.fullmatch(number) else None
    if row is None:
        raise Problem("not-found", f"There is no credit note {number}.")
    payer = await payer_of(connection, row["account_id"])
    period = Period.of(row["issued_at"], payer.timezone)
    corrected = CorrectedDocument(row["corrects"], str(period_of(row["period"])), row["reason"])
    currency, issued_at = row["currency"], rfc3339(row["issued_at"])
    starts_at, ends_at = period.bounds(payer.timezone)
    lines = tuple(
        _line(position, line, corrected, currency)
        for position, line in enumerate(await note_lines(connection, row["id"]), 1)
    )
    return Document(
        row["id"],
        "credit_note",
        "issued",
        number,
        row["account_id"],
        msgspec.json.decode(row["recipient"]),
        row["environment"],
        str(period),
        payer.timezone,
        rfc3339(starts_at),
        rfc3339(ends_at),
        currency,
        issued_at,
        (),
        lines,
        service_totals(lines, currency, await service_titles(connection)),
        0,
        amount_text(row["total"], currency),
        seller=None if row["seller"] is None else decode_seller(row["seller"]),
        corrects=corrected,
    )


def _line(position: int, line: CreditLine, corrected: CorrectedDocument, currency: str) -> DocumentLine:
    amount = amount_text(line.amount, currency)
    return DocumentLine(
        position=position,
        service=line.service,
        operation=f"{line.service}/*",
        price_version="",
        usage_period=corrected.period,
        correction=False,
        calls=0,
        units="0",
        amount=amount,
        precise_amount=amount,
        tiers=(),
        shares=(),
        kind=line.kind,
        name=line.description,
        base=amount if line.base is None else amount_text(line.base, currency),
    )

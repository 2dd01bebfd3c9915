"""The credit notes that correct a document, as they are listed beside it."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from billing.transaction import Connection
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.money import Money, money, round_money

CreditReason: TypeAlias = Literal["correction", "sla_credit", "void", "dispute_lost", "net_credit"]


class CreditNoteEntry(msgspec.Struct, frozen=True):
    """A credit note beside the document that it corrects; `total` is positive and owed to the payer."""

    number: str
    reason: CreditReason
    total: Money
    issued_at: str


async def credit_notes_of(
    connection: Connection, invoice_ids: Sequence[str]
) -> Mapping[str, tuple[CreditNoteEntry, ...]]:
    """The credit notes of these documents by document, in the order in which they were issued."""
    found: dict[str, tuple[CreditNoteEntry, ...]] = {}
    for row in await connection.fetch(
        "SELECT invoice_id, number, reason, total, currency, issued_at FROM billing.credit_note "
        "WHERE invoice_id = ANY($1) ORDER BY issued_at, number",
        invoice_ids,
    ):
        total = money(round_money(row["total"], row["currency"]), row["currency"])
        entry = CreditNoteEntry(row["number"], row["reason"], total, rfc3339(row["issued_at"]))
        found[row["invoice_id"]] = (*found.get(row["invoice_id"], ()), entry)
    return found

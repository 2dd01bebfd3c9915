"""What one document says in our book and in the provider's: every difference as a sentence with its money."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from billing.payment.provider import ProviderCreditNote, ProviderDispute, ProviderInvoice, ProviderRefund
from billing.payment.settlement import FactKind
from catalog.vocabulary.money import plain

_NOTHING = Decimal(0)
# A fact about money: its kind, the provider's id, and how much.
Moved = tuple[FactKind, str, Decimal]


class Ours(msgspec.Struct, frozen=True):
    """A document that was handed over. Of an invoice: what was `paid` there, what was settled `elsewhere` (by transfer, or
    written off), and what is `owed` of it."""

    kind: Literal["invoice", "credit_note"]
    id: str
    provider_id: str | None
    state: str
    number: str
    currency: str
    total: Decimal
    paid: Decimal
    elsewhere: Decimal
    owed: Decimal


class Theirs(msgspec.Struct, frozen=True):
    """An invoice there, with all that stands on it."""

    invoice: ProviderInvoice
    notes: tuple[ProviderCreditNote, ...]
    refunds: tuple[ProviderRefund, ...]
    disputes: tuple[ProviderDispute, ...]


class Difference(msgspec.Struct, frozen=True):
    """Where the books differ, and by how much of a currency; by nothing where only a state does."""

    sentence: str
    currency: str
    amount: Decimal


def compare_invoice(ours: Ours, facts: Sequence[Moved], theirs: Theirs | None) -> list[Difference]:
    """The differences of an invoice, its state and all its money; `facts` are those of its refunds and disputes."""
    if theirs is None:
        return [Difference(f"{ours.number}: not in the provider's book", ours.currency, ours.total)]
    return [
        *_total(ours, theirs.invoice),
        *_paid(ours, theirs.invoice),
        *_asked(ours, theirs),
        *_refunds(ours, facts, theirs.refunds),
        *_disputes(ours, facts, theirs.disputes),
    ]


def compare_credit_note(ours: Ours, theirs: ProviderCreditNote | None) -> list[Difference]:
    """The differences of a credit note."""
    if theirs is None or theirs.state == "void":
        there = "not in the provider's book" if theirs is None else "void there"
        return [Difference(f"{ours.number}: {there}", ours.currency, ours.total)]
    return _total(ours, theirs)


def notes_of_others(
    numbers: Mapping[str | None, str], notes: Sequence[ProviderCreditNote]
) -> list[Difference]:
    """Credit notes that somebody made there on our invoices; `numbers` are ours, by the invoice's id there."""
    return [
        Difference(
            f"{numbers[note.invoice_id]}: {plain(note.total)} credited there alone, by {note.id}",
            note.currency,
            note.total,
        )
        for note in notes
        if not note.document_id and note.state == "issued" and note.invoice_id in numbers
    ]


def _total(ours: Ours, theirs: ProviderInvoice | ProviderCreditNote) -> list[Difference]:
    if (ours.currency, ours.total) == (theirs.currency, theirs.total):
        return []
    here, there = f"{plain(ours.total)} {ours.currency}", f"{plain(theirs.total)} {theirs.currency}"
    amount = ours.total - theirs.total if ours.currency == theirs.currency else ours.total
    return [Difference(f"{ours.number}: {here} here, {there} there", ours.currency, amount)]


def _paid(ours: Ours, theirs: ProviderInvoice) -> list[Difference]:
    # What was paid elsewhere may be counted there, once it is marked.
    marked = ours.paid + ours.elsewhere if theirs.state == "paid" else ours.paid
    if theirs.amount_paid in (ours.paid, marked):
        return []
    sentence = f"{ours.number}: paid {plain(ours.paid)} here, {plain(theirs.amount_paid)} there"
    return [Difference(sentence, ours.currency, ours.paid - theirs.amount_paid)]


def _asked(ours: Ours, theirs: Theirs) -> list[Difference]:
    """What its payer is asked for there, or no longer is."""
    invoice, asked = theirs.invoice, theirs.invoice.amount_remaining
    if invoice.state == "draft":
        return [Difference(f"{ours.number}: a draft there", ours.currency, _NOTHING)]
    if invoice.state in ("void", "uncollectible"):
        if ours.owed <= 0:
            return []
        sentence = f"{ours.number}: {invoice.state} there, {plain(ours.owed)} owed here"
        return [Difference(sentence, ours.currency, ours.owed)]
    found: list[Difference] = []
    if invoice.state == "open" and ours.elsewhere > 0:
        settled = f"{ours.number}: {plain(ours.elsewhere)} paid by transfer or written off here"
        sentence = f"{settled}, {plain(asked)} asked for there: mark it paid elsewhere there"
        found.append(Difference(sentence, ours.currency, min(ours.elsewhere, asked)))
    lowered = sum((note.lowered for note in theirs.notes if note.state == "issued"), _NOTHING)
    follow = invoice.total - invoice.amount_paid - lowered
    # Another total is named as such.
    if invoice.state == "open" and asked != follow and invoice.total == ours.total:
        sentence = (
            f"{ours.number}: {plain(asked)} asked for there, {plain(follow)} follow from what stands there"
        )
        found.append(Difference(sentence, ours.currency, asked - follow))
    return found


def _refunds(ours: Ours, facts: Sequence[Moved], theirs: Sequence[ProviderRefund]) -> list[Difference]:
    """What each refund took out: nothing before it has succeeded, nor once it has failed."""
    here: dict[str, Decimal] = {}
    for kind, source, amount in facts:
        if kind in ("refund", "refund_failed"):
            here[source] = here.get(source, _NOTHING) + (amount if kind == "refund" else -amount)
    there = {one.id: one.amount if one.state == "succeeded" else _NOTHING for one in theirs}
    currencies = {one.id: one.currency for one in theirs}
    found = []
    for source in sorted({*here, *there}):
        mine, other = here.get(source, _NOTHING), there.get(source, _NOTHING)
        if mine != other:
            sentence = f"{ours.number}: refund {source}: {plain(mine)} here, {plain(other)} there"
            found.append(Difference(sentence, currencies.get(source, ours.currency), mine - other))
    return found


def _disputes(ours: Ours, facts: Sequence[Moved], theirs: Sequence[ProviderDispute]) -> list[Difference]:
    """How far each dispute has come; a bank that only asks has moved nothing."""
    states: Mapping[FactKind, str] = {"dispute_won": "won", "dispute_lost": "lost"}
    opened = {source: amount for kind, source, amount in facts if kind == "dispute_opened"}
    here = dict.fromkeys(opened, "open")
    here |= {source: states[kind] for kind, source, _ in facts if kind in states}
    there = {one.id: one for one in theirs if one.state != "inquiry"}
    found = []
    for source in sorted({*here, *there}):
        other = there.get(source)
        mine = here.get(source, "unknown"), opened.get(source)
        if other is None:
            amount, currency, state = opened[source], ours.currency, "unknown"
        else:
            amount, currency, state = other.amount, other.currency, other.state
        if mine != (state, amount):
            over = f"{ours.number}: dispute {source} over {plain(amount)}"
            found.append(Difference(f"{over}: {mine[0]} here, {state} there", currency, amount))
    return found

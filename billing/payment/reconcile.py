"""Our documents and payments against the provider's whole book, both ways."""

from collections.abc import Mapping
from decimal import Decimal

import asyncpg
import msgspec

from billing.payment.provider import PaymentProvider, ProviderCreditNote, ProviderInvoice
from billing.transaction import one_snapshot
from catalog.vocabulary.money import plain


class PaymentReport(msgspec.Struct, frozen=True):
    """How many documents each book has, and how far they are apart. `money_diff` is by currency and names only those
    that differ; `waiting` documents are on their way, `held` ones wait for a person: neither is a difference."""

    invoices: int
    credit_notes: int
    waiting: int
    held: int
    differences: tuple[str, ...]
    money_diff: Mapping[str, Decimal]

    @property
    def agrees(self) -> bool:
        """Whether both books say the same."""
        return not self.differences

    @property
    def line(self) -> str:
        """The line that checks rely on."""
        money = ",".join(f"{plain(amount)}{currency}" for currency, amount in sorted(self.money_diff.items()))
        return (
            f"payment invoices={self.invoices} credit_notes={self.credit_notes} waiting={self.waiting} "
            f"held={self.held} diff={len(self.differences)} money_diff={money or '0'}"
        )


class _Document(msgspec.Struct, frozen=True):
    kind: str
    id: str
    provider_id: str | None
    state: str
    number: str
    currency: str
    total: Decimal
    paid: Decimal
    by_bank: Decimal


class _Difference(msgspec.Struct, frozen=True):
    sentence: str
    currency: str
    amount: Decimal


_OURS = """
    SELECT task.kind, document_id, provider_id, task.state, invoice.number, invoice.currency, invoice.total,
           coalesce((SELECT sum(amount) FROM billing.settlement_entry AS entry
                     WHERE entry.invoice_id = invoice.id AND entry.kind = 'payment'), 0),
           coalesce((SELECT sum(CASE kind WHEN 'bank_payment' THEN amount ELSE -amount END)
                     FROM billing.settlement_entry AS entry
                     WHERE entry.invoice_id = invoice.id AND entry.kind IN ('bank_payment', 'bank_refund')), 0)
    FROM billing.payment_task AS task JOIN billing.invoice ON invoice.id = document_id WHERE task.kind = 'invoice'
    UNION ALL
    SELECT task.kind, document_id, provider_id, task.state, note.number, note.currency, note.total, 0, 0
    FROM billing.payment_task AS task JOIN billing.credit_note AS note ON note.id = document_id
    WHERE task.kind = 'credit_note'
    ORDER BY 1, 2
"""


async def reconcile_payments(pool: asyncpg.Pool, provider: PaymentProvider) -> PaymentReport:
    """Compare the books; raises `ProviderAway` or `ProviderRefused` if the provider's cannot be read.

    Ours is read after theirs, so what was brought over in between is not taken for a stranger.
    """
    invoices = {one.id: one async for one in provider.all_invoices() if one.document_id}
    notes = {one.id: one async for one in provider.all_credit_notes() if one.document_id}
    async with one_snapshot(pool) as connection:
        ours = [_Document(*row) for row in await connection.fetch(_OURS)]
    found: list[_Difference] = []
    known = {document.provider_id for document in ours}
    coming = {document.id for document in ours if document.state != "done"}
    for document in ours:
        if document.provider_id is not None and document.kind == "invoice":
            found += _invoice(document, invoices.get(document.provider_id))
        elif document.provider_id is not None:
            found += _credit_note(document, notes.get(document.provider_id))
    strangers: tuple[ProviderInvoice | ProviderCreditNote, ...] = (*invoices.values(), *notes.values())
    for stranger in strangers:
        if stranger.id not in known and stranger.document_id not in coming:
            found.append(_Difference(f"{stranger.id}: not in our book", stranger.currency, stranger.total))
    money: dict[str, Decimal] = {}
    for one in found:
        if one.amount:
            money[one.currency] = money.get(one.currency, Decimal(0)) + abs(one.amount)
    return PaymentReport(
        sum(document.kind == "invoice" and document.state == "done" for document in ours),
        sum(document.kind == "credit_note" and document.state == "done" for document in ours),
        sum(document.state == "waiting" for document in ours),
        sum(document.state == "held" for document in ours),
        tuple(one.sentence for one in found),
        money,
    )


def _invoice(ours: _Document, theirs: ProviderInvoice | None) -> list[_Difference]:
    if theirs is None:
        return [_Difference(f"{ours.number}: not in the provider's book", ours.currency, ours.total)]
    found = _total(ours, theirs)
    # What was paid elsewhere may be counted there, once it is marked.
    marked = ours.paid + ours.by_bank if theirs.state == "paid" else ours.paid
    if theirs.amount_paid not in (ours.paid, marked):
        sentence = f"{ours.number}: paid {plain(ours.paid)} here, {plain(theirs.amount_paid)} there"
        found.append(_Difference(sentence, ours.currency, ours.paid - theirs.amount_paid))
    if ours.by_bank > 0 and theirs.state == "open":
        here, there = plain(ours.by_bank), plain(theirs.amount_remaining)
        sentence = f"{ours.number}: {here} paid by transfer here, {there} asked for there: mark it paid elsewhere there"
        found.append(_Difference(sentence, ours.currency, min(ours.by_bank, theirs.amount_remaining)))
    if theirs.state == "draft":
        found.append(_Difference(f"{ours.number}: a draft there", ours.currency, Decimal(0)))
    return found


def _credit_note(ours: _Document, theirs: ProviderCreditNote | None) -> list[_Difference]:
    if theirs is None or theirs.state == "void":
        there = "not in the provider's book" if theirs is None else "void there"
        return [_Difference(f"{ours.number}: {there}", ours.currency, ours.total)]
    return _total(ours, theirs)


def _total(ours: _Document, theirs: ProviderInvoice | ProviderCreditNote) -> list[_Difference]:
    if (ours.currency, ours.total) == (theirs.currency, theirs.total):
        return []
    here, there = f"{plain(ours.total)} {ours.currency}", f"{plain(theirs.total)} {theirs.currency}"
    amount = ours.total - theirs.total if ours.currency == theirs.currency else ours.total
    return [_Difference(f"{ours.number}: {here} here, {there} there", ours.currency, amount)]

"""Our documents and payments against the provider's whole book, both ways."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import asyncpg
import msgspec

from billing.payment.compare import (
    Difference,
    Ours,
    Theirs,
    compare_credit_note,
    compare_invoice,
    notes_of_others,
)
from billing.payment.mode import require_mode
from billing.payment.owed import OWED
from billing.payment.provider import (
    PaymentProvider,
    ProviderCreditNote,
    ProviderDispute,
    ProviderInvoice,
    ProviderRefund,
)
from billing.payment.settlement import FactKind
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


_OURS = f"""
    SELECT task.kind, document_id, provider_id, task.state, invoice.number, invoice.currency, invoice.total,
           coalesce((SELECT sum(amount) FROM billing.settlement_entry AS entry
                     WHERE entry.invoice_id = invoice.id AND entry.kind = 'payment'), 0),
           coalesce((SELECT sum(CASE WHEN kind IN ('bank_payment', 'written_off') THEN amount ELSE -amount END)
                     FROM billing.settlement_entry AS entry WHERE entry.invoice_id = invoice.id
                     AND entry.kind IN ('bank_payment', 'bank_refund', 'written_off', 'written_back')), 0),
           {OWED}
    FROM billing.payment_task AS task JOIN billing.invoice ON invoice.id = document_id WHERE task.kind = 'invoice'
    UNION ALL
    SELECT task.kind, document_id, provider_id, task.state, note.number, note.currency, note.total, 0, 0, 0
    FROM billing.payment_task AS task JOIN billing.credit_note AS note ON note.id = document_id
    WHERE task.kind = 'credit_note'
    ORDER BY 1, 2
"""  # noqa: S608 - constants of this product
_MOVEMENTS = """
    SELECT invoice_id, kind, source, amount FROM billing.settlement_entry
    WHERE kind IN ('refund', 'refund_failed', 'dispute_opened', 'dispute_won', 'dispute_lost')
    ORDER BY invoice_id, recorded_at, source
"""


class _Book(msgspec.Struct, frozen=True):
    """What the provider has of ours, and of others on what is ours."""

    invoices: Mapping[str, ProviderInvoice]
    notes: Mapping[str, ProviderCreditNote]
    refunds: Mapping[str, Sequence[ProviderRefund]]
    disputes: Mapping[str, Sequence[ProviderDispute]]

    def of_invoice(self, invoice_id: str) -> Theirs | None:
        """All there is of one invoice."""
        invoice = self.invoices.get(invoice_id)
        if invoice is None:
            return None
        notes = tuple(note for note in self.notes.values() if note.invoice_id == invoice_id)
        return Theirs(
            invoice, notes, tuple(self.refunds.get(invoice_id, ())), tuple(self.disputes.get(invoice_id, ()))
        )


async def reconcile_payments(pool: asyncpg.Pool, provider: PaymentProvider) -> PaymentReport:
    """Compare the books; raises `ProviderAway` or `ProviderRefused` if the provider's cannot be read, or is of the other mode.

    Ours is read after theirs, so what was brought over in between is not taken for a stranger.
    """
    async with one_snapshot(pool) as connection:
        await require_mode(connection, livemode=provider.livemode)
    book = await _read(provider)
    async with one_snapshot(pool) as connection:
        ours = [Ours(*row) for row in await connection.fetch(_OURS)]
        rows = await connection.fetch(_MOVEMENTS)
    facts: dict[str, list[tuple[FactKind, str, Decimal]]] = {}
    for row in rows:
        facts.setdefault(row["invoice_id"], []).append((row["kind"], row["source"], row["amount"]))
    found: list[Difference] = []
    for document in ours:
        if document.provider_id is None:
            continue
        if document.kind == "invoice":
            theirs = book.of_invoice(document.provider_id)
            found += compare_invoice(document, facts.get(document.id, ()), theirs)
        else:
            found += compare_credit_note(document, book.notes.get(document.provider_id))
    found += _strangers(ours, book)
    return _report(ours, found)


async def _read(provider: PaymentProvider) -> _Book:
    """What is there, as far as it is ours. Refunds and disputes know a payment, and only payments know an invoice."""
    invoices = {one.id: one async for one in provider.all_invoices() if one.document_id}
    notes = {
        one.id: one
        async for one in provider.all_credit_notes()
        if one.document_id or one.invoice_id in invoices
    }
    paid = {
        one.payment_intent: one.invoice_id
        async for one in provider.all_payments()
        if one.payment_intent and one.invoice_id in invoices
    }
    refunds: dict[str, list[ProviderRefund]] = {}
    async for refund in provider.all_refunds():
        if refund.payment_intent in paid:
            refunds.setdefault(paid[refund.payment_intent], []).append(refund)
    disputes: dict[str, list[ProviderDispute]] = {}
    async for dispute in provider.all_disputes():
        if dispute.payment_intent in paid:
            disputes.setdefault(paid[dispute.payment_intent], []).append(dispute)
    return _Book(invoices, notes, refunds, disputes)


def _strangers(ours: Sequence[Ours], book: _Book) -> list[Difference]:
    """Documents there that we know nothing of: under a mark of ours, or credit notes of others on an invoice of ours."""
    known = {document.provider_id for document in ours}
    coming = {document.id for document in ours if document.state != "done"}
    marked: tuple[ProviderInvoice | ProviderCreditNote, ...] = (*book.invoices.values(), *book.notes.values())
    found = [
        Difference(f"{one.id}: not in our book", one.currency, one.total)
        for one in marked
        if one.document_id and one.id not in known and one.document_id not in coming
    ]
    numbers = {document.provider_id: document.number for document in ours if document.kind == "invoice"}
    return found + notes_of_others(numbers, list(book.notes.values()))


def _report(ours: Sequence[Ours], found: Sequence[Difference]) -> PaymentReport:
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

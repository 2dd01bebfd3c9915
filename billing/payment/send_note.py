"""Brings one credit note into the provider's book, with the money that goes back for it.

A refund is made before the note that it belongs to, and carries the note's mark, so an attempt finds what any earlier one
has sent back.
"""

from hashlib import sha256

import asyncpg
import msgspec

from billing.invoice.credit_note import CreditNote, credit_note
from billing.payment.amount import check_payable, to_stripe
from billing.payment.document import credit_note_for
from billing.payment.outbox import Task
from billing.payment.provider import (
    NewCreditNote,
    PaymentProvider,
    ProviderCreditNote,
    ProviderRefused,
    SentBack,
)
from billing.payment.refresh import Seen, look
from billing.payment.same import BooksDiffer, same
from billing.payment.send_back import SendingBack, owed_before, sending_back
from billing.transaction import all_accounts
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.money import plain

# A payer may pay between a look and the note that follows from it; again and again it does not.
_LOOKS = 3


async def send_credit_note(pool: asyncpg.Pool, provider: PaymentProvider, task: Task, clock: Clock) -> str:
    """The provider's id of a credit note that stands there as ours does, and for which was sent back what the payer has paid
    too much. Raises the provider's failures, `NotChargeable` and `BooksDiffer`."""
    async with all_accounts(pool) as connection:
        note = await credit_note(connection, task.document_id)
        invoice_id = await connection.fetchval(
            "SELECT provider_id FROM billing.payment_task WHERE kind = 'invoice' AND document_id = $1 AND state = 'done'",
            note.invoice_id,
        )
        if invoice_id is None:
            raise BooksDiffer(f"its invoice {note.invoice_id} is not in the provider's book")
        ours = await credit_note_for(connection, note, invoice_id)
    check_payable(ours.total, ours.currency)
    for line in ours.lines:
        to_stripe(line.amount, ours.currency)
    theirs = await _there(pool, provider, task, note, ours, clock)
    same("currency", ours.currency, theirs.currency)
    same("total", plain(ours.total), plain(theirs.total))
    same("number", ours.number, theirs.number)
    same("invoice", invoice_id, theirs.invoice_id)
    same("state", "issued", theirs.state)
    return theirs.id


async def _there(
    pool: asyncpg.Pool,
    provider: PaymentProvider,
    task: Task,
    note: CreditNote,
    ours: NewCreditNote,
    clock: Clock,
) -> ProviderCreditNote:
    """The note as it stands there, made if need be; looked at again where its invoice was paid meanwhile."""
    looks = 0
    while True:
        looks += 1
        notes = await provider.credit_notes(ours.invoice_id)
        for one in notes:
            if one.document_id == ours.document_id:
                return one
        # What is wrong with the invoice is told by whoever takes its news in; nothing is posted, or sent back, on a guess.
        seen, _ = await look(pool, provider, ours.invoice_id, clock)
        async with all_accounts(pool) as connection:
            owed = await owed_before(connection, note.invoice_id, note.id, seen, notes)
        plan = sending_back(note.id, note.total, owed, seen, notes, taken_back=note.reason == "dispute_lost")
        if plan.short and plan.is_reclaimed:
            raise ProviderRefused(
                f"payment-disputed: {plain(plan.short)} of {ours.number} cannot be sent back yet"
            )
        covered = await _send_back(provider, task, ours, plan, seen)
        try:
            return await provider.create_credit_note(covered, task.key(f"credit-note-{_mark(covered)}"))
        except ProviderRefused:
            now = await provider.invoice(ours.invoice_id)
            if looks == _LOOKS or now.amount_remaining == seen.invoice.amount_remaining:
                raise


async def _send_back(
    provider: PaymentProvider, task: Task, ours: NewCreditNote, plan: SendingBack, seen: Seen
) -> NewCreditNote:
    """Make the refunds that are still to be made; the note with all that covers it."""
    made = []
    for refund in plan.refunds:
        # With the same look the same key: a refund whose answer was lost and that is not listed yet is not made twice.
        earlier = sum(
            one.payment_intent == refund.payment_intent for paid in seen.received for one in paid.refunds
        )
        key = task.key(f"refund-{refund.payment_intent}-{earlier}-{plain(refund.amount)}")
        theirs = await provider.create_refund(refund, key)
        if theirs.state in ("failed", "canceled"):
            raise BooksDiffer(f"refund {theirs.id} over {plain(refund.amount)} is {theirs.state} there")
        made.append(SentBack(theirs.id, theirs.amount))
    sent_back = (*plan.sent_back, *made)
    elsewhere = plan.exceeding - sum((one.amount for one in sent_back), ours.total * 0)
    return msgspec.structs.replace(ours, sent_back=sent_back, elsewhere=elsewhere)


def _mark(note: NewCreditNote) -> str:
    """What tells one content of a request from another: a key is never used again with other content."""
    return sha256(msgspec.json.encode(note)).hexdigest()[:16]

"""What goes back to the payer with a credit note: what our ledger says was paid too much, less what went back already.

Stripe's own `amount_remaining` does not know it: a refund that a person makes there leaves it as it is, and transfers and
write-offs are recorded here.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from billing.payment.provider import NewRefund, ProviderCreditNote, ProviderRefund, SentBack
from billing.payment.refresh import Received, Seen
from billing.payment.settlement import payable, settlement
from billing.transaction import Connection

_NOTHING = Decimal(0)
# Money that has left, or will.
_GONE = ("pending", "requires_action", "succeeded")
_NOTES = """
    SELECT id, total FROM billing.credit_note WHERE invoice_id = $1 AND reason <> 'dispute_lost' ORDER BY issued_at, number
"""
# What the provider has sent back, as far as it was heard of.
_HEARD_OF = """
    SELECT coalesce(sum(CASE kind WHEN 'refund' THEN amount ELSE -amount END), 0) FROM billing.settlement_entry
    WHERE invoice_id = $1 AND kind IN ('refund', 'refund_failed')
"""


class SendingBack(msgspec.Struct, frozen=True):
    """How a credit note's part that exceeds the open amount is covered: `exceeding` in all, of which `refunds` are still to be
    made, `sent_back` is there already, and the rest is settled elsewhere. `short` of that should go back, and no payment has
    it: it came by transfer, or, where `is_reclaimed`, the payer's bank reclaims a payment and has not decided yet."""

    exceeding: Decimal
    short: Decimal
    is_reclaimed: bool
    refunds: tuple[NewRefund, ...]
    sent_back: tuple[SentBack, ...]


async def owed_before(
    connection: Connection,
    invoice_id: str,
    note_id: str,
    seen: Seen,
    notes: Sequence[ProviderCreditNote],
) -> Decimal:
    """What the payer owed of an invoice before a credit note on it, by our ledger, which has just been brought up to `seen`.

    A refund counts from when it is on its way. Later notes do not count, nor what they sent back; an earlier one counts with
    what it sent back, or is still to send where it is not among the `notes` that are there.
    """
    ours = await connection.fetch(_NOTES, invoice_id)
    standing = await settlement(connection, await payable(connection, invoice_id))
    gone = _gone(seen.received)
    owed: Decimal = standing.owed - await connection.fetchval(_HEARD_OF, invoice_id)
    owed += sum((note["total"] for note in ours), _NOTHING)
    owed += sum((one.amount for one in gone if not one.document_id), _NOTHING)
    there = {one.document_id for one in notes}
    for earlier in ours:
        if earlier["id"] == note_id:
            break
        given = sum((one.amount for one in gone if one.document_id == earlier["id"]), _NOTHING)
        if earlier["id"] not in there:
            given = max(given, _too_much(earlier["total"], owed))
        owed += given - earlier["total"]
    return owed


def sending_back(
    note_id: str,
    total: Decimal,
    owed: Decimal,
    seen: Seen,
    notes: Sequence[ProviderCreditNote],
    *,
    taken_back: bool,
) -> SendingBack:
    """What to send back for a note over `total` of an invoice of which `owed` was owed before; `notes` are there already.

    The oldest payment gives first, none more than is left of it. A refund of others covers what need not be sent back again.
    `taken_back`: the money has left already, by a dispute that was lost.
    """
    exceeding = max(total - seen.invoice.amount_remaining, _NOTHING)
    if taken_back or not exceeding:
        return SendingBack(exceeding, _NOTHING, False, (), ())
    gone = _gone(seen.received)
    own = [one for one in gone if one.document_id == note_id]
    needed = min(exceeding, _too_much(total, owed))
    still = max(needed - sum((one.amount for one in own), _NOTHING), _NOTHING)
    refunds = _spread(note_id, still, seen.received)
    made = sum((one.amount for one in refunds), _NOTHING)
    others = [one for one in gone if not one.document_id]
    reclaimed = any(one.state == "open" for paid in seen.received for one in paid.disputes)
    sent_back = _cover(exceeding - made, [*own, *others], _linked(notes))
    return SendingBack(exceeding, still - made, reclaimed, refunds, sent_back)


def _too_much(total: Decimal, owed: Decimal) -> Decimal:
    """What a note over `total` makes the payer have paid too much, who owed so much before."""
    return max(total - max(owed, _NOTHING), _NOTHING)


def _gone(received: Sequence[Received]) -> list[ProviderRefund]:
    """Refunds whose money has left, by id, which is the order of no attempt's own."""
    found = {one.id: one for paid in received for one in paid.refunds if one.state in _GONE}
    return [found[refund_id] for refund_id in sorted(found)]


def _spread(note_id: str, amount: Decimal, received: Sequence[Received]) -> tuple[NewRefund, ...]:
    """Refunds over the amount, as far as the payments have it."""
    refunds = []
    for paid in reversed(received):
        payment = paid.payment
        taken = sum((one.amount for one in paid.refunds if one.state in _GONE), _NOTHING)
        taken += sum((one.amount for one in paid.disputes if one.state in ("open", "lost")), _NOTHING)
        part = min(amount, payment.amount - taken)
        if payment.payment_intent and part > 0:
            refunds.append(NewRefund(note_id, payment.payment_intent, payment.currency, part))
            amount -= part
    return tuple(refunds)


def _linked(notes: Sequence[ProviderCreditNote]) -> Mapping[str, Decimal]:
    """How much of each refund belongs to a credit note already."""
    linked: dict[str, Decimal] = {}
    for one in (one for note in notes if note.state == "issued" for one in note.sent_back):
        linked[one.refund_id] = linked.get(one.refund_id, _NOTHING) + one.amount
    return linked


def _cover(
    amount: Decimal, refunds: Sequence[ProviderRefund], linked: Mapping[str, Decimal]
) -> tuple[SentBack, ...]:
    """The first refunds that cover the amount, as far as they belong to no note yet."""
    cover = []
    for one in refunds:
        part = min(amount, one.amount - linked.get(one.id, _NOTHING))
        if part > 0:
            cover.append(SentBack(one.id, part))
            amount -= part
    return tuple(cover)

"""Money that moves by bank, outside of any provider: recorded by a person against the document that it pays.

Each movement is named by its document and the reference under which the bank's statement has it, so that a record that is
repeated is made once. Nothing is posted on a guess: what goes beyond what is owed is refused, and the person says for which
other document the rest is, or sends it back.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.invoice.month import payer_of
from billing.ledger.accounts import BANK, HOUSE, RECEIVABLE
from billing.payment.announced import announce_change
from billing.payment.find import find_invoice
from billing.payment.settlement import Collected, Settlement, Told, payable, settlement, write
from billing.transaction import Connection
from catalog.registry import audit
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.money import Money, exponent, money, plain, round_money
from catalog.vocabulary.problem import FieldError, Problem

MovementKind = Literal["bank_payment", "bank_refund"]

_REFERENCE = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_MOVEMENTS = """
    SELECT source, kind, amount, currency, reference, moved_on, recorded_at, recorded_by FROM billing.settlement_entry
    WHERE invoice_id = $1 AND kind IN ('bank_payment', 'bank_refund') ORDER BY transaction_id
"""
_ISSUED_ON = """
    SELECT (issued_at AT TIME ZONE timezone)::date
    FROM billing.invoice JOIN catalog.account ON account.id = account_id WHERE invoice.id = $1
"""
_KINDS = {"bank_payment": "a payment", "bank_refund": "a refund"}


class Movement(msgspec.Struct, frozen=True):
    """A payment or refund by bank as it was recorded; `moved_on` is the day on the bank's statement."""

    id: str
    kind: MovementKind
    amount: Money
    reference: str
    moved_on: date
    recorded_at: str
    recorded_by: str


class Recorded(msgspec.Struct, frozen=True):
    """What a record came to: the movement, where its document stands by then, and whether it is new. `handed_over`: a
    provider asks for the document's money as well, and has to be told. `issued_on` is on the payer's calendar: a payment of
    an earlier day is a prepayment, or another document's."""

    document_id: str
    number: str
    movement: Movement
    standing: Settlement
    is_new: bool
    handed_over: bool
    issued_on: date


async def record_payment(
    connection: Connection,
    document: str,
    amount: Decimal,
    *,
    reference: str,
    received_on: date,
    actor: str,
    now: datetime,
) -> Recorded:
    """Record what was paid for a document by bank, in full or in part, and post it: `bank` to the payer's `receivable`.

    The same reference again, with the same amount and day, changes nothing. `Problem` invalid-input for an amount that is no
    positive number of minor units, a day that is still to come and a reference that is empty or long; conflict for more than
    is owed, for a reference that was recorded otherwise, and for documents that `find_invoice` refuses.
    """
    invoice = await payable(connection, await find_invoice(connection, document))
    told = await _checked(
        connection, invoice, amount, Told(reference, received_on, actor), "received_on", now
    )
    before = await settlement(connection, invoice)
    if (known := await _known(connection, invoice, "bank_payment", amount, told)) is not None:
        return await _recorded(connection, invoice, known, before, is_new=False)
    if amount > before.owed:
        owed = f"{plain(max(before.owed, Decimal(0)))} {invoice.currency}"
        raise Problem(
            "conflict",
            f"{plain(amount)} {invoice.currency} are more than the {owed} that are owed for {invoice.number}: record what is "
            "owed for it, and the rest under the same reference for the document that it pays; what is for none is sent back.",
        )
    return await _record(connection, invoice, "bank_payment", amount, told, before, now)


async def record_refund(
    connection: Connection,
    document: str,
    amount: Decimal,
    *,
    reference: str,
    sent_on: date,
    actor: str,
    now: datetime,
) -> Recorded:
    """Record what was sent back for a document by bank, or a payment that was recorded and never came, and post it the
    other way round.

    What can go back is what came by bank for the document, and what it owes to the payer however it was paid. Repetition and
    refusals are as with `record_payment`.
    """
    invoice = await payable(connection, await find_invoice(connection, document))
    told = await _checked(connection, invoice, amount, Told(reference, sent_on, actor), "sent_on", now)
    before = await settlement(connection, invoice)
    if (known := await _known(connection, invoice, "bank_refund", amount, told)) is not None:
        return await _recorded(connection, invoice, known, before, is_new=False)
    came = Decimal(0)
    for one in await movements(connection, invoice.invoice_id):
        came += Decimal(one.amount.amount) * (1 if one.kind == "bank_payment" else -1)
    most = max(came, -before.owed)
    if amount > most:
        raise Problem(
            "conflict",
            f"{plain(amount)} {invoice.currency} are more than the {plain(most)} {invoice.currency} that came by bank for "
            f"{invoice.number} or are owed to its payer.",
        )
    return await _record(connection, invoice, "bank_refund", amount, told, before, now)


async def movements(connection: Connection, invoice_id: str) -> Sequence[Movement]:
    """What moved by bank for a document, in the order in which it was recorded."""
    return [
        Movement(
            row["source"],
            row["kind"],
            money(row["amount"], row["currency"]),
            row["reference"],
            row["moved_on"],
            rfc3339(row["recorded_at"]),
            row["recorded_by"],
        )
        for row in await connection.fetch(_MOVEMENTS, invoice_id)
    ]


def amount_errors(amount: Decimal, currency: str) -> list[FieldError]:
    """What is wrong with an amount of a currency that somebody says: nothing, for a positive number of minor units."""
    if amount.is_finite() and amount > 0 and round_money(amount, currency) == amount:
        return []
    places = exponent(currency)
    return [FieldError("/amount", "amount", f"a positive amount with at most {places} decimal places")]


async def is_handed_over(connection: Connection, invoice_id: str) -> bool:
    """Whether a provider asks for an invoice's money."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.payment_task WHERE kind = 'invoice' AND document_id = $1)",
        invoice_id,
    )
    return found


async def _checked(
    connection: Connection, invoice: Collected, amount: Decimal, told: Told, day: str, now: datetime
) -> Told:
    """What a person says, as it is kept."""
    told = msgspec.structs.replace(told, reference=told.reference.strip())
    payer = await payer_of(connection, invoice.account_id)
    errors = amount_errors(amount, invoice.currency)
    if not _REFERENCE.fullmatch(told.reference):
        errors.append(FieldError("/reference", "length", "write the bank's reference, 1 to 100 characters"))
    if told.moved_on > now.astimezone(ZoneInfo(payer.timezone)).date():
        errors.append(
            FieldError(f"/{day}", "past", "write the day on the bank's statement; it is not in the future")
        )
    if errors:
        detail = "; ".join(f"{error.pointer}: {error.detail}" for error in errors)
        raise Problem("invalid-input", f"{detail}.", errors=tuple(errors))
    return told


async def _known(
    connection: Connection, invoice: Collected, kind: MovementKind, amount: Decimal, told: Told
) -> Movement | None:
    """The movement of this reference; `Problem` conflict where it was recorded as another amount or day."""
    for one in await movements(connection, invoice.invoice_id):
        if (one.kind, one.reference) == (kind, told.reference):
            if (Decimal(one.amount.amount), one.moved_on) == (amount, told.moved_on):
                return one
            raise Problem(
                "conflict",
                f"{told.reference} is recorded for {invoice.number} as {_KINDS[kind]} of {one.amount.amount} "
                f"{invoice.currency} on {one.moved_on}: write another reference for another movement.",
            )
    return None


async def _record(
    connection: Connection,
    invoice: Collected,
    kind: MovementKind,
    amount: Decimal,
    told: Told,
    before: Settlement,
    now: datetime,
) -> Recorded:
    bank, receivable = (HOUSE, BANK), (invoice.account_id, RECEIVABLE)
    debit, credit = (bank, receivable) if kind == "bank_payment" else (receivable, bank)
    source = new_id("pay" if kind == "bank_payment" else "back")
    await write(connection, invoice, kind, source, amount, now, told=told, debit=debit, credit=credit)
    after = await settlement(connection, invoice)
    await announce_change(connection, invoice, before, after, now)
    # The reference stays out of the log: banks let payers write names into it.
    detail = {
        "amount": plain(amount),
        "currency": invoice.currency,
        "moved_on": str(told.moved_on),
        "record": source,
    }
    action = "payments.record" if kind == "bank_payment" else "payments.refund"
    await audit.append(connection, told.recorded_by, action, f"document/{invoice.invoice_id}", detail, now)
    made = next(one for one in await movements(connection, invoice.invoice_id) if one.id == source)
    return await _recorded(connection, invoice, made, after, is_new=True)


async def _recorded(
    connection: Connection, invoice: Collected, movement: Movement, standing: Settlement, *, is_new: bool
) -> Recorded:
    handed_over = await is_handed_over(connection, invoice.invoice_id)
    issued_on = await connection.fetchval(_ISSUED_ON, invoice.invoice_id)
    return Recorded(invoice.invoice_id, invoice.number, movement, standing, is_new, handed_over, issued_on)

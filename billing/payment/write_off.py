"""A rest of an invoice that is no longer asked for, such as what banks kept of a transfer: written off by a person.

It is an expense of the house and no correction: the invoice, its lines and its tax stay as they were issued, and no credit
note says that less was delivered. Whether tax can be claimed back for what was not paid is the accounting's to decide.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.invoice.month import payer_of
from billing.ledger.accounts import HOUSE, RECEIVABLE, WRITTEN_OFF
from billing.payment.announced import announce_change
from billing.payment.bank import amount_errors, is_handed_over
from billing.payment.find import find_invoice
from billing.payment.settlement import Collected, Settlement, Told, payable, settlement, write
from billing.transaction import Connection
from catalog.registry import audit
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.money import Money, money, plain
from catalog.vocabulary.problem import FieldError, Problem

_REASON_MAX = 100
_Kind = Literal["written_off", "written_back"]


class WriteOff(msgspec.Struct, frozen=True):
    """What a write-off, or taking it back, came to: the amount and where its document stands by then. `handed_over`: a
    provider asks for the document's money as well, and has to be told."""

    document_id: str
    number: str
    amount: Money
    reason: str
    standing: Settlement
    is_new: bool
    handed_over: bool


async def write_off(
    connection: Connection, document: str, amount: Decimal | None, *, reason: str, actor: str, now: datetime
) -> WriteOff:
    """Write off what is owed of a document, or so much of it, and post it: the house's `written_off` to the payer's
    `receivable`.

    The same reason again for the document changes nothing. `Problem` invalid-input for an amount that is no positive number
    of minor units and a reason that is empty or long; conflict for more than is owed and not contested, for a reason under
    which another amount was written off, and for documents that `find_invoice` refuses.
    """
    return await _record(connection, document, amount, "written_off", reason, actor, now)


async def take_back(
    connection: Connection, document: str, amount: Decimal | None, *, reason: str, actor: str, now: datetime
) -> WriteOff:
    """Take back what was written off of a document, or so much of it, for it is paid after all or was a mistake: it is owed
    again. Repetition and refusals are as with `write_off`."""
    return await _record(connection, document, amount, "written_back", reason, actor, now)


async def _record(
    connection: Connection,
    document: str,
    amount: Decimal | None,
    kind: _Kind,
    reason: str,
    actor: str,
    now: datetime,
) -> WriteOff:
    invoice = await payable(connection, await find_invoice(connection, document))
    before = await settlement(connection, invoice)
    most = before.owed - before.contested if kind == "written_off" else before.written_off
    reason = reason.strip()
    _check(amount, invoice.currency, reason)
    if (known := await _known(connection, invoice, kind, reason)) is not None and amount in (None, known):
        return await _done(connection, invoice, known, reason, before, is_new=False)
    if known is not None:
        raise Problem(
            "conflict",
            f"{plain(known)} {invoice.currency} of {invoice.number} are recorded under this reason: give another one.",
        )
    wanted = most if amount is None else amount
    if wanted > most or wanted <= 0:
        raise Problem("conflict", _too_much(kind, wanted, max(most, Decimal(0)), invoice))
    payer = await payer_of(connection, invoice.account_id)
    told = Told(reason, now.astimezone(ZoneInfo(payer.timezone)).date(), actor)
    expense, receivable = (HOUSE, WRITTEN_OFF), (invoice.account_id, RECEIVABLE)
    debit, credit = (expense, receivable) if kind == "written_off" else (receivable, expense)
    source = new_id("woff" if kind == "written_off" else "wback")
    await write(connection, invoice, kind, source, wanted, now, told=told, debit=debit, credit=credit)
    after = await settlement(connection, invoice)
    await announce_change(connection, invoice, before, after, now)
    detail = {"amount": plain(wanted), "currency": invoice.currency, "reason": reason, "record": source}
    action = "payments.write-off" if kind == "written_off" else "payments.write-off.taken-back"
    await audit.append(connection, actor, action, f"document/{invoice.invoice_id}", detail, now)
    return await _done(connection, invoice, wanted, reason, after, is_new=True)


def _check(amount: Decimal | None, currency: str, reason: str) -> None:
    errors = [] if amount is None else amount_errors(amount, currency)
    if not 0 < len(reason) <= _REASON_MAX or not reason.isprintable():
        errors.append(FieldError("/reason", "length", f"write why, 1 to {_REASON_MAX} characters"))
    if errors:
        detail = "; ".join(f"{error.pointer}: {error.detail}" for error in errors)
        raise Problem("invalid-input", f"{detail}.", errors=tuple(errors))


async def _known(connection: Connection, invoice: Collected, kind: _Kind, reason: str) -> Decimal | None:
    """The amount that is recorded under this reason."""
    found: Decimal | None = await connection.fetchval(
        "SELECT amount FROM billing.settlement_entry WHERE (invoice_id, kind, reference) = ($1, $2, $3)",
        invoice.invoice_id,
        kind,
        reason,
    )
    return found


def _too_much(kind: _Kind, wanted: Decimal, most: Decimal, invoice: Collected) -> str:
    currency = invoice.currency
    if kind == "written_back":
        written_off = f"{plain(most)} {currency}" if most else "Nothing"
        return f"{written_off} of {invoice.number} is written off: no more can be taken back."
    if most == 0:
        return f"Nothing is owed of {invoice.number} that could be written off; what is contested is ruled on first."
    return (
        f"{plain(wanted)} {currency} are more than the {plain(most)} {currency} that are owed of {invoice.number} and not "
        "contested: no more can be written off."
    )


async def _done(
    connection: Connection,
    invoice: Collected,
    amount: Decimal,
    reason: str,
    standing: Settlement,
    *,
    is_new: bool,
) -> WriteOff:
    return WriteOff(
        invoice.invoice_id,
        invoice.number,
        money(amount, invoice.currency),
        reason,
        standing,
        is_new,
        await is_handed_over(connection, invoice.invoice_id),
    )

"""Brings our books up to what the provider's book says of an invoice now, whatever news led here.

News is only a reason to look. What is looked at is the present state of the invoice and of all its payments, so news
that is late, repeated or out of order leads to the same books.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import asyncpg
import msgspec

from billing.invoice.credit_note import credited, issue_credit_note, spread
from billing.ledger.accounts import CASH, DISPUTE_FEES, DISPUTED, HOUSE, LOSS, PAYMENT_FEES, RECEIVABLE
from billing.payment.announced import announce_change
from billing.payment.provider import (
    PaymentProvider,
    ProviderDispute,
    ProviderFee,
    ProviderInvoice,
    ProviderPayment,
    ProviderRefund,
)
from billing.payment.settlement import Collected, collected, known_facts, settlement, write
from billing.transaction import Connection, all_accounts
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.money import plain


class Received(msgspec.Struct, frozen=True):
    """A payment, and all that became of it."""

    payment: ProviderPayment
    fees: tuple[ProviderFee, ...]
    refunds: tuple[ProviderRefund, ...]
    disputes: tuple[ProviderDispute, ...]


class Seen(msgspec.Struct, frozen=True):
    """An invoice in the provider's book and all money that arrived for it, the latest first."""

    invoice: ProviderInvoice
    received: tuple[Received, ...]


async def refresh(
    pool: asyncpg.Pool, provider: PaymentProvider, provider_invoice_id: str, clock: Clock
) -> tuple[str, ...]:
    """Write down what is new about an invoice; answers what a person has to look at, nothing where all is well.

    An invoice that is not of ours is nobody's business here. Raises `ProviderAway` and `ProviderRefused`.
    """
    return (await look(pool, provider, provider_invoice_id, clock))[1]


async def look(
    pool: asyncpg.Pool, provider: PaymentProvider, provider_invoice_id: str, clock: Clock
) -> tuple[Seen, tuple[str, ...]]:
    """The same, with what was seen."""
    invoice = await provider.invoice(provider_invoice_id)
    if not invoice.document_id:
        return Seen(invoice, ()), ()
    received = [await _received(provider, payment) for payment in await provider.payments(invoice.id)]
    async with all_accounts(pool) as connection:
        faults = await _apply(connection, invoice, received, from_ns(clock.now_ns()))
    return Seen(invoice, tuple(received)), faults


async def _received(provider: PaymentProvider, payment: ProviderPayment) -> Received:
    if not payment.payment_intent:
        return Received(payment, (), (), ())
    intent = payment.payment_intent
    fees = await provider.payment_fees(intent)
    return Received(payment, fees, await provider.refunds(intent), await provider.disputes(intent))


async def _apply(
    connection: Connection, invoice: ProviderInvoice, payments: Sequence[Received], now: datetime
) -> tuple[str, ...]:
    ours = await collected(connection, invoice.document_id)
    if ours is None:
        return (f"unknown-document: {invoice.id} names {invoice.document_id}, which was never handed over",)
    if (ours.currency, ours.total) != (invoice.currency, invoice.total):
        here, there = f"{plain(ours.total)} {ours.currency}", f"{plain(invoice.total)} {invoice.currency}"
        return (f"books-differ: {ours.number} is {here} here and {there} there",)
    before = await settlement(connection, ours)
    faults: list[str] = []
    # What is paid elsewhere never comes to the provider: a person records it (`bank.py`).
    for paid in (one for one in payments if one.payment.payment_intent):
        faults += await _apply_payment(connection, ours, paid, now)
    if invoice.state == "void":
        await _apply_void(connection, ours, now)
    after = await settlement(connection, ours)
    if invoice.state == "paid" and after.state == "open":
        faults.append(f"paid-without-payment: {ours.number} lacks {plain(after.owed)} {ours.currency}")
    await announce_change(connection, ours, before, after, now)
    return tuple(faults)


async def _apply_payment(connection: Connection, ours: Collected, paid: Received, now: datetime) -> list[str]:
    payment = paid.payment
    movements: tuple[ProviderPayment | ProviderRefund | ProviderDispute, ...] = (
        payment,
        *paid.refunds,
        *paid.disputes,
    )
    faults = [
        f"currency-differs: {one.id} is in {one.currency}, {ours.number} in {ours.currency}"
        for one in movements
        if one.currency != ours.currency
    ]
    if faults:
        return faults
    cash, receivable = (HOUSE, CASH), (ours.account_id, RECEIVABLE)
    await write(connection, ours, "payment", payment.id, payment.amount, now, debit=cash, credit=receivable)
    await _write_fees(connection, ours, "payment_fee", paid.fees, PAYMENT_FEES, now)
    for refund in paid.refunds:
        if refund.state == "succeeded":
            await write(
                connection, ours, "refund", refund.id, refund.amount, now, debit=receivable, credit=cash
            )
        elif refund.state == "failed" and ("refund", refund.id) in await known_facts(
            connection, ours.invoice_id
        ):
            await write(
                connection,
                ours,
                "refund_failed",
                refund.id,
                refund.amount,
                now,
                debit=cash,
                credit=receivable,
            )
    for dispute in paid.disputes:
        if dispute.state != "inquiry":
            faults += await _apply_dispute(connection, ours, dispute, now)
    return faults


async def _apply_dispute(
    connection: Connection, ours: Collected, dispute: ProviderDispute, now: datetime
) -> list[str]:
    cash, disputed = (HOUSE, CASH), (ours.account_id, DISPUTED)
    source, amount = dispute.id, dispute.amount
    await write(connection, ours, "dispute_opened", source, amount, now, debit=disputed, credit=cash)
    await _write_fees(connection, ours, "dispute_fee", dispute.fees, DISPUTE_FEES, now)
    facts = await known_facts(connection, ours.invoice_id)
    decided = {kind for kind in ("dispute_won", "dispute_lost") if (kind, source) in facts}
    if decided and decided != {f"dispute_{dispute.state}"}:
        return [f"decided-dispute-changed: {source} of {ours.number} is {dispute.state} now"]
    if dispute.state == "won":
        await write(connection, ours, "dispute_won", source, amount, now, debit=cash, credit=disputed)
    elif dispute.state == "lost" and not decided:
        await _lose(connection, ours, dispute, now)
    return []


async def _write_fees(
    connection: Connection,
    ours: Collected,
    kind: Literal["payment_fee", "dispute_fee"],
    fees: Sequence[ProviderFee],
    expense: str,
    now: datetime,
) -> None:
    for fee in fees:
        await write(
            connection,
            ours,
            kind,
            fee.id,
            fee.amount,
            now,
            currency=fee.currency,
            debit=(HOUSE, expense),
            credit=(HOUSE, CASH),
        )


async def _lose(connection: Connection, ours: Collected, dispute: ProviderDispute, now: datetime) -> None:
    """The loss, with a credit note over it as far as the invoice is not credited already."""
    left = max(ours.total - await credited(connection, ours.invoice_id), Decimal(0))
    with_note = min(left, dispute.amount)
    if with_note:
        text = f"dispute {dispute.id} lost"
        lines = await spread(connection, ours.invoice_id, with_note, text)
        await issue_credit_note(
            connection, ours.invoice_id, "dispute_lost", f"dispute:{dispute.id}", lines, now
        )
    await write(
        connection,
        ours,
        "dispute_lost",
        dispute.id,
        dispute.amount - with_note,
        now,
        debit=(HOUSE, LOSS),
        credit=(ours.account_id, DISPUTED),
    )


async def _apply_void(connection: Connection, ours: Collected, now: datetime) -> None:
    """Whoever voids an invoice at the provider gives up what is owed of it: the books follow with a credit note."""
    standing = await settlement(connection, ours)
    if not await write(connection, ours, "voided", ours.invoice_id, standing.owed, now):
        return
    if standing.owed > 0:
        lines = await spread(connection, ours.invoice_id, standing.owed, "void")
        await issue_credit_note(connection, ours.invoice_id, "void", f"void:{ours.invoice_id}", lines, now)

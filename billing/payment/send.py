"""Brings one document into the provider's book, and does not believe it is there before it says what ours says.

Each step first looks at what is there already, so an attempt goes on where any earlier one ended, even one whose
idempotency keys the provider has forgotten since (Stripe keeps them for at least 24 hours).
"""

import logging
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from billing.payment.account import customer_of, keep_customer
from billing.payment.amount import NotChargeable, check_payable, to_stripe
from billing.payment.document import customer_for, invoice_for
from billing.payment.outbox import Task, finish, hold, put_off
from billing.payment.provider import (
    NewInvoice,
    NewLine,
    PaymentProvider,
    ProviderAway,
    ProviderInvoice,
    ProviderLine,
    ProviderRefused,
)
from billing.payment.same import BooksDiffer, same
from billing.payment.send_note import send_credit_note
from billing.transaction import all_accounts
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.money import plain

log = logging.getLogger(__name__)

_LINES_AT_ONCE = 100


async def send(pool: asyncpg.Pool, provider: PaymentProvider, task: Task, clock: Clock) -> None:
    """Work on a task that was taken: done, held for a named reason, or put off. Raises nothing of the provider's."""
    reason, again, new_key, provider_id = "", False, False, ""
    try:
        if task.kind == "invoice":
            provider_id = await _send_invoice(pool, provider, task, from_ns(clock.now_ns()))
        else:
            provider_id = await send_credit_note(pool, provider, task, clock)
    except ProviderAway as away:
        reason, again, new_key = away.reason, True, away.replayed
    except ProviderRefused as refused:
        reason = refused.reason
    except NotChargeable as amount:
        reason = f"not-chargeable: {amount}"
    except BooksDiffer as differ:
        reason = f"books-differ: {differ}"
    now = from_ns(clock.now_ns())
    async with all_accounts(pool) as connection:
        if provider_id:
            await finish(connection, task, provider_id, now)
        elif again:
            await put_off(connection, task, reason, now, new_key=new_key)
        else:
            await hold(connection, task, reason, now)
    if reason:
        level = logging.WARNING if again else logging.ERROR
        told = {"document": task.document_id, "reason": reason, "attempts": task.attempts}
        log.log(level, "a document is not in the provider's book", extra=told)


async def _send_invoice(pool: asyncpg.Pool, provider: PaymentProvider, task: Task, now: datetime) -> str:
    ours = await _ours(pool, provider, task, now)
    check_payable(ours.total, ours.currency)
    for line in ours.lines:
        to_stripe(line.amount, ours.currency)
    theirs = None
    if task.attempts > 1:
        theirs = await provider.find_invoice(ours.customer_id, ours.document_id)
    if theirs is None:
        theirs = await provider.create_invoice(ours, task.key("invoice"))
    if theirs.state == "draft":
        await _complete(provider, task, ours, theirs)
        theirs = await provider.invoice(theirs.id)
        _check(ours, theirs, await provider.lines(theirs.id))
        theirs = await provider.finalize(theirs.id, task.key("finalize"))
    _check(ours, theirs, await provider.lines(theirs.id))
    if theirs.state not in ("open", "paid"):
        raise BooksDiffer(f"the invoice is {theirs.state} there")
    return theirs.id


async def _ours(pool: asyncpg.Pool, provider: PaymentProvider, task: Task, now: datetime) -> NewInvoice:
    """Our invoice, with the payer's id at the provider, who is made known there if need be."""
    async with all_accounts(pool) as connection:
        known_as = await customer_of(connection, task.account_id)
        customer = await customer_for(connection, task.document_id)
    customer_id = known_as or await provider.create_customer(customer, task.key("customer"))
    async with all_accounts(pool) as connection:
        customer_id = await keep_customer(
            connection, task.account_id, customer_id, livemode=provider.livemode
        )
        return await invoice_for(connection, task.document_id, customer_id, now)


async def _complete(provider: PaymentProvider, task: Task, ours: NewInvoice, draft: ProviderInvoice) -> None:
    """Add the lines that a draft does not have yet. A batch is there as a whole or not at all."""
    there = {line.position for line in await provider.lines(draft.id)}
    for start in range(0, len(ours.lines), _LINES_AT_ONCE):
        lines: Sequence[NewLine] = ours.lines[start : start + _LINES_AT_ONCE]
        if not there.issuperset(line.position for line in lines):
            await provider.add_lines(draft.id, ours.currency, lines, task.key(f"lines-{start}"))


def _check(ours: NewInvoice, theirs: ProviderInvoice, lines: Sequence[ProviderLine]) -> None:
    """Tolerance zero: what the payer will be shown is what our document says."""
    found = {line.position: line.amount for line in lines}
    for line in ours.lines:
        if found.get(line.position) != line.amount:
            there = found.get(line.position)
            shown = "missing" if there is None else plain(there)
            raise BooksDiffer(f"line {line.position} is {plain(line.amount)} here and {shown} there")
    if len(lines) != len(ours.lines):
        raise BooksDiffer(f"{len(ours.lines)} lines here and {len(lines)} there")
    same("currency", ours.currency, theirs.currency)
    same("total", plain(ours.total), plain(theirs.total))
    same("number", ours.number, theirs.number)
    same("document", ours.document_id, theirs.document_id)
    same("customer", ours.customer_id, theirs.customer_id)

"""The inbox: events that the gateway has stored lead to the invoices they are about, each refreshed once a batch."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import msgspec

from billing.payment.outbox import pause
from billing.payment.provider import PaymentProvider, ProviderAway, ProviderRefused
from billing.payment.refresh import refresh
from billing.transaction import all_accounts
from catalog.vocabulary.clock import Clock, from_ns

log = logging.getLogger(__name__)

_BATCH = 100
_FORGOTTEN_MAX = 1000
_LEASE = timedelta(minutes=15)
# Card networks take disputes for 120 days from the payment, and an invoice has its terms before that.
_DISPUTED_WITHIN = timedelta(days=180)
# Stripe sends an event again for three days by itself, and for thirty when a person asks it to. One that comes after its
# name was forgotten is taken in once more, and leads to the same books.
_EVENTS_KEPT = timedelta(days=35)

_TAKE = """
    UPDATE billing.webhook_event SET attempts = attempts + 1, due_at = $2 WHERE id IN (
        SELECT id FROM billing.webhook_event WHERE state = 'waiting' AND due_at <= $1
        ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING id, invoice, payment_intent, attempts
"""

_LOOKED_AFTER = """
    SELECT task.provider_id FROM billing.payment_task AS task JOIN billing.invoice ON invoice.id = document_id
    WHERE task.kind = 'invoice' AND task.state = 'done' AND (invoice.issued_at > $1 OR invoice.total > coalesce((
        SELECT sum(amount) FROM billing.settlement_entry AS entry
        WHERE entry.invoice_id = invoice.id AND kind IN ('payment', 'bank_payment', 'written_off')), 0))
    ORDER BY task.id
"""

_FORGET = """
    DELETE FROM billing.webhook_event WHERE id IN (
        SELECT id FROM billing.webhook_event WHERE state = 'done' AND received_at < $1 LIMIT $2)
"""


class _Event(msgspec.Struct, frozen=True):
    id: str
    invoice: str | None
    payment_intent: str | None
    attempts: int


async def take_in(pool: asyncpg.Pool, provider: PaymentProvider, clock: Clock) -> bool:
    """Take one batch of waiting events; whether there may be more."""
    now = from_ns(clock.now_ns())
    async with all_accounts(pool) as connection:
        rows = await connection.fetch(_TAKE, now, now + _LEASE, _BATCH)
    by_invoice: dict[str | None, list[_Event]] = {}
    for event in (_Event(*row) for row in rows):
        try:
            invoice = event.invoice
            if invoice is None and event.payment_intent is not None:
                invoice = await provider.invoice_of_payment(event.payment_intent)
        except (ProviderAway, ProviderRefused) as failure:
            await _not_done(pool, [event], failure, from_ns(clock.now_ns()))
        else:
            by_invoice.setdefault(invoice, []).append(event)
    for invoice, events in by_invoice.items():
        try:
            faults = () if invoice is None else await refresh(pool, provider, invoice, clock)
        except (ProviderAway, ProviderRefused) as failure:
            await _not_done(pool, events, failure, from_ns(clock.now_ns()))
        else:
            await _done(pool, events, "; ".join(faults))
    return len(rows) == _BATCH


async def look_after(pool: asyncpg.Pool, provider: PaymentProvider, clock: Clock) -> int:
    """Refresh, for news that never came, every invoice that is not paid in full or young enough to be disputed; how
    many could not be read."""
    async with all_accounts(pool) as connection:
        rows = await connection.fetch(_LOOKED_AFTER, from_ns(clock.now_ns()) - _DISPUTED_WITHIN)
    unread = 0
    for row in rows:
        try:
            for fault in await refresh(pool, provider, row["provider_id"], clock):
                log.error("the provider's book is not ours", extra={"reason": fault})
        except (ProviderAway, ProviderRefused) as failure:
            log.warning(
                "an invoice was not read", extra={"invoice": row["provider_id"], "reason": failure.reason}
            )
            unread += 1
    return unread


async def forget_events(pool: asyncpg.Pool, clock: Clock) -> bool:
    """Delete one batch of events that were taken in 35 days ago; whether there may be more. Held ones wait for a person."""
    async with all_accounts(pool) as connection:
        tag = await connection.execute(_FORGET, from_ns(clock.now_ns()) - _EVENTS_KEPT, _FORGOTTEN_MAX)
    return int(tag.split()[-1]) == _FORGOTTEN_MAX


async def _done(pool: asyncpg.Pool, events: Sequence[_Event], faults: str) -> None:
    if faults:
        log.error("the provider's book is not ours", extra={"reason": faults})
    async with all_accounts(pool) as connection:
        await connection.execute(
            "UPDATE billing.webhook_event SET state = $2, reason = $3 WHERE id = ANY($1)",
            [event.id for event in events],
            "held" if faults else "done",
            faults,
        )


async def _not_done(
    pool: asyncpg.Pool, events: Sequence[_Event], failure: ProviderAway | ProviderRefused, now: datetime
) -> None:
    away = isinstance(failure, ProviderAway)
    log.warning(
        "news waits" if away else "news is held", extra={"reason": failure.reason, "events": len(events)}
    )
    async with all_accounts(pool) as connection:
        await connection.executemany(
            "UPDATE billing.webhook_event SET state = $2, reason = $3, due_at = $4 WHERE id = $1",
            [
                (event.id, "waiting" if away else "held", failure.reason, now + pause(event.attempts))
                for event in events
            ],
        )

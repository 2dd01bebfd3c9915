"""Reminders: what is overdue is announced once a stage; who tells the payer listens to the outbox."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from billing.payment.owed import OpenInvoice, open_invoices
from billing.payment.settlement import payable, settlement
from billing.transaction import Connection, all_accounts
from catalog.outbox import announce
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.money import money


def due_stage(reminder_days: Sequence[int], overdue: int, last: int) -> int | None:
    """The stage to announce now, counted from 1: the highest that is reached, if it is above the last announced one.

    Whoever was away for a month sends one reminder and not three.
    """
    reached = sum(day <= overdue for day in reminder_days)
    return reached if reached > last else None


async def remind(pool: asyncpg.Pool, clock: Clock) -> int:
    """Announce every reminder that is due, each invoice in a transaction of its own; how many were announced."""
    now = from_ns(clock.now_ns())
    async with all_accounts(pool) as connection:
        invoices = await open_invoices(connection, now, overdue=True)
    announced = 0
    for one in invoices:
        stage = due_stage(one.reminder_days, one.days_overdue or 0, one.stage)
        if stage is not None:
            async with all_accounts(pool) as connection:
                announced += await _announce(connection, one, stage, now)
    return announced


async def _announce(connection: Connection, overdue: OpenInvoice, stage: int, now: datetime) -> bool:
    """Unless it was paid meanwhile. What is contested is not asked for before it is ruled on."""
    invoice = await payable(connection, overdue.document_id)
    standing = await settlement(connection, invoice)
    asked = standing.owed - standing.contested
    if standing.state != "open" or asked <= 0:
        return False
    stored = await connection.fetchval(
        "INSERT INTO billing.reminder (invoice_id, stage, account_id, announced_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING RETURNING stage",
        invoice.invoice_id,
        stage,
        invoice.account_id,
        now,
    )
    if stored is None:
        return False
    payload = {
        "invoice_id": invoice.invoice_id,
        "number": invoice.number,
        "stage": stage,
        "due_on": str(overdue.due_on),
        "days_overdue": overdue.days_overdue,
        "owed": msgspec.to_builtins(money(asked, invoice.currency)),
    }
    await announce(connection, invoice.account_id, "live", "invoice.overdue", payload, now)
    return True

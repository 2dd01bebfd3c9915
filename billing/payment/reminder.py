"""Reminders: what is overdue is announced once a stage; who tells the payer listens to the outbox."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from billing.payment.settlement import collected, settlement
from billing.transaction import Connection, all_accounts
from catalog.outbox import announce
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.money import money

# Invoices whose next reminder may be due: handed over, enough days old, and not at their last stage.
_CANDIDATES = """
    SELECT invoice.id, invoice.issued_at, account.timezone, terms.terms_days, terms.reminder_days,
           coalesce((SELECT max(stage) FROM billing.reminder WHERE invoice_id = invoice.id), 0) AS last
    FROM billing.payment_task AS task
    JOIN billing.invoice ON invoice.id = task.document_id
    JOIN billing.payment_account AS terms ON terms.account_id = invoice.account_id
    JOIN catalog.account ON account.id = invoice.account_id
    WHERE task.kind = 'invoice' AND task.state = 'done'
      AND invoice.issued_at < $1::timestamptz - make_interval(days => terms.terms_days - 1)
      AND coalesce((SELECT max(stage) FROM billing.reminder WHERE invoice_id = invoice.id), 0)
          < cardinality(terms.reminder_days)
    ORDER BY invoice.id
"""


def days_overdue(issued_at: datetime, terms_days: int, timezone: str, now: datetime) -> int:
    """Whole days since the due day on the payer's own calendar; 0 on the due day, negative before it."""
    zone = ZoneInfo(timezone)
    due = issued_at.astimezone(zone).date() + timedelta(days=terms_days)
    return (now.astimezone(zone).date() - due).days


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
        rows = await connection.fetch(_CANDIDATES, now)
    announced = 0
    for row in rows:
        overdue = days_overdue(row["issued_at"], row["terms_days"], row["timezone"], now)
        stage = due_stage(row["reminder_days"], overdue, row["last"])
        if stage is not None:
            async with all_accounts(pool) as connection:
                announced += await _announce(connection, row["id"], stage, overdue, now)
    return announced


async def _announce(connection: Connection, invoice_id: str, stage: int, overdue: int, now: datetime) -> bool:
    invoice = await collected(connection, invoice_id)
    assert invoice is not None, "only what was handed over is a candidate"
    standing = await settlement(connection, invoice)
    if standing.state != "open" or standing.owed <= Decimal(0):
        return False
    stored = await connection.fetchval(
        "INSERT INTO billing.reminder (invoice_id, stage, account_id, announced_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING RETURNING stage",
        invoice_id,
        stage,
        invoice.account_id,
        now,
    )
    if stored is None:
        return False
    payload = {
        "invoice_id": invoice_id,
        "number": invoice.number,
        "stage": stage,
        "days_overdue": overdue,
        "owed": msgspec.to_builtins(money(standing.owed, invoice.currency)),
    }
    await announce(connection, invoice.account_id, "live", "invoice.overdue", payload, now)
    return True

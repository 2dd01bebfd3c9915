"""What payers still owe: every live invoice that is open, how long it is overdue, and what it was reminded of."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from billing.invoice.month import period_of
from billing.transaction import Connection
from catalog.vocabulary.money import Money, money, round_money

# What credit has paid of a document and not given back: SQL, beside a row of `billing.invoice`, as the next two.
PREPAID = """(
    coalesce((SELECT sum(applied) FROM billing.credit_application WHERE invoice_id = invoice.id), 0)
    - coalesce((SELECT sum(amount) FROM billing.credit_restoration WHERE invoice_id = invoice.id AND became <> 'owed'), 0))
"""
# What a payer contests and nobody has ruled on.
CONTESTED = """(
    coalesce((SELECT sum(hold.amount) FROM billing.dispute
              JOIN billing.dispute_hold AS hold ON hold.dispute_id = dispute.id WHERE dispute.invoice_id = invoice.id
              AND NOT EXISTS (SELECT FROM billing.dispute_ruling WHERE dispute_ruling.dispute_id = dispute.id)), 0))
"""
# What is left of an issued document's total; what is contested is a part of it. A lost dispute's note records what the
# bank took, and lowers nothing.
OWED = f"""(
    invoice.total - {PREPAID}
    - coalesce((SELECT sum(note.total) FROM billing.credit_note AS note
                WHERE note.invoice_id = invoice.id AND reason <> 'dispute_lost'), 0)
    - coalesce((SELECT sum(CASE WHEN fact.kind IN ('payment', 'bank_payment', 'refund_failed', 'written_off')
                           THEN amount ELSE -amount END)
                FROM billing.settlement_entry AS fact WHERE fact.invoice_id = invoice.id
                AND fact.kind IN ('payment', 'bank_payment', 'refund_failed', 'refund', 'bank_refund', 'written_off',
                                  'written_back')), 0))
"""  # noqa: S608 - constants of this file
_OPEN = f"""
    SELECT invoice.id, number, invoice.account_id, account.name, period, invoice.currency, total, owed, contested, due_on,
           timezone, task.id IS NOT NULL AS handed_over, said.stage, said.reminded_at,
           CASE WHEN task.state = 'done' OR task.id IS NULL AND issued_at >= reminded_since
                THEN reminder_days ELSE '{{}}' END AS reminder_days
    FROM billing.invoice
    JOIN catalog.account ON account.id = invoice.account_id
    LEFT JOIN billing.payment_account AS terms ON terms.account_id = invoice.account_id
    LEFT JOIN billing.payment_task AS task ON task.kind = 'invoice' AND task.document_id = invoice.id
    CROSS JOIN LATERAL (SELECT {OWED} AS owed, {CONTESTED} AS contested) AS standing
    CROSS JOIN LATERAL (SELECT coalesce(max(stage), 0) AS stage, max(announced_at) AS reminded_at
                        FROM billing.reminder WHERE invoice_id = invoice.id) AS said
    WHERE invoice.environment = 'live' AND invoice.kind = 'invoice' AND invoice.state = 'issued' AND total > 0
      AND ($1::text IS NULL OR invoice.account_id = $1) AND ($2::date IS NULL OR due_on < $2) AND owed > 0
    ORDER BY due_on NULLS LAST, number
"""  # noqa: S608 - constants of this file
# The latest day that it is anywhere.
_FIRST_ZONE = timezone(timedelta(hours=14))


class OpenInvoice(msgspec.Struct, frozen=True):
    """A live invoice that is not paid in full. `contested` of what is `owed` waits for a ruling. Days count on the payer's
    calendar: `due_in_days` until the due day, 0 on it, and `days_overdue` since, from 1; None where it is the other, or there
    is no due day. `stage` is the last reminder that was announced, 0 before the first; `reminder_days` are the days overdue on which each falls due, none where nobody is reminded."""

    document_id: str
    number: str
    account_id: str
    account: str
    period: str
    total: Money
    owed: Money
    contested: Money
    due_on: date | None
    due_in_days: int | None
    days_overdue: int | None
    handed_over: bool
    stage: int
    reminded_at: datetime | None
    reminder_days: tuple[int, ...]


def due_in_days(due_on: date | None, zone: str, now: datetime) -> int | None:
    """Whole days until the due day on the payer's own calendar, 0 on the due day; None once it is past, or without one."""
    left = _days_left(due_on, zone, now)
    return None if left is None or left < 0 else left


def days_overdue(due_on: date | None, zone: str, now: datetime) -> int | None:
    """Whole days since the due day on the payer's own calendar, from 1; None until it is past, or without one."""
    left = _days_left(due_on, zone, now)
    return None if left is None or left >= 0 else -left


def _days_left(due_on: date | None, zone: str, now: datetime) -> int | None:
    return None if due_on is None else (due_on - now.astimezone(ZoneInfo(zone)).date()).days


async def open_invoices(
    connection: Connection, now: datetime, *, account_id: str | None = None, overdue: bool = False
) -> Sequence[OpenInvoice]:
    """What is open of one account or of all, what is due first on top; only what is `overdue` where that is asked for."""
    before = now.astimezone(_FIRST_ZONE).date() if overdue else None
    found = [_open(row, now) for row in await connection.fetch(_OPEN, account_id, before)]
    return [one for one in found if not overdue or one.days_overdue is not None]


def _open(row: asyncpg.Record, now: datetime) -> OpenInvoice:
    def amount(name: str) -> Money:
        return money(round_money(row[name], row["currency"]), row["currency"])

    return OpenInvoice(
        row["id"],
        row["number"],
        row["account_id"],
        row["name"],
        str(period_of(row["period"])),
        amount("total"),
        amount("owed"),
        amount("contested"),
        row["due_on"],
        due_in_days(row["due_on"], row["timezone"], now),
        days_overdue(row["due_on"], row["timezone"], now),
        row["handed_over"],
        row["stage"],
        row["reminded_at"],
        tuple(row["reminder_days"] or ()),
    )

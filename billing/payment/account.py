"""From whom a provider collects, and on which terms."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from billing.invoice.month import payer_of
from billing.transaction import Connection
from catalog.vocabulary.problem import FieldError, Problem

# A reminder on the first day after the due date, and a firmer one after two and after four weeks.
REMINDER_DAYS = (1, 14, 28)
_TERMS_DAYS_MAX = 365
_HAS_CREDIT = """
    SELECT EXISTS (SELECT FROM billing.credit_grant WHERE account_id = $1 AND environment = 'live'
                   AND NOT EXISTS (SELECT FROM billing.credit_expiry WHERE grant_id = credit_grant.id)
                   AND amount > coalesce((SELECT sum(applied) FROM billing.credit_application
                                          WHERE grant_id = credit_grant.id), 0))
"""


class Terms(msgspec.Struct, frozen=True):
    """Days until an invoice is due, days overdue at which each reminder falls due, and the payer's id at the provider."""

    terms_days: int
    reminder_days: tuple[int, ...]
    customer_id: str | None


async def collect_from(
    connection: Connection,
    account_id: str,
    now: datetime,
    *,
    terms_days: int = 30,
    reminder_days: Sequence[int] = REMINDER_DAYS,
) -> None:
    """From now on every live invoice of an external account is handed over when it is issued; may be repeated.

    `Problem` not-found for an unknown account, conflict for one that is not external or has credit left that it paid or was
    given in advance (its documents would be paid twice), invalid-input for terms outside 1 to 365 days or reminders that do
    not rise from 1.
    """
    payer = await payer_of(connection, account_id)
    if payer.kind != "external":
        raise Problem(
            "conflict",
            f"{payer.name} is settled inside the group; only external accounts are collected from.",
        )
    if await connection.fetchval(_HAS_CREDIT, account_id):
        raise Problem(
            "conflict",
            f"{payer.name} has prepaid credit left; it pays in advance or afterwards, not both: collect once it is used up.",
        )
    if not 1 <= terms_days <= _TERMS_DAYS_MAX:
        raise _refused("/terms_days", "range", f"give 1 to {_TERMS_DAYS_MAX} days")
    if list(reminder_days) != sorted(set(reminder_days)) or any(day < 1 for day in reminder_days):
        raise _refused("/reminder_days", "order", "give rising numbers of days from 1")
    await connection.execute(
        "INSERT INTO billing.payment_account (account_id, enabled, terms_days, reminder_days, changed_at) "
        "VALUES ($1, true, $2, $3, $4) ON CONFLICT (account_id) DO UPDATE "
        "SET enabled = true, terms_days = $2, reminder_days = $3, changed_at = $4",
        account_id,
        terms_days,
        list(reminder_days),
        now,
    )


async def stop_collecting(connection: Connection, account_id: str, now: datetime) -> None:
    """Hand nothing more over; what was handed over already is still collected. Harmless without an earlier start."""
    await connection.execute(
        "UPDATE billing.payment_account SET enabled = false, changed_at = $2 WHERE account_id = $1",
        account_id,
        now,
    )


async def terms_of(connection: Connection, account_id: str) -> Terms:
    """The terms of an account that is or was collected from."""
    row = await connection.fetchrow(
        "SELECT terms_days, reminder_days, customer_id FROM billing.payment_account WHERE account_id = $1",
        account_id,
    )
    assert row is not None, "only an account that is collected from has tasks"
    return Terms(row["terms_days"], tuple(row["reminder_days"]), row["customer_id"])


async def keep_customer(connection: Connection, account_id: str, customer_id: str) -> str:
    """Note who an account is at the provider, once; answers who it is."""
    kept: str = await connection.fetchval(
        "UPDATE billing.payment_account SET customer_id = coalesce(customer_id, $2) WHERE account_id = $1 "
        "RETURNING customer_id",
        account_id,
        customer_id,
    )
    return kept


def _refused(pointer: str, rule: str, detail: str) -> Problem:
    return Problem("invalid-input", f"{pointer}: {detail}.", errors=(FieldError(pointer, rule, detail),))

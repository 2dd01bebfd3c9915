"""How an account pays: whether a provider collects from it, within how many days, and when it is reminded."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from billing.invoice.due import payment_terms
from billing.invoice.month import payer_of
from billing.prepaid.grants import APPLIED
from billing.transaction import Connection
from catalog.vocabulary.problem import FieldError, Problem

# A reminder on the first day after the due date, and a firmer one after two and after four weeks.
REMINDER_DAYS = (1, 14, 28)
# Where neither the payer's days were agreed nor anybody has said who sells.
_TERMS_DAYS = 30
_TERMS_DAYS_MAX = 365
_REMINDERS_MAX = 12
_HAS_CREDIT = f"""
    SELECT EXISTS (SELECT FROM billing.credit_grant WHERE account_id = $1 AND environment = 'live'
                   AND NOT EXISTS (SELECT FROM billing.credit_expiry WHERE grant_id = credit_grant.id)
                   AND amount > {APPLIED})
"""  # noqa: S608 - constants of this product
_KEEP = """
    INSERT INTO billing.payment_account AS kept (account_id, enabled, terms_days, reminder_days, changed_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (account_id) DO UPDATE SET enabled = $2, terms_days = $3, reminder_days = $4, changed_at = $5
"""


class Terms(msgspec.Struct, frozen=True):
    """How an account pays. `collected`: a provider collects what is issued from now on. `terms_days` were agreed with it, None
    where the seller's payment days hold; on each of `reminder_days` after the due day a reminder falls due."""

    collected: bool
    terms_days: int | None
    reminder_days: tuple[int, ...]


async def terms_of(connection: Connection, account_id: str) -> Terms | None:
    """How an account pays; None where nobody has said anything of it: the seller's days hold, and nobody is reminded."""
    row = await connection.fetchrow(
        "SELECT enabled, terms_days, reminder_days FROM billing.payment_account WHERE account_id = $1",
        account_id,
    )
    return None if row is None else Terms(row["enabled"], row["terms_days"], tuple(row["reminder_days"]))


async def agree(
    connection: Connection,
    account_id: str,
    now: datetime,
    *,
    terms_days: int | None,
    reminder_days: Sequence[int],
) -> Terms:
    """Agree with an external account within how many days its next invoices are paid (None: as the seller says of all),
    and when it is reminded of what is open; the caller commits.

    `Problem` not-found for an unknown account, conflict for one that is not external, invalid-input for days outside 1 to
    365 or reminders that do not rise from 1, or are more than twelve.
    """
    await _external(connection, account_id)
    before = await terms_of(connection, account_id)
    collected = before is not None and before.collected
    return await _keep(connection, account_id, Terms(collected, terms_days, tuple(reminder_days)), now)


async def collect_from(
    connection: Connection,
    account_id: str,
    now: datetime,
    *,
    terms_days: int | None = None,
    reminder_days: Sequence[int] | None = None,
) -> Terms:
    """From now on every live invoice of an external account is handed over when it is issued; may be repeated.

    What is left out stays as it was agreed, or is as the seller says. `Problem` as `agree` has them, and conflict for an
    account that has credit left that it paid or was given in advance: its documents would be paid twice.
    """
    name = await _external(connection, account_id)
    if await connection.fetchval(_HAS_CREDIT, account_id):
        raise Problem(
            "conflict",
            f"{name} has prepaid credit left; it pays in advance or afterwards, not both: collect once it is used up.",
        )
    before = await terms_of(connection, account_id)
    if terms_days is None and before is not None:
        terms_days = before.terms_days
    if terms_days is None and (await payment_terms(connection, account_id)).seller is None:
        terms_days = _TERMS_DAYS
    if reminder_days is None:
        reminder_days = REMINDER_DAYS if before is None else before.reminder_days
    return await _keep(connection, account_id, Terms(True, terms_days, tuple(reminder_days)), now)


async def stop_collecting(connection: Connection, account_id: str, now: datetime) -> None:
    """Hand nothing more over; what was handed over already is still collected. Harmless without an earlier start."""
    await connection.execute(
        "UPDATE billing.payment_account SET enabled = false, changed_at = $2 WHERE account_id = $1",
        account_id,
        now,
    )


async def customer_of(connection: Connection, account_id: str) -> str | None:
    """Who an account is at the provider; None before it is known there."""
    customer_id: str | None = await connection.fetchval(
        "SELECT customer_id FROM billing.payment_account WHERE account_id = $1", account_id
    )
    return customer_id


async def keep_customer(connection: Connection, account_id: str, customer_id: str, *, livemode: bool) -> str:
    """Note who an account is at the provider, and in which of its modes, once; answers who it is."""
    kept: str = await connection.fetchval(
        "UPDATE billing.payment_account SET customer_id = coalesce(customer_id, $2), "
        "livemode = CASE WHEN customer_id IS NULL THEN $3 ELSE livemode END WHERE account_id = $1 RETURNING customer_id",
        account_id,
        customer_id,
        livemode,
    )
    return kept


async def _external(connection: Connection, account_id: str) -> str:
    payer = await payer_of(connection, account_id)
    if payer.kind != "external":
        raise Problem(
            "conflict",
            f"{payer.name} is settled inside the group; only external accounts are collected from.",
        )
    return payer.name


async def _keep(connection: Connection, account_id: str, terms: Terms, now: datetime) -> Terms:
    days = terms.reminder_days
    if terms.terms_days is not None and not 1 <= terms.terms_days <= _TERMS_DAYS_MAX:
        raise _refused("/terms_days", "range", f"give 1 to {_TERMS_DAYS_MAX} days")
    if list(days) != sorted(set(days)) or not all(1 <= day <= _TERMS_DAYS_MAX for day in days):
        raise _refused("/reminder_days", "order", f"give rising numbers of days from 1 to {_TERMS_DAYS_MAX}")
    if len(days) > _REMINDERS_MAX:
        raise _refused("/reminder_days", "count", f"give at most {_REMINDERS_MAX} reminders")
    await connection.execute(_KEEP, account_id, terms.collected, terms.terms_days, list(days), now)
    return terms


def _refused(pointer: str, rule: str, detail: str) -> Problem:
    return Problem("invalid-input", f"{pointer}: {detail}.", errors=(FieldError(pointer, rule, detail),))

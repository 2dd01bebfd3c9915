"""Where a document stands with its payer: its calendar, what is disputed, whether it was approved."""

from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.calendar import Calendar, ClosePolicy, calendar_of, close_policies
from billing.invoice.draft import Draft
from billing.invoice.month import Payer
from billing.transaction import Connection
from catalog.vocabulary.clock import local_time
from catalog.vocabulary.period import Period


class Standing(msgspec.Struct, frozen=True):
    """`calendar` is None where none is configured; `disputed` is what open disputes hold, or
    contest of a draft; `approved_at` is when the payer
    accepted the document at the amount that it has now."""

    calendar: Calendar | None
    disputed: Decimal
    approved_at: datetime | None


async def standing_of(
    connection: Connection, payer: Payer, invoice_id: str, period: Period, total: Decimal
) -> Standing:
    """The standing of a document that comes to `total`."""
    policy = (await close_policies(connection)).get(payer.kind)
    row = await connection.fetchrow(
        """
        SELECT (SELECT approved_at FROM billing.approval WHERE invoice_id = $1 AND total = $2) AS approved_at,
               (SELECT coalesce(sum(coalesce(hold.amount, dispute.amount)), 0)
                FROM billing.dispute LEFT JOIN billing.dispute_hold AS hold ON hold.dispute_id = dispute.id
                WHERE invoice_id = $1
                   AND NOT EXISTS (SELECT FROM billing.dispute_ruling WHERE dispute_id = dispute.id)) AS disputed
        """,
        invoice_id,
        total,
    )
    assert row is not None, "a question without FROM has one answer"
    calendar = None if policy is None else calendar_of(period, payer.timezone, policy)
    return Standing(calendar, row["disputed"], row["approved_at"])


# What bills outcomes is only a proposal until the payer agrees. To shares of results it has agreed one by one.
_UNAPPROVED = """
    SELECT EXISTS (
        SELECT FROM billing.rated_line JOIN catalog.price_version ON price_version.id = rated_line.price_version
        WHERE invoice_id = $1 AND model <> 'outcome' AND billable_on = 'outcome')
    AND NOT EXISTS (
        SELECT FROM billing.approval WHERE invoice_id = $1 AND total =
            (SELECT coalesce(sum(amount), 0) FROM billing.rated_line WHERE invoice_id = $1)
          + (SELECT coalesce(sum(amount), 0) FROM billing.charge_line WHERE invoice_id = $1))
"""


class Waiting(msgspec.Struct, frozen=True):
    """Why a complete draft is not issued yet, in words for the close's report, and whether it is due all the same."""

    reason: str
    due: bool


async def waits_because(
    connection: Connection, payer: Payer, draft: Draft, policy: ClosePolicy | None, now: datetime
) -> Waiting | None:
    """Why a draft that is complete is not issued yet; None: it is to be issued."""
    if policy is not None:
        calendar = calendar_of(draft.period, payer.timezone, policy)
        if calendar.stage(now) != "due":
            begins = local_time(calendar.issue_at, payer.timezone)
            return Waiting(f"its calendar issues it from {begins} on", due=False)
    if await connection.fetchval(_UNAPPROVED, draft.id):
        return Waiting("it has an outcome price and waits for its payer's approval", due=True)
    return None

"""Where a document stands with its payer: its calendar, what is disputed, whether it was approved."""

from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.calendar import Calendar, ClosePolicy, calendar_of, close_policies
from billing.invoice.month import Payer
from billing.transaction import Connection
from catalog.vocabulary.clock import local_time
from catalog.vocabulary.period import Period


class Standing(msgspec.Struct, frozen=True):
    """`calendar` is None where none is configured; `disputed` is what open disputes hold, or contest of a draft;
    `approved_at` is when the payer accepted the document at the amount that it has now."""

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


def waits_because(payer: Payer, period: Period, policy: ClosePolicy | None, now: datetime) -> str | None:
    """Why a complete draft of a month is not issued yet, in words for the close's report; None: it is to be issued."""
    if policy is None:
        return None
    calendar = calendar_of(period, payer.timezone, policy)
    if calendar.stage(now) == "due":
        return None
    return f"its calendar issues it from {local_time(calendar.issue_at, payer.timezone)} on"

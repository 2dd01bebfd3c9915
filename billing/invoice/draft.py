"""Documents: one per account, environment and month, open as a draft until it is issued."""

from datetime import datetime
from typing import Literal

import msgspec

from billing.invoice.month import Month, Payer, period_of
from billing.transaction import Connection
from catalog.vocabulary.period import Period

DocumentKind = Literal["statement", "invoice"]


class Draft(msgspec.Struct, frozen=True):
    """An open document: its id and the month that it is for."""

    id: str
    period: Period


def document_kind(payer: Payer) -> DocumentKind:
    """External accounts are invoiced; everybody else gets a statement."""
    return "invoice" if payer.kind == "external" else "statement"


def document_id(month: Month) -> str:
    """The same id however often and by whom the document is made: `inv_live_acct_…_2026-11`."""
    return f"inv_{month.environment}_{month.account_id}_{month.period}"


async def draft_for(connection: Connection, payer: Payer, month: Month, now: datetime) -> Draft:
    """The open document that usage of this month belongs on; made on demand.

    Once the month's own document is issued that is the earliest open one of a later month, or a new one for the
    running month: what is issued stays as it is.
    """
    rows = await connection.fetch(
        "SELECT id, period, state FROM billing.invoice "
        "WHERE account_id = $1 AND environment = $2 AND period >= $3 ORDER BY period",
        month.account_id,
        month.environment,
        month.period.first_day,
    )
    period = month.period
    if rows and period_of(rows[0]["period"]) == period:
        for row in rows:
            if row["state"] == "draft":
                return Draft(row["id"], period_of(row["period"]))
        period = Period.of(now, payer.timezone)
    return await _open(connection, payer, Month(month.account_id, month.environment, period), now)


async def _open(connection: Connection, payer: Payer, month: Month, now: datetime) -> Draft:
    draft = Draft(document_id(month), month.period)
    await connection.execute(
        "INSERT INTO billing.invoice (id, account_id, environment, period, kind, currency, state, created_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, 'draft', $7)",
        draft.id,
        month.account_id,
        month.environment,
        month.period.first_day,
        document_kind(payer),
        payer.currency,
        now,
    )
    return draft

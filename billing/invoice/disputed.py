"""What payers contest, as it is read: the state of each dispute, what it holds, what it took off the bill."""

from typing import Literal

import asyncpg
import msgspec

from billing.invoice.month import Month, period_of
from billing.transaction import Connection
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment, call_id_text
from catalog.vocabulary.money import Money, money, round_money
from catalog.vocabulary.problem import Problem

DisputeState = Literal["open", "accepted", "rejected"]

_NO_LINE = "Nothing comes off the bill: the line comes to nothing by now."
_NOTHING_OFF = (
    "Nothing comes off the bill: what the line would be less by is charged all the same as the agreed minimum "
    "or committed spend."
)


class Dispute(msgspec.Struct, frozen=True):
    """What a payer contests, and what became of it. `line` says which line, `amount` how much of it; `ruling` is the
    provider's reason, `credit_note` the number of what was credited. Bills have discounts, minimums and taxes: `held` is what
    would come off the document with it, null on a draft; `credited` what came off with the part of the line that was
    `accepted`. `notice` says why where nothing comes off."""

    id: str
    account_id: str
    environment: Environment
    document_id: str
    period: str
    line: str
    operation: str
    call_id: str | None
    amount: Money
    reason: str
    state: DisputeState
    opened_at: str
    ruled_at: str | None
    ruling: str | None
    credit_note: str | None
    held: Money | None
    accepted: Money | None
    credited: Money | None
    notice: str


class DisputePage(msgspec.Struct, frozen=True):
    """Disputes, oldest first; `next` is the `after` of the following page, null on the last."""

    data: tuple[Dispute, ...]
    next: str | None


# How much of its line a dispute took off; all of it where it was accepted before bills were computed anew.
_ACCEPTED = """
    (SELECT CASE WHEN decision = 'accepted' THEN
        coalesce(sum(part.amount), CASE WHEN ruling.credit_note_id IS NULL THEN 0 ELSE dispute.amount END) END
     FROM billing.dispute_credit AS part WHERE part.dispute_id = dispute.id AND part.kind = 'line')
"""
_SELECT = f"""
    SELECT dispute.id, dispute.account_id, dispute.environment, dispute.invoice_id, invoice.period, invoice.state, line, service,
           operation, call_id, dispute.currency, dispute.amount, dispute.reason, opened_at, decision, ruled_at,
           ruling.reason AS ruling, note.number AS credit_note, hold.amount AS held, {_ACCEPTED} AS accepted,
           CASE WHEN decision = 'accepted' THEN coalesce(note.total, 0) END AS credited
    FROM billing.dispute JOIN billing.invoice ON invoice.id = dispute.invoice_id
    LEFT JOIN billing.dispute_hold AS hold ON hold.dispute_id = dispute.id
    LEFT JOIN billing.dispute_ruling AS ruling ON ruling.dispute_id = dispute.id
    LEFT JOIN billing.credit_note AS note ON note.id = ruling.credit_note_id
"""  # noqa: S608 - a constant


async def dispute(connection: Connection, dispute_id: str) -> Dispute:
    """A dispute in scope; `Problem` not-found otherwise."""
    return _dispute(await dispute_row(connection, dispute_id))


async def dispute_row(connection: Connection, dispute_id: str) -> asyncpg.Record:
    """A dispute in scope as it is stored, with its document's `state`; `Problem` not-found otherwise."""
    row = await connection.fetchrow(f"{_SELECT} WHERE dispute.id = $1", dispute_id)
    if row is None:
        raise Problem(
            "not-found", f"There is no dispute {dispute_id}; `ordergate dispute list` shows those there are."
        )
    return row


async def undecided(connection: Connection, invoice_id: str) -> list[asyncpg.Record]:
    """The disputes over a document that nobody has decided, oldest first, as `dispute_row` has them."""
    rows: list[asyncpg.Record] = await connection.fetch(
        f"{_SELECT} WHERE dispute.invoice_id = $1 AND decision IS NULL ORDER BY opened_at, dispute.id",
        invoice_id,
    )
    return rows


async def disputes_of_line(connection: Connection, invoice_id: str, line: str) -> list[asyncpg.Record]:
    """The disputes of a document's line that were not rejected, as `dispute_row` has them."""
    rows: list[asyncpg.Record] = await connection.fetch(
        f"{_SELECT} WHERE dispute.invoice_id = $1 AND line = $2 AND decision IS DISTINCT FROM 'rejected'",
        invoice_id,
        line,
    )
    return rows


async def last_rejected(connection: Connection, invoice_id: str, line: str) -> asyncpg.Record | None:
    """The last dispute of a line itself, not of a call on it, that was rejected, as `dispute_row` has it."""
    row: asyncpg.Record | None = await connection.fetchrow(
        f"{_SELECT} WHERE dispute.invoice_id = $1 AND line = $2 AND call_id IS NULL "
        "AND decision = 'rejected' ORDER BY ruled_at DESC, dispute.id LIMIT 1",
        invoice_id,
        line,
    )
    return row


async def disputes(
    connection: Connection,
    month: Month | None,
    limit: int,
    after: str | None = None,
    *,
    open_only: bool = False,
) -> DisputePage:
    """The disputes of a month's document, or of all documents in scope, behind the one named by `after`."""
    rows = await connection.fetch(
        f"""
        {_SELECT}
        WHERE ($1::text IS NULL OR (invoice.account_id, invoice.environment, invoice.period) = ($1, $2, $3))
          AND (NOT $6 OR decision IS NULL)
          AND ($4::text IS NULL OR (opened_at, dispute.id) > (SELECT opened_at, id FROM billing.dispute WHERE id = $4))
        ORDER BY opened_at, dispute.id LIMIT $5
        """,  # noqa: S608 - a constant
        None if month is None else month.account_id,
        None if month is None else month.environment,
        None if month is None else month.period.first_day,
        after,
        limit + 1,
        open_only,
    )
    found = tuple(_dispute(row) for row in rows[:limit])
    return DisputePage(found, found[-1].id if len(rows) > limit else None)


def _dispute(row: asyncpg.Record) -> Dispute:
    comes_off = row["held"] if row["decision"] is None else row["credited"]
    why = _NO_LINE if row["accepted"] == 0 else _NOTHING_OFF
    return Dispute(
        row["id"],
        row["account_id"],
        row["environment"],
        row["invoice_id"],
        str(period_of(row["period"])),
        row["line"],
        row["operation"],
        None if row["call_id"] is None else call_id_text(row["call_id"]),
        _money(row, "amount"),
        row["reason"],
        row["decision"] or "open",
        rfc3339(row["opened_at"]),
        None if row["ruled_at"] is None else rfc3339(row["ruled_at"]),
        row["ruling"],
        row["credit_note"],
        None if row["held"] is None else _money(row, "held"),
        None if row["accepted"] is None else _money(row, "accepted"),
        None if row["credited"] is None else _money(row, "credited"),
        why if comes_off == 0 else "",
    )


def _money(row: asyncpg.Record, column: str) -> Money:
    return money(round_money(row[column], row["currency"]), row["currency"])

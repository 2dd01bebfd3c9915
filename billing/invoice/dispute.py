"""A payer contests a line of a document: its amount is held until the provider accepts or rejects.

Held money stands in `disputed` instead of `receivable`. Accepted, it is released and credited by a credit note over the
document; rejected, it is released and owed again. Either happens once. A line of a draft can be contested while the
account's calendar says so; nothing is owed yet, so it is held from its issue on.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import asyncpg
import msgspec

from billing.invoice.credit_note import CreditLine, issue_credit_note
from billing.invoice.document import Document, DocumentLine
from billing.invoice.month import Month, lock_books, period_of
from billing.ledger.accounts import DISPUTED, RECEIVABLE
from billing.ledger.post import Entry, Kind, post
from billing.transaction import Connection
from catalog.outbox import announce
from catalog.registry import audit
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment, call_id_text, new_id
from catalog.vocabulary.money import Money, money, plain, round_money
from catalog.vocabulary.problem import FieldError, Problem

DisputeState = Literal["open", "accepted", "rejected"]


class Dispute(msgspec.Struct, frozen=True):
    """What a payer contests, and what became of it. `line` says which line; `ruling` is the provider's reason,
    `credit_note` the number of what was credited."""

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


class Contested(msgspec.Struct, frozen=True):
    """What is contested: so much of a line, for one call of it or for the line itself, and why."""

    line: DocumentLine
    amount: Decimal
    reason: str
    call_id: UUID | None = None


def line_of(document: Document, position: int) -> DocumentLine:
    """The line of a document at a position; `Problem` invalid-input where there is none."""
    for line in document.lines:
        if line.position == position:
            return line
    raise _invalid("/line", "reference", f"the document has lines 1 to {len(document.lines)}")


def line_of_call(document: Document, operation: str, usage_period: str) -> DocumentLine:
    """The line on which a call was charged; `Problem` invalid-input where the document has none."""
    for line in document.lines:
        if (line.operation, line.usage_period) == (operation, usage_period) and Decimal(line.amount) > 0:
            return line
    raise _invalid("/call", "reference", "the call is not charged on this document")


def line_name(line: DocumentLine) -> str:
    """What a line is of, wherever it stands on its document: `usage customs/certificate 2026-10 pv_…`."""
    words = (line.kind, line.operation, line.usage_period, line.price_version, line.name)
    return " ".join(word for word in words if word)


async def open_dispute(
    transaction: Connection, document: Document, contested: Contested, actor: str, now: datetime
) -> Dispute:
    """Contest a line of the account's document; the amount is held at once where the document is issued.

    `Problem` invalid-input for an amount that the line does not have left, conflict for a draft outside its calendar's
    days of dispute and for a call or a line that is contested already. The transaction's scope has the account.
    """
    _assert_disputable(document, now)
    await lock_books(transaction, document.account_id, document.environment)
    name = line_name(contested.line)
    await _check_amount(transaction, document, contested, name)
    dispute_id = new_id("dsp")
    try:
        async with transaction.transaction():
            await transaction.execute(
                "INSERT INTO billing.dispute (id, account_id, environment, invoice_id, line, service, operation, call_id, "
                "currency, amount, reason, opened_at, opened_by) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                dispute_id,
                document.account_id,
                document.environment,
                document.id,
                name,
                contested.line.service,
                contested.line.operation,
                contested.call_id,
                document.currency,
                contested.amount,
                contested.reason,
                now,
                actor,
            )
    except asyncpg.UniqueViolationError:
        raise Problem("conflict", "This call was disputed before; a call is disputed once.") from None
    detail = {"document_id": document.id, "line": name, "amount": plain(contested.amount)}
    await audit.append(transaction, actor, "dispute.open", f"dispute/{dispute_id}", detail, now)
    return await dispute(transaction, dispute_id)


async def hold_from_issue(connection: Connection, invoice_id: str, now: datetime) -> None:
    """Hold what was contested of a document before it was issued; called in the transaction that issues it."""
    rows = await connection.fetch(f"{_SELECT} WHERE dispute.invoice_id = $1 AND decision IS NULL", invoice_id)
    for row in rows:
        await _move(connection, "dispute_held", row, 1, now)


async def accept_dispute(
    connection: Connection, dispute_id: str, reason: str, actor: str, now: datetime
) -> Dispute:
    """The provider agrees: what was held is released and credited with a credit note, in one transaction.

    `Problem` not-found; conflict where it was decided before, or the document is still a draft. All accounts are in
    scope, as billing's role; the caller commits.
    """
    row = await _open(connection, dispute_id)
    if row["state"] != "issued":
        raise Problem(
            "conflict", "Its document is a draft: accept the dispute once it is issued, or reject it now."
        )
    await _move(connection, "dispute_released", row, -1, now)
    description = f"Dispute {dispute_id}: {row['operation']}"
    lines = [CreditLine(row["service"], description, row["amount"])]
    note = await issue_credit_note(
        connection, row["invoice_id"], "correction", f"dispute:{dispute_id}", lines, now
    )
    return await _rule(connection, row, "accepted", reason, note.id, actor, now)


async def reject_dispute(
    connection: Connection, dispute_id: str, reason: str, actor: str, now: datetime
) -> Dispute:
    """The provider does not agree: what was held is owed again. `Problem` as of `accept_dispute`."""
    row = await _open(connection, dispute_id)
    if row["state"] == "issued":
        await _move(connection, "dispute_released", row, -1, now)
    return await _rule(connection, row, "rejected", reason, None, actor, now)


async def dispute(connection: Connection, dispute_id: str) -> Dispute:
    """A dispute in scope; `Problem` not-found otherwise."""
    return _dispute(await _row(connection, dispute_id))


class DisputePage(msgspec.Struct, frozen=True):
    """Disputes, oldest first; `next` is the `after` of the following page, null on the last."""

    data: tuple[Dispute, ...]
    next: str | None


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


_SELECT = """
    SELECT dispute.id, dispute.account_id, dispute.environment, dispute.invoice_id, invoice.period, invoice.state, line, service,
           operation, call_id, dispute.currency, amount, dispute.reason, opened_at, decision, ruled_at,
           ruling.reason AS ruling, note.number AS credit_note
    FROM billing.dispute JOIN billing.invoice ON invoice.id = dispute.invoice_id
    LEFT JOIN billing.dispute_ruling AS ruling ON ruling.dispute_id = dispute.id
    LEFT JOIN billing.credit_note AS note ON note.id = ruling.credit_note_id
"""


async def _row(connection: Connection, dispute_id: str) -> asyncpg.Record:
    row = await connection.fetchrow(f"{_SELECT} WHERE dispute.id = $1", dispute_id)
    if row is None:
        raise Problem(
            "not-found", f"There is no dispute {dispute_id}; `ordergate dispute list` shows those there are."
        )
    return row


async def _open(connection: Connection, dispute_id: str) -> asyncpg.Record:
    """The dispute, undecided, with its account's books locked until the transaction ends."""
    row = await _row(connection, dispute_id)
    await lock_books(connection, row["account_id"], row["environment"])
    row = await _row(connection, dispute_id)
    if row["decision"] is not None:
        raise Problem("conflict", f"{dispute_id} was {row['decision']} before; a dispute is decided once.")
    return row


async def _move(connection: Connection, kind: Kind, row: asyncpg.Record, sign: int, now: datetime) -> None:
    amount = sign * row["amount"]
    await post(
        connection,
        kind,
        f"dispute:{row['id']}",
        row["environment"],
        now,
        [
            Entry(row["account_id"], DISPUTED, row["currency"], amount),
            Entry(row["account_id"], RECEIVABLE, row["currency"], -amount),
        ],
    )


async def _rule(
    connection: Connection,
    row: asyncpg.Record,
    decision: Literal["accepted", "rejected"],
    reason: str,
    credit_note_id: str | None,
    actor: str,
    now: datetime,
) -> Dispute:
    await connection.execute(
        "INSERT INTO billing.dispute_ruling (dispute_id, account_id, decision, reason, credit_note_id, ruled_at, ruled_by) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        row["id"],
        row["account_id"],
        decision,
        reason,
        credit_note_id,
        now,
        actor,
    )
    await audit.append(
        connection, actor, f"dispute.{decision}", f"dispute/{row['id']}", {"reason": reason}, now
    )
    told = {"dispute_id": row["id"], "document_id": row["invoice_id"], "state": decision, "reason": reason}
    await announce(connection, row["account_id"], row["environment"], f"dispute.{decision}", told, now)
    return await dispute(connection, row["id"])


def _assert_disputable(document: Document, now: datetime) -> None:
    calendar = document.calendar
    if document.state == "issued" or (
        calendar is not None and now >= datetime.fromisoformat(calendar.disputes_at)
    ):
        return
    day = "once it is issued" if calendar is None else f"from {calendar.disputes_at} on"
    raise Problem("conflict", f"The document is a draft, and its figures still move: dispute it {day}.")


async def _check_amount(transaction: Connection, document: Document, contested: Contested, name: str) -> None:
    if contested.line.kind != "usage":
        raise _invalid("/line", "kind", "lines of calls are disputed; other charges follow from the contract")
    if round_money(contested.amount, document.currency) != contested.amount or contested.amount <= 0:
        raise _invalid(
            "/amount", "amount", f"a positive amount in whole minor units of {document.currency} is needed"
        )
    held: Sequence[asyncpg.Record] = await transaction.fetch(
        "SELECT amount, call_id, decision FROM billing.dispute LEFT JOIN billing.dispute_ruling ON dispute_id = id "
        "WHERE invoice_id = $1 AND line = $2 AND decision IS DISTINCT FROM 'rejected'",
        document.id,
        name,
    )
    if contested.call_id is None and any(row["call_id"] is None and row["decision"] is None for row in held):
        raise Problem("conflict", "This line is disputed already; wait until that is decided.")
    left = Decimal(contested.line.amount) - sum(row["amount"] for row in held)
    if contested.amount > left:
        raise _invalid(
            "/amount",
            "range",
            f"{plain(max(left, Decimal(0)))} {document.currency} of this line can be disputed",
        )


def _invalid(pointer: str, rule: str, detail: str) -> Problem:
    return Problem("invalid-input", f"{pointer}: {detail}.", errors=(FieldError(pointer, rule, detail),))


def _dispute(row: asyncpg.Record) -> Dispute:
    return Dispute(
        row["id"],
        row["account_id"],
        row["environment"],
        row["invoice_id"],
        str(period_of(row["period"])),
        row["line"],
        row["operation"],
        None if row["call_id"] is None else call_id_text(row["call_id"]),
        money(round_money(row["amount"], row["currency"]), row["currency"]),
        row["reason"],
        row["decision"] or "open",
        rfc3339(row["opened_at"]),
        None if row["ruled_at"] is None else rfc3339(row["ruled_at"]),
        row["ruling"],
        row["credit_note"],
    )

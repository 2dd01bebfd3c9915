"""A payer contests a line of a document: what would come off the bill is held until the provider accepts or rejects.

Held money stands in `disputed` instead of `receivable`. Accepted, it is released, and what the whole bill is less by
without that part of the line (its discount, minimum and tax with it) is credited by a credit note over the document;
rejected, it is released and owed again. Either happens once. A rejection is final: its line is contested again only by
the provider's own hand, and otherwise call by call, each once. A line of a draft can be contested while the account's
calendar says so; nothing is owed yet, so it is held from its issue on.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import asyncpg
import msgspec

from billing.invoice.contested import Contested, check_reason, invalid, line_name
from billing.invoice.credit_note import CreditLine, CreditNote, issue_credit_note
from billing.invoice.dispute_hold import hold, left_to_credit, less_used, line_left, would_come_off
from billing.invoice.disputed import Dispute, dispute, dispute_row, disputes_of_line, last_rejected
from billing.invoice.document import Document
from billing.invoice.month import Payer, lock_books, payer_of
from billing.invoice.taken_off import PartKind, Parts, sum_of, taken_off
from billing.ledger.accounts import DISPUTED, RECEIVABLE
from billing.ledger.post import Entry, post
from billing.transaction import Connection
from catalog.outbox import announce
from catalog.registry import audit
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.money import plain, round_money
from catalog.vocabulary.problem import Problem

# As the lines of a credit note stand.
_ORDER: Sequence[PartKind] = ("line", "fee", "discount", "top_up", "true_up", "tax")


async def open_dispute(
    transaction: Connection,
    document: Document,
    contested: Contested,
    actor: str,
    now: datetime,
    *,
    again: bool = False,
) -> Dispute:
    """Contest a line of the account's document; what would come off it is held at once where the document is issued.

    `now` is the time of day; the books have the account's own. `Problem` invalid-input for an amount that the line, or the
    document, does not have left, conflict for a draft outside its calendar's days of dispute, for a call or a line that is
    contested already, and for a line whose dispute was rejected, unless the provider takes it up `again`. The transaction's
    scope has the account.
    """
    payer = await payer_of(transaction, document.account_id)
    books_now = payer.now_in(document.environment, now)
    _assert_disputable(document, books_now)
    await lock_books(transaction, document.account_id, document.environment)
    name = line_name(contested.line)
    await _check_amount(transaction, document, contested, name)
    if contested.call_id is None and not again:
        await _assert_not_rejected(transaction, document, name)
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
                books_now,
                actor,
            )
    except asyncpg.UniqueViolationError:
        raise Problem("conflict", "This call was disputed before; a call is disputed once.") from None
    if (await dispute_row(transaction, dispute_id))["state"] == "issued":
        held = await _to_hold(transaction, payer, document, contested, name)
        await hold(transaction, dispute_id, payer.id, held, books_now)
    detail = {"document_id": document.id, "line": name, "amount": plain(contested.amount)}
    await audit.append(transaction, actor, "dispute.open", f"dispute/{dispute_id}", detail, now)
    return await dispute(transaction, dispute_id)


async def accept_dispute(
    connection: Connection,
    dispute_id: str,
    reason: str,
    actor: str,
    now: datetime,
    amount: Decimal | None = None,
) -> Dispute:
    """The provider agrees, with all of it or with so much: what was held is released, and what comes off the bill with that
    part of the line is credited with a credit note, in one transaction. Where nothing comes off there is no note.

    `now` is the time of day; the books have the account's own. `Problem` not-found; invalid-input for an amount that was
    not disputed and for no reason; conflict where it was decided before, the document is still a draft, or has less left to credit. All
    accounts are in scope, as billing's role; the caller commits.
    """
    check_reason(reason)
    row = await _open(connection, dispute_id)
    if row["state"] != "issued":
        raise Problem(
            "conflict", "Its document is a draft: accept the dispute once it is issued, or reject it now."
        )
    payer = await payer_of(connection, row["account_id"])
    books_now = payer.now_in(row["environment"], now)
    await _release(connection, row, books_now)
    accepted = row["amount"] if amount is None else _accepted_part(row, amount)
    accepted = min(accepted, await line_left(connection, row["invoice_id"], row["line"]))
    note = None
    if accepted > 0:
        less = less_used(row["line"], row["service"], accepted)
        parts = await taken_off(connection, payer, row["environment"], [less])
        _assert_lowers(sum_of(parts))
        await _take_off(connection, row, parts, books_now)
        if sum_of(parts):
            note = await issue_credit_note(
                connection,
                row["invoice_id"],
                "correction",
                f"dispute:{dispute_id}",
                credit_lines(parts, f"Dispute {dispute_id}: {row['operation']}"),
                books_now,
            )
    return await _rule(connection, row, _Ruling("accepted", reason, note, actor, books_now, now))


async def reject_dispute(
    connection: Connection, dispute_id: str, reason: str, actor: str, now: datetime
) -> Dispute:
    """The provider does not agree: what was held is owed again. `now` and `Problem` as of `accept_dispute`."""
    check_reason(reason)
    row = await _open(connection, dispute_id)
    payer = await payer_of(connection, row["account_id"])
    books_now = payer.now_in(row["environment"], now)
    await _release(connection, row, books_now)
    return await _rule(connection, row, _Ruling("rejected", reason, None, actor, books_now, now))


def credit_lines(parts: Parts, description: str) -> list[CreditLine]:
    """A credit note's lines for what comes off, month by month: the line itself, then the charges that move with it."""
    lines: list[CreditLine] = []
    for key, part in sorted(parts.items(), key=lambda item: (item[0].period, _ORDER.index(item[0].kind))):
        match key.kind:
            case "line":
                lines.append(CreditLine(key.service, description, part.amount))
            case "tax":
                lines.append(CreditLine("tax", key.name, part.amount, "tax", part.base))
            case kind:
                what = f"{kind.replace('_', '-')} {key.period}"
                lines.append(CreditLine(key.service or "account", what, part.amount, kind, part.base))
    return lines


async def _open(connection: Connection, dispute_id: str) -> asyncpg.Record:
    """The dispute, undecided, with its account's books locked until the transaction ends."""
    row = await dispute_row(connection, dispute_id)
    await lock_books(connection, row["account_id"], row["environment"])
    row = await dispute_row(connection, dispute_id)
    if row["decision"] is not None:
        raise Problem("conflict", f"{dispute_id} was {row['decision']} before; a dispute is decided once.")
    return row


def _accepted_part(row: asyncpg.Record, amount: Decimal) -> Decimal:
    _assert_amount(amount, row["currency"])
    if amount > row["amount"]:
        raise invalid("/amount", "range", f"{plain(row['amount'])} {row['currency']} are disputed")
    return amount


async def _to_hold(
    transaction: Connection, payer: Payer, document: Document, contested: Contested, name: str
) -> Decimal:
    left = await left_to_credit(transaction, document.id)
    less = less_used(name, contested.line.service, contested.amount)
    parts = await would_come_off(transaction, payer, document.environment, document.id, less)
    held = sum_of(parts)
    _assert_lowers(held)
    if held > left:
        raise invalid(
            "/amount",
            "range",
            f"{plain(held)} {document.currency} would come off the document, and {plain(max(left, Decimal(0)))} are left "
            "of it to credit",
        )
    return held


def _assert_lowers(comes_off: Decimal) -> None:
    # A fee on the whole bill is divided between groups of other tax rates where the line is less.
    if comes_off < 0:
        raise Problem(
            "conflict", f"Without this the bill would be higher by {plain(-comes_off)}, for its taxes move."
        )


async def _release(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
    """Nothing is held of a draft, nor where nothing would have come off."""
    if row["held"]:
        await post(
            connection,
            "dispute_released",
            f"dispute:{row['id']}",
            row["environment"],
            now,
            [
                Entry(row["account_id"], DISPUTED, row["currency"], -row["held"]),
                Entry(row["account_id"], RECEIVABLE, row["currency"], row["held"]),
            ],
        )


async def _take_off(connection: Connection, row: asyncpg.Record, parts: Parts, now: datetime) -> None:
    await connection.executemany(
        "INSERT INTO billing.dispute_credit (dispute_id, account_id, environment, period, kind, service, name, amount, "
        "credited_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            (
                row["id"],
                row["account_id"],
                row["environment"],
                key.period.first_day,
                key.kind,
                key.service,
                key.name,
                part.amount,
                now,
            )
            for key, part in parts.items()
        ],
    )


class _Ruling(msgspec.Struct, frozen=True):
    """A decision: `books_now` is the account's time, `now` the time of day."""

    decision: Literal["accepted", "rejected"]
    reason: str
    note: CreditNote | None
    actor: str
    books_now: datetime
    now: datetime


async def _rule(connection: Connection, row: asyncpg.Record, ruling: _Ruling) -> Dispute:
    decision, reason, now = ruling.decision, ruling.reason, ruling.now
    await connection.execute(
        "INSERT INTO billing.dispute_ruling (dispute_id, account_id, decision, reason, credit_note_id, ruled_at, ruled_by) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        row["id"],
        row["account_id"],
        decision,
        reason,
        None if ruling.note is None else ruling.note.id,
        ruling.books_now,
        ruling.actor,
    )
    detail = {"reason": reason}
    await audit.append(connection, ruling.actor, f"dispute.{decision}", f"dispute/{row['id']}", detail, now)
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
        raise invalid("/line", "kind", "lines of calls are disputed; other charges follow from the contract")
    _assert_amount(contested.amount, document.currency)
    waiting = [
        row for row in await disputes_of_line(transaction, document.id, name) if row["decision"] is None
    ]
    if contested.call_id is None and any(row["call_id"] is None for row in waiting):
        raise Problem("conflict", "This line is disputed already; wait until that is decided.")
    left = await line_left(transaction, document.id, name) - sum(row["amount"] for row in waiting)
    if contested.amount > left:
        raise invalid(
            "/amount",
            "range",
            f"{plain(max(left, Decimal(0)))} {document.currency} of this line can be disputed",
        )


async def _assert_not_rejected(transaction: Connection, document: Document, name: str) -> None:
    # Otherwise a payer could hold money, and stop reminders, for as long as it likes.
    if (rejected := await last_rejected(transaction, document.id, name)) is not None:
        raise Problem(
            "conflict",
            f"This line was disputed before, and {rejected['id']} was rejected ({rejected['ruling']}). That is final: single "
            "calls of the line can be disputed, and the provider can take it up again where there is new evidence.",
        )


def _assert_amount(amount: Decimal, currency: str) -> None:
    if round_money(amount, currency) != amount or amount <= 0:
        raise invalid("/amount", "amount", f"a positive amount in whole minor units of {currency} is needed")

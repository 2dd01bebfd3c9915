"""Credit notes: what corrects an issued document without changing it, in a series of their own."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

import asyncpg
import msgspec

from billing.invoice.credited_by import CreditReason
from billing.invoice.hand_over import hand_over_credit_note
from billing.invoice.issue import recipient
from billing.invoice.lowered import restore_lowered
from billing.invoice.month import Payer, payer_of
from billing.invoice.number import series_of, take_number
from billing.invoice.transfer import Deliveries, Earned, transfer
from billing.ledger.accounts import (
    DISPUTED,
    HOUSE,
    LOSS,
    NET_CREDIT,
    RECEIVABLE,
    TAX,
    contracted,
    credits_of,
    earnings,
)
from billing.ledger.post import Entry, post
from billing.transaction import Connection
from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.ids import Environment, new_id
from catalog.vocabulary.money import plain, round_money
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem

CreditedKind: TypeAlias = Literal["credited", "fee", "discount", "top_up", "true_up", "tax"]


class CreditLine(msgspec.Struct, frozen=True):
    """What is credited for a service: a positive amount in whole minor units of the document's currency.

    Another `kind` is what a charge comes to less by what is credited, or, negative, more: a part of a discount or a minimum
    that goes with it, a tax. `base` is how much less that charge is taken of. Service `account` is the whole bill, `tax` its
    taxes.
    """

    service: str
    description: str
    amount: Decimal
    kind: CreditedKind = "credited"
    base: Decimal | None = None


class CreditNote(msgspec.Struct, frozen=True):
    """An issued credit note; `total` is positive and owed to the payer."""

    id: str
    number: str
    invoice_id: str
    account_id: str
    environment: Environment
    reason: CreditReason
    currency: str
    total: Decimal
    issued_at: datetime


_SELECT = (
    "SELECT id, number, invoice_id, account_id, environment, reason, currency, total, issued_at "
    "FROM billing.credit_note WHERE "
)


# Charges on one service count to it, those on the whole bill and taxes stand for themselves.
CHARGED_SERVICE = "CASE WHEN kind = 'tax' THEN 'tax' ELSE coalesce(nullif(service, ''), 'account') END"
_BY_SERVICE = f"""
    SELECT service, sum(amount) AS amount, min(currency) AS currency
    FROM (SELECT split_part(operation, '/', 1) AS service, amount, currency FROM billing.invoice_line
          WHERE invoice_id = $1 UNION ALL
          SELECT {CHARGED_SERVICE}, amount, currency FROM billing.charge_line WHERE invoice_id = $1) AS line
    GROUP BY 1 HAVING sum(amount) > 0 ORDER BY 1
"""  # noqa: S608 - a constant


async def issue_credit_note(
    connection: Connection,
    invoice_id: str,
    reason: CreditReason,
    source: str,
    lines: Sequence[CreditLine],
    now: datetime,
) -> CreditNote:
    """Issue a credit note over an issued document; the caller commits.

    `source` names what caused it, such as `dispute:du_…`: the same source answers the credit note that it caused
    before. Revenue is reduced and the receivable with it; after a lost dispute the loss is booked against what was
    disputed, and a net credit's lines have reduced revenue on their own document already. What prepaid credit paid too
    much by then comes back. `Problem` not-found without such a document, conflict for a draft or for more than is left
    to credit.
    """
    # The lock lets two credit notes of one document see each other.
    invoice = await connection.fetchrow(
        "SELECT account_id, environment, currency, state, total FROM billing.invoice WHERE id = $1 FOR UPDATE",
        invoice_id,
    )
    if invoice is None:
        raise Problem("not-found", f"There is no document {invoice_id}.")
    if (earlier := await connection.fetchrow(_SELECT + "source = $1", source)) is not None:
        return CreditNote(*earlier)
    if invoice["state"] != "issued":
        raise Problem(
            "conflict", f"{invoice_id} is a draft: only what is issued is corrected by a credit note."
        )
    currency, environment = invoice["currency"], invoice["environment"]
    _assert_lines(lines, currency)
    total = sum((line.amount for line in lines), Decimal(0))
    left = invoice["total"] - await credited(connection, invoice_id)
    if total > left:
        raise Problem(
            "conflict",
            f"{plain(total)} {currency} are more than the {plain(left)} left to credit on {invoice_id}.",
        )
    payer = await payer_of(connection, invoice["account_id"])
    year = Period.of(now, payer.timezone).year
    note = CreditNote(
        new_id("cn"),
        await take_number(connection, series_of("credit_note", environment, year, demo=payer.demo)),
        invoice_id,
        payer.id,
        environment,
        reason,
        currency,
        total,
        now,
    )
    await _store(connection, note, source, msgspec.json.encode(recipient(payer)).decode(), lines)
    await post(connection, "credit_note", f"credit_note:{note.id}", environment, now, _entries(note, lines))
    await restore_lowered(connection, payer.id, environment, now)
    if reason not in ("dispute_lost", "net_credit"):
        await _transfer(connection, payer, note, lines)
    # What is void or was taken back already needs nothing more from the provider but its record.
    if reason != "void":
        await hand_over_credit_note(connection, payer.id, invoice_id, note.id, now)
    return note


async def credited(connection: Connection, invoice_id: str) -> Decimal:
    """The sum of a document's credit notes."""
    amount: Decimal = await connection.fetchval(
        "SELECT coalesce(sum(total), 0) FROM billing.credit_note WHERE invoice_id = $1", invoice_id
    )
    return amount


async def credit_note(connection: Connection, credit_note_id: str) -> CreditNote:
    """An issued credit note; `Problem` not-found if the transaction's scope has none of this id."""
    row = await connection.fetchrow(_SELECT + "id = $1", credit_note_id)
    if row is None:
        raise Problem("not-found", f"There is no credit note {credit_note_id}.")
    return CreditNote(*row)


async def note_lines(connection: Connection, credit_note_id: str) -> tuple[CreditLine, ...]:
    """A credit note's lines in their order."""
    rows = await connection.fetch(
        "SELECT service, description, amount, kind, base FROM billing.credit_note_line WHERE credit_note_id = $1 ORDER BY position",
        credit_note_id,
    )
    return tuple(CreditLine(*row) for row in rows)


async def spread(
    connection: Connection, invoice_id: str, amount: Decimal, description: str
) -> tuple[CreditLine, ...]:
    """An amount over a document's services in proportion to what each came to, by largest remainder: it sums exactly."""
    rows: list[asyncpg.Record] = await connection.fetch(_BY_SERVICE, invoice_id)
    assert rows and amount > 0, "something is credited of something"
    parts = apportion(amount, [row["amount"] for row in rows], rows[0]["currency"])
    return tuple(
        CreditLine(row["service"], description, part) for row, part in zip(rows, parts, strict=True) if part
    )


def _assert_lines(lines: Sequence[CreditLine], currency: str) -> None:
    assert lines, "a credit note has lines"
    for line in lines:
        assert line.amount > 0 or line.kind != "credited", "what is credited is positive"
        assert round_money(line.amount, currency) == line.amount, "only minor units are credited"


def _entries(note: CreditNote, lines: Sequence[CreditLine]) -> list[Entry]:
    if note.reason == "dispute_lost":
        return [
            Entry(HOUSE, LOSS, note.currency, note.total),
            Entry(note.account_id, DISPUTED, note.currency, -note.total),
        ]
    if note.reason == "net_credit":
        return [
            Entry(HOUSE, NET_CREDIT, note.currency, note.total),
            Entry(note.account_id, RECEIVABLE, note.currency, -note.total),
        ]
    return [
        *(Entry(HOUSE, _reduced(note, line), note.currency, line.amount) for line in lines),
        Entry(note.account_id, RECEIVABLE, note.currency, -note.total),
    ]


def _reduced(note: CreditNote, line: CreditLine) -> str:
    """The house's account that a line was booked on."""
    if line.service == TAX:
        return TAX
    if line.kind != "credited":
        return contracted(line.kind, line.service)
    return credits_of(line.service) if note.reason == "sla_credit" else earnings(line.service)


async def _transfer(
    connection: Connection, payer: Payer, note: CreditNote, lines: Sequence[CreditLine]
) -> None:
    """The units that earned what is credited give their shares back."""
    by_service: dict[str, Decimal] = {}
    for line in lines:
        by_service[line.service] = by_service.get(line.service, Decimal(0)) + line.amount
    zero = Decimal(0)
    earned = [
        Earned(service, zero, amount) if note.reason == "sla_credit" else Earned(service, -amount)
        for service, amount in by_service.items()
        if amount
    ]
    period = Period.of(note.issued_at, payer.timezone)
    await transfer(connection, payer, note.environment, note.id, period, earned, Deliveries(), note.issued_at)


async def _store(
    connection: Connection, note: CreditNote, source: str, addressed_to: str, lines: Sequence[CreditLine]
) -> None:
    await connection.execute(
        "INSERT INTO billing.credit_note (id, number, invoice_id, account_id, environment, reason, currency, total, "
        "issued_at, source, recipient, seller) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
        "(SELECT profile FROM catalog.seller ORDER BY id DESC LIMIT 1))",
        *msgspec.structs.astuple(note),
        source,
        addressed_to,
    )
    await connection.executemany(
        "INSERT INTO billing.credit_note_line (credit_note_id, account_id, position, service, description, amount, kind, base) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (note.id, note.account_id, position, *msgspec.structs.astuple(line))
            for position, line in enumerate(lines, 1)
        ],
    )

"""Charges that no call carries: fees, discounts, top-ups, credits, taxes, net credits. Each step is what is due now minus what was booked."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from billing.invoice.draft import draft_for
from billing.invoice.month import Month, Payer, period_of
from billing.ledger.accounts import ACCRUED, HOUSE, TAX, contracted, credits_of
from billing.ledger.post import Entry, Transaction, post_all
from billing.transaction import Connection
from catalog.vocabulary.period import Period

ChargeKind = Literal["fee", "discount", "top_up", "true_up", "credit", "tax", "net_credit"]
# As they stand on a document, behind the lines of calls.
_ORDER: tuple[ChargeKind, ...] = ("fee", "discount", "top_up", "true_up", "credit", "tax", "net_credit")


class ChargeKey(msgspec.Struct, frozen=True, order=True):
    """What is booked together within a month. `service` is empty for the whole bill; `name` is a credit's objective."""

    kind: ChargeKind
    service: str
    name: str


class Due(msgspec.Struct, frozen=True):
    """What a charge of a month comes to in all; what it takes off the bill is negative. `detail` says how it came about,
    in JSON values; `timezone` is the calendar of a live credit's judgement."""

    key: ChargeKey
    base: Decimal
    amount: Decimal
    detail: Mapping[str, Any]
    timezone: str | None = None


class Booked(msgspec.Struct, frozen=True):
    """A charge as far as it is booked."""

    step: int
    amount: Decimal


class ChargeLine(msgspec.Struct, frozen=True):
    """A charge on a document. `corrects`: of an earlier month whose document was issued. `amount_after` is what it has
    come to in all; `id` is 0 for what is not booked yet."""

    id: int
    key: ChargeKey
    usage_period: Period
    corrects: bool
    base: Decimal
    amount: Decimal
    amount_after: Decimal
    detail: Mapping[str, Any]


NEVER = Booked(0, Decimal(0))


async def booked_charges(
    connection: Connection, month: Month, kinds: Sequence[ChargeKind]
) -> Mapping[ChargeKey, Booked]:
    """What a month's charges of some kinds have come to, on whichever documents they stand."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (kind, service, name) kind, service, name, step, amount_after FROM billing.charge_line "
        "WHERE account_id = $1 AND environment = $2 AND period = $3 AND kind = ANY($4) "
        "ORDER BY kind, service, name, step DESC",
        month.account_id,
        month.environment,
        month.period.first_day,
        list(kinds),
    )
    return {
        ChargeKey(row["kind"], row["service"], row["name"]): Booked(row["step"], row["amount_after"])
        for row in rows
    }


def unbooked(due: Sequence[Due], booked: Mapping[ChargeKey, Booked]) -> list[tuple[Due, Booked]]:
    """The charges that moved, each with what was booked of it; what is not due any more is due at nothing."""
    keys = {one.key for one in due}
    gone = [Due(key, Decimal(0), Decimal(0), {}) for key in sorted(booked) if key not in keys]
    moved = ((one, booked.get(one.key, NEVER)) for one in (*due, *gone))
    return [(one, before) for one, before in moved if one.amount != before.amount]


async def book(
    connection: Connection,
    payer: Payer,
    month: Month,
    moved: Sequence[tuple[Due, Booked]],
    now: datetime,
) -> None:
    """Put the charges of a month that moved onto the open document that its usage belongs on, each with its posting.

    The caller holds the account's books and commits.
    """
    if not moved:
        return
    draft = await draft_for(connection, payer, month, now)
    rows = await connection.fetch(
        """
        INSERT INTO billing.charge_line (account_id, environment, period, currency, invoice_id, booked_at,
                                         kind, service, name, timezone, step, base, amount, amount_after, detail)
        SELECT $1, $2, $3, $4, $5, $6, charge.* FROM unnest($7::text[], $8::text[], $9::text[], $10::text[],
            $11::integer[], $12::numeric[], $13::numeric[], $14::numeric[], $15::jsonb[]) AS charge
        RETURNING id
        """,
        month.account_id,
        month.environment,
        month.period.first_day,
        payer.currency,
        draft.id,
        now,
        [one.key.kind for one, _ in moved],
        [one.key.service for one, _ in moved],
        [one.key.name for one, _ in moved],
        [one.timezone for one, _ in moved],
        [before.step + 1 for _, before in moved],
        [one.base for one, _ in moved],
        [one.amount - before.amount for one, before in moved],
        [one.amount for one, _ in moved],
        [msgspec.json.encode(one.detail).decode() for one, _ in moved],
    )
    transactions = [
        _posting(payer, one.key, row["id"], one.amount - before.amount)
        for row, (one, before) in zip(rows, moved, strict=True)
    ]
    await post_all(connection, month.environment, now, transactions)


def _posting(payer: Payer, key: ChargeKey, line_id: int, amount: Decimal) -> Transaction:
    entries = (
        Entry(payer.id, ACCRUED, payer.currency, amount),
        Entry(HOUSE, _house_account(key), payer.currency, -amount),
    )
    source = f"{key.kind}_line:{line_id}"
    match key.kind:
        case "credit":
            return Transaction("credit", source, entries)
        case "tax":
            return Transaction("tax", source, entries)
        case _:
            return Transaction("charge", source, entries)


def _house_account(key: ChargeKey) -> str:
    match key.kind:
        case "credit":
            return credits_of(key.service)
        case "tax":
            return TAX
        case _:
            return contracted(key.kind, key.service)


async def charge_lines(connection: Connection, invoice_id: str) -> tuple[ChargeLine, ...]:
    """The charges on a document: its own month's in the order of the contract, then corrections; they never change."""
    rows = await connection.fetch(
        """
        SELECT line.id, line.kind, line.service, line.name, line.period, invoice.period <> line.period AS corrects,
               line.base, line.amount, line.amount_after, line.detail
        FROM billing.charge_line AS line JOIN billing.invoice ON invoice.id = line.invoice_id
        WHERE line.invoice_id = $1
        ORDER BY corrects, line.period, array_position($2::text[], line.kind), line.service = '', line.service, line.id
        """,
        invoice_id,
        list(_ORDER),
    )
    return tuple(
        ChargeLine(
            row["id"],
            ChargeKey(row["kind"], row["service"], row["name"]),
            period_of(row["period"]),
            row["corrects"],
            row["base"],
            row["amount"],
            row["amount_after"],
            msgspec.json.decode(row["detail"]),
        )
        for row in rows
    )


async def charge_total(connection: Connection, invoice_id: str) -> Decimal:
    """What the charges on a document come to."""
    total: Decimal = await connection.fetchval(
        "SELECT coalesce(sum(amount), 0) FROM billing.charge_line WHERE invoice_id = $1", invoice_id
    )
    return total

"""An account's documents in a list, each with the credit notes that correct it."""

import msgspec

from billing.invoice.credited_by import CreditNoteEntry, credit_notes_of
from billing.invoice.document import document
from billing.invoice.month import Month, period_of
from billing.transaction import Connection
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import Money, money, round_money
from catalog.vocabulary.period import Period


class DocumentEntry(msgspec.Struct, frozen=True):
    """A document in a list. A draft's `total` is what it comes to now, with its month's terms."""

    id: str
    kind: str
    state: str
    number: str | None
    period: str
    total: Money
    issued_at: str | None
    credit_notes: tuple[CreditNoteEntry, ...] = ()


class DocumentPage(msgspec.Struct, frozen=True):
    """Documents, latest month first; `next` is the `after` of the following page, null on the last."""

    data: tuple[DocumentEntry, ...]
    next: str | None


async def documents(
    connection: Connection, account_id: str, environment: Environment, limit: int, after: str | None = None
) -> DocumentPage:
    """At most `limit` documents of an account, latest month first, beginning behind the month `after` (`2026-11`)."""
    before = None if after is None else Period.parse(after).first_day
    rows = await connection.fetch(
        "SELECT id, kind, state, number, period, total, currency, issued_at FROM billing.invoice "
        "WHERE account_id = $1 AND environment = $2 AND ($3::date IS NULL OR period < $3) "
        "ORDER BY period DESC LIMIT $4",
        account_id,
        environment,
        before,
        limit + 1,
    )
    notes = await credit_notes_of(connection, [row["id"] for row in rows[:limit]])
    entries = []
    for row in rows[:limit]:
        period, currency = period_of(row["period"]), row["currency"]
        if row["total"] is None:
            total = Money(
                (await document(connection, Month(account_id, environment, period))).total, currency
            )
        else:
            total = money(round_money(row["total"], currency), currency)
        issued_at = None if row["issued_at"] is None else rfc3339(row["issued_at"])
        entries.append(
            DocumentEntry(
                row["id"],
                row["kind"],
                row["state"],
                row["number"],
                str(period),
                total,
                issued_at,
                notes.get(row["id"], ()),
            )
        )
    return DocumentPage(tuple(entries), entries[-1].period if len(rows) > limit else None)

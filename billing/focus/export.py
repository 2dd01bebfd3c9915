"""A month's rows of one account or of all: documents of the month, and the credit notes that were issued in it."""

import asyncpg

from billing.focus.charges import Payer, Seller, credit_note_rows, document_rows
from billing.focus.row import FocusRow
from billing.invoice.credit_note import credit_note, note_lines
from billing.invoice.document import document
from billing.invoice.month import Month, period_of
from billing.transaction import Connection
from catalog.accounts.seller import read_seller
from catalog.registry.published import current
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period

# FOCUS asks for a name where nobody has said who issues.
_UNNAMED = "Ordergate"
_NOTES = """
    SELECT note.id, invoice.period FROM billing.credit_note AS note JOIN billing.invoice ON invoice.id = invoice_id
    WHERE note.account_id = $1 AND note.environment = $2
      AND date_trunc('month', note.issued_at AT TIME ZONE $3)::date = $4
    ORDER BY note.number
"""


async def focus_rows(
    connection: Connection,
    period: Period,
    environment: Environment,
    seller: str | None = None,
    account_id: str | None = None,
) -> tuple[FocusRow, ...]:
    """The rows of a month in the order of accounts, documents and lines. `seller` is the issuing legal entity's name; that of the
    seller's profile by default.

    Drafts are rows without an invoice id. For each invoice id the billed costs sum to that document's total exactly.
    """
    names = {service: one.passport.name.en for service, one in (await current(connection)).items()}
    if seller is None:
        profile = await read_seller(connection)
        seller = _UNNAMED if profile is None else profile.legal_name
    rows: list[FocusRow] = []
    for account in await _accounts(connection, account_id):
        payer = Payer(account["id"], account["name"], account["kind"], account["timezone"])
        rows.extend(await _account_rows(connection, payer, Seller(seller, names), period, environment))
    return tuple(rows)


async def _accounts(connection: Connection, account_id: str | None) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await connection.fetch(
        "SELECT id, name, kind, timezone FROM catalog.account WHERE $1::text IS NULL OR id = $1 ORDER BY name, id",
        account_id,
    )
    return rows


async def _account_rows(
    connection: Connection, payer: Payer, seller: Seller, period: Period, environment: Environment
) -> list[FocusRow]:
    rows: list[FocusRow] = []
    exists = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.invoice WHERE account_id = $1 AND environment = $2 AND period = $3)",
        payer.id,
        environment,
        period.first_day,
    )
    if exists:
        found = await document(connection, Month(payer.id, environment, period))
        rows.extend(document_rows(found, payer, seller))
    for note in await connection.fetch(_NOTES, payer.id, environment, payer.timezone, period.first_day):
        rows.extend(
            credit_note_rows(
                await credit_note(connection, note["id"]),
                await note_lines(connection, note["id"]),
                period_of(note["period"]),
                payer,
                seller,
            )
        )
    return rows

"""One document in every form in which it leaves the house: JSON, CSV, workbook, PDF, FOCUS and the ledger say one amount."""

import csv
import io
import json
import re
from decimal import Decimal

import asyncpg
from openpyxl import load_workbook
from pypdf import PdfReader

from billing.focus.export import focus_rows
from billing.invoice.month import Month
from billing.transaction import all_accounts
from billing.view import Document, credit_note_document, document, printed, to_csv, to_json
from catalog.vocabulary.period import Period
from tests.focus_books import NOVEMBER, OCTOBER, fill
from tests.settled_books import NOON
from tests.usage_books import add_account, add_price, call, store

# Three places, and none: a form that believed in cents would lose or invent some.
_CURRENCIES = {"KWD": "0.3335", "JPY": "33.5"}
_MONTH = re.compile(r"inv_live_(.+)_(\d{4}-\d\d)")


async def _books(admin: asyncpg.Connection, pool: asyncpg.Pool) -> None:
    """Every kind of charge (`focus_books.fill`), and payers in currencies of three places and of none."""
    for currency, price in _CURRENCIES.items():
        account = f"acct_{currency.lower()}"
        await add_account(admin, account, currency=currency)
        await add_price(admin, f"in-{currency}", price={"unit_price": price}, currency=currency)
        await store(pool, [call(account, NOON, price_version=f"in-{currency}") for _ in range(7)])
    await fill(admin, pool)


def _of_csv(found: Document) -> tuple[list[Decimal], Decimal]:
    rows = list(csv.DictReader(io.StringIO(to_csv(found), newline="")))
    (total,) = [Decimal(row["amount"]) for row in rows if row["row"] == "total"]
    return [Decimal(row["amount"]) for row in rows if row["row"] not in ("share", "total")], total


def _of_json(found: Document) -> tuple[list[Decimal], Decimal]:
    read = json.loads(to_json(found))
    return [Decimal(line["amount"]) for line in read["lines"]], Decimal(read["total"])


def _of_workbook(found: Document) -> tuple[list[Decimal], Decimal]:
    sheet = load_workbook(io.BytesIO(printed(found, "xlsx", "en"))).worksheets[0]
    amounts = [Decimal(str(row[7])) for row in sheet.iter_rows(min_row=4, values_only=True)]
    return amounts[:-1], amounts[-1]


def _words_of_pdf(found: Document) -> list[str]:
    reader = PdfReader(io.BytesIO(printed(found, "pdf", "en")))
    return " ".join(page.extract_text() for page in reader.pages).split()


async def _posted(admin: asyncpg.Connection, document_id: str) -> Decimal:
    """What the ledger says that the document made receivable, or took back from it."""
    amount = await admin.fetchval(
        "SELECT sum(amount) FROM billing.posting JOIN billing.ledger_transaction AS one ON one.id = transaction_id "
        "WHERE ledger_account = 'receivable' AND source = ANY($1)",
        [f"invoice:{document_id}", f"credit_note:{document_id}"],
    )
    return amount or Decimal(0)


async def test_every_form_of_a_document_says_one_amount_and_so_does_the_ledger(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _books(admin, billing_pool)
    async with all_accounts(billing_pool) as connection:
        focus = [
            row
            for period in (OCTOBER, NOVEMBER)
            for row in await focus_rows(connection, period, "live", "Chengchuan Group")
        ]
        ids = await connection.fetch("SELECT id FROM billing.invoice WHERE state = 'issued' ORDER BY id")
        documents = []
        for row in ids:
            matched = _MONTH.fullmatch(row["id"])
            assert matched is not None
            documents.append(await document(connection, Month(matched[1], "live", Period.parse(matched[2]))))
        notes = await connection.fetch("SELECT id, number FROM billing.credit_note")
        credited = [(row["id"], await credit_note_document(connection, row["number"])) for row in notes]
    kinds = {line.kind for found in documents for line in found.lines}
    assert {"usage", "fee", "discount", "top_up", "credit", "tax"} <= kinds
    assert {found.currency for found in documents} == {"CNY", "KWD", "JPY"}
    assert credited
    # A credit note says how much it gives back; the export and the ledger, that it lowers what is owed.
    for posted_as, found, sign in [
        *((one.id, one, 1) for one in documents),
        *((note_id, one, -1) for note_id, one in credited),
    ]:
        total = Decimal(found.total)
        lines = [Decimal(line.amount) for line in found.lines]
        assert sum(lines) == total
        assert _of_json(found) == _of_csv(found) == _of_workbook(found) == (lines, total), found.id
        assert _of_lines(found) <= set(_words_of_pdf(found)), found.id
        billed = [row.billed_cost for row in focus if row.invoice_id == found.number]
        assert billed, "the export has the document"
        assert sum(billed) == sign * total == await _posted(admin, posted_as), found.id


def _of_lines(found: Document) -> set[str]:
    """The amounts as a reader of the printed form looks for them."""
    return {line.amount for line in found.lines} | {found.total}

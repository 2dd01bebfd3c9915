"""An accepted dispute takes off what the whole bill is less by: discount, minimum, commitment and tax with the line."""

import csv
import io
from datetime import date
from decimal import Decimal

import asyncpg
from openpyxl import load_workbook
from pypdf import PdfReader

from billing.focus.export import focus_rows
from billing.invoice.note_document import credit_note_document
from billing.invoice.phrasing import what_of
from billing.invoice.render import to_csv
from billing.invoice.render_pdf import to_pdf
from billing.invoice.render_xlsx import to_xlsx
from billing.transaction import all_accounts
from catalog.vocabulary.period import Period
from deploy.database import Database
from tests.dispute_books import (
    after,
    agree,
    close_month,
    concede,
    contest,
    month_of,
    note_parts,
    owed_by_payer,
    rate_in,
    read_document,
    sell,
    set_tax,
    use_in,
)
from tests.settled_books import assert_books_agree, ledger

OCTOBER, NOVEMBER, DECEMBER = Period(2026, 10), Period(2026, 11), Period(2026, 12)


async def test_a_dispute_takes_off_what_was_paid_for_the_line_discount_and_tax_with_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin)
    await set_tax(database, "US", "8.875")
    await agree(database, date(2026, 12, 1), discount_pct="20")
    await use_in(billing_pool, NOVEMBER, "address/validate", 1)
    await close_month(billing_pool, NOVEMBER)
    await use_in(billing_pool, NOVEMBER, "customs/certificate", 1)
    await use_in(billing_pool, DECEMBER, "address/validate", 20)
    await close_month(billing_pool, DECEMBER)
    december = await read_document(billing_pool, month_of(DECEMBER))
    assert (december.total, [line.amount for line in december.lines[:2]]) == ("20.14", ["20.00", "2.50"])
    before = await owed_by_payer(admin)

    whole = await contest(database, billing_pool, month_of(DECEMBER), 1, "20.00", after(DECEMBER))
    late = await contest(database, billing_pool, month_of(DECEMBER), 2, "2.50", after(DECEMBER))
    assert [one.held and one.held.amount for one in (whole, late)] == ["17.42", "2.72"]
    assert (await read_document(billing_pool, month_of(DECEMBER))).disputed == "20.14"
    await assert_books_agree(billing_pool)

    whole = await concede(billing_pool, whole.id, after(DECEMBER))
    assert whole.credited is not None and whole.credited.amount == "17.42"
    assert await note_parts(billing_pool, whole.credit_note) == [
        ("credited", "address", "20.00"),
        ("discount", "account", "-4.00"),
        ("tax", "tax", "1.42"),
    ]
    late = await concede(billing_pool, late.id, after(DECEMBER))
    assert await note_parts(billing_pool, late.credit_note) == [
        ("credited", "customs", "2.50"),
        ("tax", "tax", "0.22"),
    ]
    assert before - await owed_by_payer(admin) == Decimal("20.14"), "all of the document, and no more"
    await assert_books_agree(billing_pool)
    booked = await ledger(admin, "%")
    assert booked[("house", "earnings:address")] == Decimal("-1.00")
    assert ("house", "discount:account") not in booked
    assert booked[("house", "tax")] == Decimal("-0.09")


async def test_every_file_of_a_note_shows_its_net_its_discount_and_its_tax(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin, "CN")
    await set_tax(database, "CN", "6")
    await agree(database, date(2026, 10, 1), discount_pct="20")
    await use_in(billing_pool, OCTOBER, "address/validate", 20)
    await close_month(billing_pool, OCTOBER)
    opened = await contest(database, billing_pool, month_of(OCTOBER), 1, "10.00", after(OCTOBER))
    decided = await concede(billing_pool, opened.id, after(OCTOBER))
    assert decided.credit_note is not None
    async with all_accounts(billing_pool) as connection:
        note = await credit_note_document(connection, decided.credit_note)
        rows = await focus_rows(connection, NOVEMBER, "live")
    parts = ["10.00", "-2.00", "0.48"]
    assert ([line.amount for line in note.lines], note.total) == (parts, "8.48")
    assert [(one.service, one.amount) for one in note.services] == [
        ("account", "-2.00"),
        ("address", "10.00"),
        ("tax", "0.48"),
    ]
    assert [what_of(line, "en") for line in note.lines[1:]] == [
        "Discount on 10.00",
        "CN sales tax 6 % on 8.00",
    ]
    table = list(csv.DictReader(io.StringIO(to_csv(note).lstrip("\ufeff"))))
    assert [row["amount"] for row in table if row["row"] in ("credited", "discount", "tax")] == parts
    cells = {
        cell.value
        for sheet in load_workbook(io.BytesIO(to_xlsx(note, "en")))
        for row in sheet.iter_rows()
        for cell in row
    }
    assert {10, -2, 0.48, 8.48} <= cells
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(to_pdf(note, "en"))).pages)
    assert all(part in text for part in (*parts, "8.48"))
    assert [(row.charge_category, row.billed_cost) for row in rows] == [
        ("Credit", Decimal("-10.00")),
        ("Adjustment", Decimal("2.00")),
        ("Tax", Decimal("-0.48")),
    ]


async def test_nothing_goes_below_the_minimum_and_the_payer_is_told_why(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin)
    await agree(database, date(2026, 10, 1), minimum="40.00")
    await use_in(billing_pool, OCTOBER, "stock/reserve", 6)
    await close_month(billing_pool, OCTOBER)
    assert (await read_document(billing_pool, month_of(OCTOBER))).total == "40.00"
    opened = await contest(database, billing_pool, month_of(OCTOBER), 1, "2.34", after(OCTOBER))
    assert opened.held is not None and opened.held.amount == "0.00"
    assert "agreed minimum" in opened.notice
    decided = await concede(billing_pool, opened.id, after(OCTOBER))
    assert (decided.state, decided.credit_note) == ("accepted", None)
    assert decided.accepted is not None and decided.accepted.amount == "2.34"
    assert decided.credited is not None and decided.credited.amount == "0.00"
    assert "agreed minimum" in decided.notice
    assert await owed_by_payer(admin) == Decimal("40.00")
    await assert_books_agree(billing_pool)
    # What comes late fills the minimum that the dispute left open, before anything is charged on top of it.
    await use_in(billing_pool, OCTOBER, "address/validate", 39)
    await use_in(billing_pool, NOVEMBER, "address/validate", 1)
    await rate_in(billing_pool, NOVEMBER)
    late = await read_document(billing_pool, month_of(NOVEMBER))
    await close_month(billing_pool, NOVEMBER)
    issued = await read_document(billing_pool, month_of(NOVEMBER))
    assert (late.total, issued.total) == ("40.00", "40.00"), "November's own minimum, nothing for October"
    assert [(line.kind, line.amount, line.precise_amount) for line in issued.lines if line.correction] == [
        ("usage", "39.00", "39.00"),
        ("top_up", "-39.00", "-39.00"),
    ]
    await assert_books_agree(billing_pool)


async def test_a_line_above_the_minimum_comes_off_down_to_it_whichever_dispute_is_decided_first(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin)
    await set_tax(database, "US", "8.875")
    await agree(database, date(2026, 10, 1), minimum="40.00")
    await use_in(billing_pool, OCTOBER, "address/validate", 50)
    await use_in(billing_pool, OCTOBER, "customs/certificate", 12)
    await close_month(billing_pool, OCTOBER)
    first = await contest(database, billing_pool, month_of(OCTOBER), 1, "50.00", after(OCTOBER))
    second = await contest(database, billing_pool, month_of(OCTOBER), 2, "30.00", after(OCTOBER))
    # 80.00 with 7.10 of tax; 40.00 with 3.55 without the first, and with neither.
    assert first.held is not None and first.held.amount == "43.55"
    assert second.held is not None and second.held.amount == "0.00"
    second = await concede(billing_pool, second.id, after(OCTOBER))
    assert second.credited is not None and second.credited.amount == "32.66"
    first = await concede(billing_pool, first.id, after(OCTOBER))
    assert first.credited is not None and first.credited.amount == "10.89"
    assert await note_parts(billing_pool, first.credit_note) == [
        ("credited", "address", "50.00"),
        ("top_up", "account", "-40.00"),
        ("tax", "tax", "0.89"),
    ]
    assert await owed_by_payer(admin) == Decimal("43.55")
    await assert_books_agree(billing_pool)


async def test_what_comes_late_is_taxed_and_discounted_without_what_a_dispute_took_off(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin, "CN")
    await set_tax(database, "CN", "6")
    await set_tax(database, "CN", "13", service="customs")
    await use_in(billing_pool, OCTOBER, "address/validate", 30)
    await use_in(billing_pool, OCTOBER, "customs/certificate", 2)
    await close_month(billing_pool, OCTOBER)
    opened = await contest(database, billing_pool, month_of(OCTOBER), 1, "3.00", after(OCTOBER))
    decided = await concede(billing_pool, opened.id, after(OCTOBER))
    assert await note_parts(billing_pool, decided.credit_note) == [
        ("credited", "address", "3.00"),
        ("tax", "tax", "0.18"),
    ]
    await use_in(billing_pool, OCTOBER, "address/validate", 10)
    await rate_in(billing_pool, NOVEMBER)
    await close_month(billing_pool, NOVEMBER)
    (late, tax) = (await read_document(billing_pool, month_of(NOVEMBER))).lines
    assert (late.amount, tax.amount, tax.base, tax.precise_amount) == ("10.00", "0.60", "37.00", "0.60")
    await assert_books_agree(billing_pool)


async def test_less_spending_in_a_committed_span_moves_its_last_month(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin)
    await agree(database, date(2026, 10, 1), committed_spend="100.00", committed_months=2)
    await use_in(billing_pool, OCTOBER, "address/validate", 60)
    await close_month(billing_pool, OCTOBER)
    early = await contest(database, billing_pool, month_of(OCTOBER), 1, "10.00", after(OCTOBER))
    early = await concede(billing_pool, early.id, after(OCTOBER))
    assert early.credited is not None and early.credited.amount == "10.00", "the span is not over yet"
    await use_in(billing_pool, NOVEMBER, "address/validate", 55)
    await close_month(billing_pool, NOVEMBER)
    assert (await read_document(billing_pool, month_of(NOVEMBER))).total == "55.00"
    late = await contest(database, billing_pool, month_of(OCTOBER), 1, "20.00", after(NOVEMBER))
    late = await concede(billing_pool, late.id, after(NOVEMBER))
    assert await note_parts(billing_pool, late.credit_note) == [
        ("credited", "address", "20.00"),
        ("true_up", "account", "-15.00"),
    ]
    assert await owed_by_payer(admin) == Decimal("100.00")
    await assert_books_agree(billing_pool)

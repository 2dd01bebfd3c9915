"""A document as a workbook: sheets of lines, of cost centres and of who, when and how it is paid; figures are numbers,
nothing is a formula."""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import xlsxwriter

from billing.invoice import words
from billing.invoice.document import Document
from billing.invoice.phrasing import (
    facts,
    recipient_lines,
    seller_lines,
    service_name,
    title_of,
    what_of,
)
from catalog.vocabulary.problem import Language

# A spreadsheet's number has fifteen digits; what is longer stays text rather than lose its end.
_DIGITS_MAX = 15
# So that equal documents are equal files.
_CREATED = datetime(2000, 1, 1, tzinfo=UTC)


def to_xlsx(document: Document, language: Language) -> bytes:
    """The workbook's bytes."""
    output = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(output, options) as book:
        title = title_of(document, language)
        book.set_properties({"title": title, "created": _CREATED.replace(tzinfo=None)})
        _lines_sheet(_Sheet(book, words.LINES.worded(language)), document, title, language)
        _shares_sheet(_Sheet(book, words.COST_CENTRES.worded(language)[:31]), document, language)
        _parties_sheet(_Sheet(book, words.DOCUMENT.worded(language)), document, language)
    return output.getvalue()


class _Sheet:
    """A worksheet that is written row by row."""

    def __init__(self, book: Any, name: str) -> None:
        self._sheet = book.add_worksheet(name)
        self._bold = book.add_format({"bold": True})
        self._head = book.add_format({"bold": True, "bottom": 1})
        self._row = 0

    def title(self, text: str) -> None:
        """One line in bold, and an empty one below it."""
        self._sheet.write_string(self._row, 0, text, self._bold)
        self._row += 2

    def head(self, cells: Sequence[str], widths: Sequence[int]) -> None:
        """The table's head, which stays in sight."""
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            self._sheet.write_string(self._row, column, cell, self._head)
            self._sheet.set_column(column, column, width)
        self._row += 1
        self._sheet.freeze_panes(self._row, 0)

    def row(self, cells: Iterable[str | int | Decimal], *, bold: bool = False) -> None:
        """One line: text as text, figures as numbers where they have few enough digits."""
        for column, cell in enumerate(cells):
            self._cell(column, cell, self._bold if bold else None)
        self._row += 1

    def _cell(self, column: int, cell: str | int | Decimal, form: Any) -> None:
        if isinstance(cell, str):
            self._sheet.write_string(self._row, column, cell, form)
        elif len(Decimal(cell).as_tuple().digits) > _DIGITS_MAX:
            self._sheet.write_string(self._row, column, f"{cell:f}", form)
        else:
            self._sheet.write_number(self._row, column, cell, form)


def _lines_sheet(sheet: _Sheet, document: Document, title: str, language: Language) -> None:
    sheet.title(f"{title} · {document.recipient['name']} · {document.period} · {document.currency}")
    head = (
        words.SERVICE,
        words.OPERATION,
        words.PRICE,
        words.MONTH,
        words.CALLS,
        words.UNITS,
        words.PRECISE,
        words.AMOUNT,
    )
    sheet.head([text.worded(language) for text in head], [14, 24, 42, 10, 12, 14, 20, 14])
    for line in document.lines:
        sheet.row(
            (
                service_name(document, line.service, language),
                line.operation,
                line.price_version or (what_of(line, language) if line.kind != "usage" else ""),
                line.usage_period,
                line.calls,
                Decimal(line.units),
                Decimal(line.precise_amount),
                Decimal(line.amount),
            )
        )
    sheet.row(
        (words.TOTAL.worded(language), "", "", "", document.calls, "", "", Decimal(document.total)), bold=True
    )


def _parties_sheet(sheet: _Sheet, document: Document, language: Language) -> None:
    rows = [
        (words.SELLER.worded(language), "\n".join(seller_lines(document, language))),
        (words.RECIPIENT.worded(language), "\n".join(recipient_lines(document, language))),
        *facts(document, language),
    ]
    sheet.head([title_of(document, language), ""], [20, 60])
    for row in rows:
        sheet.row(row)


def _shares_sheet(sheet: _Sheet, document: Document, language: Language) -> None:
    head = (words.COST_CENTRE, words.APPLICATION, words.OPERATION, words.MONTH, words.CALLS, words.UNITS)
    sheet.head([text.worded(language) for text in head], [24, 28, 24, 10, 12, 14])
    for line in document.lines:
        for share in line.shares:
            sheet.row(
                (
                    share.cost_centre or share.cost_centre_id,
                    share.application or share.application_id,
                    line.operation,
                    line.usage_period,
                    share.calls,
                    Decimal(share.units),
                )
            )

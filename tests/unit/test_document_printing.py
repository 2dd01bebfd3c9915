"""A document on paper and in a workbook: every figure is there, in both languages, and nothing runs when it is opened."""

import io
import re
from decimal import Decimal

import msgspec
import pytest
from openpyxl import load_workbook
from pypdf import PdfReader

from billing.invoice.document import CorrectedDocument, Document, DocumentLine, DocumentShare, ServiceTotal
from billing.invoice.printed import printed
from billing.rate import TierTrace
from catalog.accounts.seller import SellerProfile
from catalog.vocabulary.problem import LANGUAGES, Language


def _line(position: int, operation: str, amount: str, *, correction: bool = False) -> DocumentLine:
    return DocumentLine(
        position=position,
        service=operation.partition("/")[0],
        operation=operation,
        price_version=f"{operation}/CNY@1",
        usage_period="2026-09" if correction else "2026-10",
        correction=correction,
        calls=816,
        units="816",
        amount=amount,
        precise_amount="53.0400",
        tiers=(TierTrace("price", None, "816", "0.065", "0", "53.04"),),
        shares=(DocumentShare("app_a", "Web shop", "cc_a", "=cmd|电商平台", 816, "816"),),
    )


@pytest.fixture
def document() -> Document:
    return Document(
        id="inv_live_acct_a_2026-10",
        kind="statement",
        state="issued",
        number="S-2026-000001",
        account_id="acct_a",
        recipient={"name": "bu-01", "title": {"en": "Qinyuan <Beverages>", "zh-CN": "沁源饮品"}},
        environment="live",
        period="2026-10",
        timezone="Asia/Shanghai",
        starts_at="2026-09-30T16:00:00Z",
        ends_at="2026-10-31T16:00:00Z",
        currency="CNY",
        issued_at="2026-11-01T00:00:00Z",
        missing=(),
        lines=(_line(1, "stock/reserve", "53.04"), _line(2, "address/validate", "-3.49", correction=True)),
        services=(ServiceTotal("address", 816, "-3.49"), ServiceTotal("stock", 816, "53.04")),
        calls=1632,
        total="49.55",
    )


def _text(document: Document, language: Language) -> str:
    reader = PdfReader(io.BytesIO(printed(document, "pdf", language)))
    return "\n".join(page.extract_text() for page in reader.pages)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Statement S-2026-000001", "Qinyuan <Beverages>", "correction of 2026-09", "Page 1 of 1")),
        ("zh-CN", ("内部结算单 S-2026-000001", "沁源饮品", "2026-09 更正", "第 1 页，共 1 页")),
    ],
)
def test_a_pdf_says_who_what_and_how_much_in_the_readers_language(
    document: Document, language: Language, words: tuple[str, ...]
) -> None:
    text = _text(document, language)
    for expected in (*words, "stock/reserve", "816 × 0.065 = 53.04", "-3.49", "49.55", "电商平台"):
        assert expected in text


def test_calls_and_units_are_grouped_alike(document: Document) -> None:
    line = msgspec.structs.replace(document.lines[0], calls=1224, units="1224.5")
    for language in LANGUAGES:
        text = _text(msgspec.structs.replace(document, lines=(line,)), language)
        assert re.search(r"1,224\s+1,224\.5", text)


def test_a_pdf_of_many_lines_numbers_its_pages_and_loses_no_line(document: Document) -> None:
    lines = tuple(_line(position, f"stock/op-{position:03d}", "1.00") for position in range(1, 121))
    text = _text(msgspec.structs.replace(document, lines=lines), "en")
    assert all(f"stock/op-{position:03d}" in text for position in range(1, 121))
    pages = text.count("Page ")
    assert pages > 5
    assert f"Page {pages} of {pages}" in text


@pytest.mark.parametrize(
    ("fields", "note"),
    [({"state": "draft", "number": None}, "Draft: figures move"), ({"environment": "test"}, "not payable")],
)
def test_what_is_not_to_be_paid_says_so(document: Document, fields: dict[str, object], note: str) -> None:
    assert note in _text(msgspec.structs.replace(document, **fields), "en")


def test_a_workbook_holds_figures_as_numbers_and_runs_nothing(document: Document) -> None:
    book = load_workbook(io.BytesIO(printed(document, "xlsx", "zh-CN")))
    lines, shares, parties = book.worksheets
    assert (lines.title, shares.title, parties.title) == ("明细", "按成本中心与应用", "单据")
    assert "内部结算单 S-2026-000001" in lines["A1"].value
    rows = list(lines.iter_rows(min_row=4, values_only=True))
    assert [row[1] for row in rows] == ["stock/reserve", "address/validate", ""]
    assert sum(Decimal(str(row[7])) for row in rows[:-1]) == Decimal(str(rows[-1][7])) == Decimal("49.55")
    cell = shares["A2"]
    assert (cell.value, cell.data_type) == ("=cmd|电商平台", "s")


def test_a_figure_longer_than_a_spreadsheets_number_stays_whole(document: Document) -> None:
    line = msgspec.structs.replace(document.lines[0], precise_amount="0.123456789012345678901")
    book = load_workbook(io.BytesIO(printed(msgspec.structs.replace(document, lines=(line,)), "xlsx", "en")))
    assert book.worksheets[0]["G4"].value == "0.123456789012345678901"


@pytest.mark.parametrize("form", ["pdf", "xlsx"])
def test_the_same_document_is_the_same_file(document: Document, form: str) -> None:
    assert printed(document, form, "en") == printed(document, form, "en")  # type: ignore[arg-type]


SELLER = SellerProfile(
    "Chengchuan Digital Ltd",
    "2 Huaihe Road\nHefei",
    "91340100MA2N1111X1",
    "CN",
    30,
    "By bank transfer",
    "ICBC 6222 0000",
)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            (
                "From",
                "Tax id 91340100MA2N1111X1",
                "2026-12-01 (within 30 days)",
                "Stock",
                "Contract",
                "Access fee",
            ),
        ),
        (
            "zh-CN",
            ("开票方", "税号 91340100MA2N1111X1", "2026-12-01 (30 天内付款)", "库存", "合同条款", "接入费"),
        ),
    ],
)
def test_an_invoice_names_who_issues_it_and_by_when_and_how_it_is_paid(
    document: Document, language: Language, words: tuple[str, ...]
) -> None:
    fee = DocumentLine(
        position=3, service="account", operation="account/*", price_version="", usage_period="2026-10", correction=False,
        calls=0, units="0", amount="2.00", precise_amount="2.00", shares=(), kind="fee", base="0.00",
        tiers=(TierTrace("price", None, "1", "2", "0", "2"),),
    )  # fmt: skip
    invoice = msgspec.structs.replace(
        document,
        kind="invoice",
        number="INV-2026-000001",
        seller=SELLER,
        due_on="2026-12-01",
        lines=(*document.lines, fee),
        services=(
            ServiceTotal("account", 0, "2.00"),
            ServiceTotal("stock", 816, "49.55", {"en": "Stock", "zh-CN": "库存"}),
        ),
        total="51.55",
    )
    always = ("Chengchuan Digital Ltd", "2 Huaihe Road", "Hefei", "By bank transfer", "ICBC 6222 0000")
    text = _text(invoice, language)
    for expected in (*always, *words, "2026-11-01 08:00:00 +08:00"):
        assert expected in text, expected
    for unwanted in ("account/*", "1 × 2", "+ 0", "T00:00:00Z"):
        assert unwanted not in text, unwanted
    sheet = load_workbook(io.BytesIO(printed(invoice, "xlsx", language))).worksheets[2]
    cells = "\n".join(str(cell) for row in sheet.iter_rows(values_only=True) for cell in row)
    for expected in (*always, "2026-12-01", "2026-11-01 08:00:00 +08:00"):
        assert expected in cells, expected


def test_a_credit_note_names_what_it_corrects_and_why(document: Document) -> None:
    note = msgspec.structs.replace(
        document,
        kind="credit_note",
        number="CN-2026-000001",
        corrects=CorrectedDocument("INV-2026-000007", "2026-10", "dispute_lost"),
    )
    assert "Credit note CN-2026-000001" in _text(note, "en")
    assert "INV-2026-000007 (2026-10, accepted dispute)" in _text(note, "en")
    assert "INV-2026-000007 (2026-10, 争议成立)" in _text(note, "zh-CN")

"""A document as JSON and CSV: exact, complete, and nothing that a spreadsheet would run."""

import csv
import io
import json
from decimal import Decimal

import msgspec
import pytest

from billing.invoice.arithmetic import arithmetic
from billing.invoice.document import (
    CorrectedDocument,
    Document,
    DocumentLine,
    DocumentShare,
    LineKind,
    ServiceTotal,
    quantity,
)
from billing.invoice.number import series_of
from billing.invoice.render import COLUMNS, to_csv, to_json
from billing.rate import TierTrace
from catalog.accounts.seller import SellerProfile
from catalog.vocabulary.spreadsheet import csv_file, harmless


def _document(recipient: str = "Qinyuan", cost_centre: str = "电商平台", amount: str = "-3.49") -> Document:
    line = DocumentLine(
        position=1,
        service="address",
        operation="address/validate",
        price_version="price",
        usage_period="2026-10",
        correction=True,
        calls=7,
        units="6.5",
        amount=amount,
        precise_amount="-3.4890",
        tiers=(
            TierTrace("price", None, "6.5", "0.055", "0", "0.3575"),
            TierTrace("billed_before", None, "0", "0", "0", "-3.8465"),
        ),
        shares=(DocumentShare("app_a", "Web, shop", "cc_a", cost_centre, 7, "6.5"),),
    )
    return Document(
        id="inv_live_acct_a_2026-11",
        kind="statement",
        state="issued",
        number="S-2026-000001",
        account_id="acct_a",
        recipient={"name": recipient, "title": {"en": recipient}},
        environment="live",
        period="2026-11",
        timezone="Asia/Shanghai",
        starts_at="2026-10-31T16:00:00Z",
        ends_at="2026-11-30T16:00:00Z",
        currency="CNY",
        issued_at="2026-12-01T00:00:00Z",
        missing=(),
        lines=(line,),
        services=(ServiceTotal("address", 7, amount),),
        calls=7,
        total=amount,
    )


def test_csv_has_the_line_its_shares_and_the_total_with_numbers_as_they_are() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(_document()), newline="")))
    assert [row["row"] for row in rows] == ["line", "share", "total"]
    line, share, total = rows
    assert (line["calls"], line["units"], line["amount"], line["precise_amount"]) == (
        "7",
        "6.5",
        "-3.49",
        "-3.4890",
    )
    assert (line["operation"], line["usage_period"], line["correction"]) == (
        "address/validate",
        "2026-10",
        "yes",
    )
    assert line["tiers"] == "6.5 × 0.055 = 0.3575; already billed: -3.8465"
    assert (share["application"], share["cost_centre"], share["calls"]) == ("Web, shop", "电商平台", "7")
    assert (total["calls"], total["amount"], total["currency"], total["number"]) == (
        "7",
        "-3.49",
        "CNY",
        "S-2026-000001",
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_a_csv_begins_like_a_formula(start: str) -> None:
    evil = f'{start}HYPERLINK("http://example.test","x")'
    rows = list(csv.DictReader(io.StringIO(to_csv(_document(evil, evil)), newline="")))
    cells = [cell for row in rows for cell in row.values()]
    assert f"'{evil}" in cells
    assert not [cell for cell in cells if cell.startswith(start) and cell != "-3.49" and cell != "-3.4890"]


def test_only_whole_numbers_and_decimals_keep_a_leading_minus() -> None:
    assert [harmless(text) for text in ("-3.49", "-7", "-3.49=1", "-", "-1e5", "")] == [
        "-3.49",
        "-7",
        "'-3.49=1",
        "'-",
        "'-1e5",
        "",
    ]


def test_a_csv_file_begins_with_a_mark_that_makes_excel_read_its_chinese() -> None:
    content = csv_file(to_csv(_document()))
    assert content.startswith(b"\xef\xbb\xbfrow,number,")
    assert "电商平台" in content.decode("utf-8-sig")
    assert content.count(b"\xef\xbb\xbf") == 1
    assert content.endswith(b"\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_every_row_of_a_csv_has_every_column() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(_document()), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert {len(row) for row in rows} == {len(COLUMNS)}


def test_json_says_the_same_with_money_as_strings() -> None:
    document = json.loads(to_json(_document()))
    assert document["total"] == document["lines"][0]["amount"] == "-3.49"
    assert document["lines"][0]["tiers"][1]["step"] == "billed_before"
    assert document["recipient"]["title"]["en"] == "Qinyuan"


def test_quantities_lose_their_needless_zeros_and_nothing_else() -> None:
    units = ("100", "2.50", "0.000", "1E+3", "12.0340", "-0.5")
    assert [quantity(Decimal(text)) for text in units] == ["100", "2.5", "0", "1000", "12.034", "-0.5"]


def test_internal_and_external_live_and_test_real_and_demo_documents_are_numbered_in_series_of_their_own() -> (
    None
):
    series = {
        series_of(kind, environment, 2026, demo=demo)
        for kind in ("statement", "invoice")
        for environment in ("live", "test")
        for demo in (False, True)
    }
    real = {"S-2026", "INV-2026", "TS-2026", "TINV-2026"}
    assert series == real | {f"DEMO-{one}" for one in real}


def _tiers(units: str, *tiers: TierTrace, kind: LineKind = "usage") -> DocumentLine:
    return msgspec.structs.replace(_document().lines[0], units=units, tiers=tiers, kind=kind)


def _price(count: str, price: str, amount: str, flat_fee: str = "0") -> TierTrace:
    return TierTrace("price", None, count, price, flat_fee, amount)


def _counted(amount: str) -> TierTrace:
    return TierTrace("counted_before", None, "0", "0", "0", amount)


@pytest.mark.parametrize(
    ("line", "written"),
    [
        (_tiers("22", _price("58", "0.085", "4.93"), _counted("-3.06")), ("22 × 0.085 = 1.87",)),
        (
            _tiers("22", _price("50", "0.09", "4.50"), _price("8", "0.08", "0.64"), _counted("-3.24")),
            ("14 × 0.09 = 1.26", "8 × 0.08 = 0.64"),
        ),
        # A volume price: the earlier units came to less, and no count of them explains the difference.
        (
            _tiers("22", _price("58", "0.08", "4.64"), _counted("-3.24")),
            ("58 × 0.08 = 4.64", "already counted earlier this month: -3.24"),
        ),
        (_tiers("3", _price("3", "0.5", "4.5", "3")), ("3 × 0.5 + 3 (flat fee) = 4.5",)),
        (_tiers("0", _price("0", "0.5", "3", "3")), ("3 (flat fee) = 3",)),
        (_tiers("0", _price("1", "1.2", "1.2"), kind="fee"), ()),
        (_tiers("0", _price("24.10", "-0.05", "-1.205"), kind="discount"), ("24.10 × -0.05 = -1.205",)),
    ],
)
def test_arithmetic_is_written_as_by_hand(line: DocumentLine, written: tuple[str, ...]) -> None:
    assert arithmetic(line, "en") == written


def test_csv_names_the_seller_the_due_day_and_what_is_corrected() -> None:
    seller = SellerProfile("Chengchuan Ltd", "2 Huaihe Road", "913401")
    corrects = CorrectedDocument("INV-2026-000007", "2026-10", "dispute_lost")
    document = msgspec.structs.replace(_document(), seller=seller, due_on="2026-12-31", corrects=corrects)
    for row in csv.DictReader(io.StringIO(to_csv(document), newline="")):
        assert (row["seller"], row["seller_tax_id"], row["due_on"], row["corrects"]) == (
            "Chengchuan Ltd",
            "913401",
            "2026-12-31",
            "INV-2026-000007",
        )

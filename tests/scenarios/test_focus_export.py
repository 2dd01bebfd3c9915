"""The FOCUS export says what the documents say, to the cent, and keeps the specification's rules."""

import csv
import io
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import asyncpg
import msgspec
import pyarrow.parquet as pq
import pytest

from billing.focus.export import focus_rows
from billing.focus.files import to_focus_csv, write_rows
from billing.focus.row import COLUMNS, DIGITS, SCALE, FocusRow
from billing.transaction import all_accounts
from catalog.vocabulary.period import Period
from tests.focus_books import NOVEMBER, OCTOBER, fill


async def _rows(pool: asyncpg.Pool, period: Period, account: str | None = None) -> tuple[FocusRow, ...]:
    async with all_accounts(pool) as connection:
        return await focus_rows(connection, period, "live", "Chengchuan Group", account)


def _billed(rows: Iterable[FocusRow]) -> dict[str | None, Decimal]:
    sums: dict[str | None, Decimal] = {}
    for row in rows:
        sums[row.invoice_id] = sums.get(row.invoice_id, Decimal(0)) + row.billed_cost
    return sums


async def test_rows_of_an_invoice_sum_to_it_and_every_rule_holds(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    await fill(admin, billing_pool)
    october, november = await _rows(billing_pool, OCTOBER), await _rows(billing_pool, NOVEMBER)
    due = {
        row["number"]: row["total"]
        for row in await admin.fetch(
            "SELECT number, total FROM billing.invoice WHERE state = 'issued' AND environment = 'live' UNION ALL "
            "SELECT number, -total FROM billing.credit_note"
        )
    }
    assert _billed([*october, *november]) == due
    assert len(due) == 5
    for rows in (october, november):
        for row in rows:
            _assert_rules(row)
    _assert_kinds(october, november)
    assert sum(row.effective_cost for row in october) == sum(row.billed_cost for row in october)
    assert await _rows(billing_pool, OCTOBER, "bu-06") == tuple(
        row for row in october if row.billing_account_id == "bu-06"
    )
    december = await _rows(billing_pool, NOVEMBER.next(), "bu-06")
    assert _billed(december) == {None: Decimal(0)} or december == (), "a draft has no invoice id"
    _assert_files([*october, *november], tmp_path)


def _assert_rules(row: FocusRow) -> None:
    """The rules of the specification that do not follow from types, row by row; in the order of its columns."""
    assert row.billing_period_start < row.billing_period_end
    assert row.charge_period_start < row.charge_period_end
    assert (row.charge_class == "Correction") == (row.charge_period_start < row.billing_period_start), (
        "a correction is of an earlier period, and every such charge is a correction"
    )
    if row.charge_category == "Usage":
        assert row.consumed_quantity is not None
    else:
        assert row.consumed_quantity is None
    assert (row.consumed_unit is None) == (row.consumed_quantity is None)
    assert (row.pricing_unit is None) == (row.pricing_quantity is None)
    if row.charge_category in ("Usage", "Purchase"):
        assert None not in (row.pricing_category, row.pricing_quantity, row.sku_id, row.sku_price_id)
    else:
        assert (row.list_cost, row.contracted_cost, row.effective_cost) == (row.billed_cost,) * 3
    if row.charge_category == "Tax":
        assert (row.pricing_category, row.pricing_quantity, row.sku_id, row.list_unit_price) == (None,) * 4
    if row.charge_category == "Purchase":
        assert row.charge_frequency != "Usage-Based"
        assert row.effective_cost == 0
    assert (row.sku_meter is None) == (row.sku_id is None)
    for price, cost in (
        (row.list_unit_price, row.list_cost),
        (row.contracted_unit_price, row.contracted_cost),
    ):
        if price is not None:
            assert row.pricing_quantity is not None
            assert price >= 0
            assert price * row.pricing_quantity == cost
    assert (row.sub_account_id is None) == (row.sub_account_name is None) == (row.sub_account_type is None)
    tags = msgspec.json.decode(row.tags, type=dict[str, str])
    assert all(name.startswith("ordergate:") for name in tags)


def _assert_kinds(october: Iterable[FocusRow], november: Iterable[FocusRow]) -> None:
    kinds = {(row.charge_category, row.charge_class) for row in (*october, *november)}
    assert kinds == {
        ("Usage", None),
        ("Usage", "Correction"),
        ("Purchase", None),
        ("Adjustment", None),
        ("Credit", None),
        ("Credit", "Correction"),
        ("Tax", None),
    }
    checks = [row for row in october if row.billing_account_id == "bu-06" and row.sku_id == "customs/check"]
    shares = {row.sub_account_id: row for row in checks if row.billed_cost}
    assert set(shares) == {"cc_bu-06", "cc_legal", "cc_it"}
    assert sum(row.billed_cost for row in shares.values()) == Decimal("407.80")
    assert sum(row.pricing_quantity or 0 for row in shares.values()) == 117
    assert all(row.list_unit_price is None for row in shares.values()), "tiers have no one price"
    given = [row for row in october if row.charge_category == "Credit"]
    assert [row.billed_cost for row in given] == [Decimal("-0.72")]


def _assert_files(rows: list[FocusRow], folder: Path) -> None:
    write_rows(rows, folder / "focus.parquet")
    table = pq.read_table(folder / "focus.parquet")
    assert tuple(table.column_names) == COLUMNS
    assert len(COLUMNS) == 57
    assert str(table.schema.field("BilledCost").type) == f"decimal128({DIGITS}, {SCALE})"
    assert str(table.schema.field("ChargePeriodStart").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("RegionId").type) == "string"
    for column in COLUMNS:
        field = next(one for one in msgspec.structs.fields(FocusRow) if one.encode_name == column)
        assert table.column(column).to_pylist() == [getattr(row, field.name) for row in rows], column
    text = list(csv.DictReader(io.StringIO(to_focus_csv(rows))))
    assert len(text) == len(rows)
    for read, row in zip(text, rows, strict=True):
        assert Decimal(read["BilledCost"]) == row.billed_cost
        assert "." in read["BilledCost"]
        assert read["ChargePeriodStart"].endswith("Z")
        assert read["InvoiceId"] == (row.invoice_id or "")
    write_rows(rows, folder / "focus.csv")
    assert (folder / "focus.csv").read_text("utf-8").startswith("AvailabilityZone,BilledCost,")


async def test_a_month_without_documents_is_an_empty_table(
    billing_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    rows = await _rows(billing_pool, OCTOBER)
    write_rows(rows, tmp_path / "focus.parquet")
    assert pq.read_table(tmp_path / "focus.parquet").num_rows == 0
    assert to_focus_csv(rows).count("\n") == 1


def test_other_file_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parquet"):
        write_rows([], tmp_path / "focus.xlsx")

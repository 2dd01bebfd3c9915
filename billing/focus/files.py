"""Rows as files: Parquet with exact decimals for programs, CSV for everything else."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec

from billing.focus.charges import moment_text
from billing.focus.row import COLUMNS, DIGITS, SCALE, FocusRow
from catalog.vocabulary.money import EXACT, plain
from catalog.vocabulary.spreadsheet import csv_table

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".parquet", ".csv")


def write_rows(rows: Sequence[FocusRow], path: Path) -> None:
    """Write rows to a file whose name ends in `.parquet` or `.csv`; ValueError for any other. No rows make an empty table."""
    match path.suffix:
        case ".parquet":
            _write_parquet(rows, path)
        case ".csv":
            path.write_text(to_focus_csv(rows), encoding="utf-8", newline="")
        case _:
            raise ValueError(f"a FOCUS file is named {' or '.join('*' + one for one in FORMATS)}")


def to_focus_csv(rows: Iterable[FocusRow]) -> str:
    """One table; null is an empty cell, every number has a decimal point and every moment ends in `Z`."""
    return csv_table(
        COLUMNS,
        (
            {name: _cell(value) for name, value in zip(COLUMNS, msgspec.structs.astuple(row), strict=True)}
            for row in rows
        ),
    )


def _write_parquet(rows: Sequence[FocusRow], path: Path) -> None:
    # A hundred megabytes that no other command needs.
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(pa)
    columns: list[list[Any]] = [
        list(column) for column in zip(*map(msgspec.structs.astuple, rows), strict=True)
    ]
    table = pa.table(
        {
            field.name: pa.array([_exact(value) for value in column], field.type)
            for field, column in zip(schema, columns or [[] for _ in COLUMNS], strict=True)
        },
        schema=schema,
    )
    pq.write_table(table, path)


def _schema(pa: Any) -> "pa.Schema":
    types = {str: pa.string(), Decimal: pa.decimal128(DIGITS, SCALE), datetime: pa.timestamp("us", tz="UTC")}
    hints = get_type_hints(FocusRow)
    fields = []
    for field in msgspec.structs.fields(FocusRow):
        hint = hints[field.name]
        options = (
            [one for one in get_args(hint) if one is not NoneType] if isinstance(hint, UnionType) else [hint]
        )
        fields.append(pa.field(field.encode_name, types.get(options[0], pa.string())))
    return pa.schema(fields)


def _exact(value: object) -> object:
    """A number with exactly the column's digits; ValueError where it has more, for nothing is rounded here."""
    if not isinstance(value, Decimal):
        return value
    written = value.quantize(Decimal(1).scaleb(-SCALE), context=EXACT)
    if written != value:
        raise ValueError(f"{plain(value)} has more than {SCALE} decimal places: write CSV")
    return written


def _cell(value: object) -> object:
    match value:
        case None:
            return ""
        case Decimal():
            whole, _, fraction = plain(value).partition(".")
            return f"{whole}.{fraction.rstrip('0') or '0'}"
        case datetime():
            return moment_text(value)
        case _:
            return value

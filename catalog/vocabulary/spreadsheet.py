"""Tables for spreadsheets: CSV (RFC 4180) of which nothing is run when it is opened, and whose Chinese reads as Chinese."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

# Spreadsheets run a cell that begins with one of these; a plain number may begin with a minus.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A head and one line for each row; a column that a row does not name is empty in it."""
    output = io.StringIO()
    writer = csv.DictWriter(output, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: harmless(str(value)) for name, value in row.items()})
    return output.getvalue()


def csv_file(table: str) -> bytes:
    """The table as a file that people open: without a byte order mark Excel reads UTF-8 in the computer's old code page."""
    return table.encode("utf-8-sig")


def harmless(text: str) -> str:
    """The text of a cell that no spreadsheet runs as a formula, with an apostrophe where it would; numbers stay numbers."""
    if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text

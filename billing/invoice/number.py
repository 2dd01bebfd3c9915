"""Document numbers: without gaps within a series, because the counter's row is locked by the transaction that issues."""

from typing import Literal

from billing.invoice.draft import DocumentKind
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment

NumberedKind = DocumentKind | Literal["credit_note"]

_PREFIX: dict[NumberedKind, str] = {"statement": "S", "invoice": "INV", "credit_note": "CN"}
_DEMO = "DEMO-"


def series_of(kind: NumberedKind, environment: Environment, year: int, *, demo: bool) -> str:
    """`S-2026` for internal statements, `INV-2026` for invoices, `CN-2026` for credit notes; in the test books `TS-2026`,
    `TINV-2026` and `TCN-2026`.

    A `demo` account's documents begin with `DEMO-`: beside them the first real invoice is number 1.
    """
    sandbox = "T" if environment == "test" else ""
    return f"{_DEMO if demo else ''}{sandbox}{_PREFIX[kind]}-{year:04d}"


async def take_number(connection: Connection, series: str) -> str:
    """The next number, such as `S-2026-000001`. Others who need one of the series wait until this transaction ends;
    if it rolls back, the number was never taken."""
    last = await connection.fetchval(
        "INSERT INTO billing.invoice_number AS counter (series, last) VALUES ($1, 1) "
        "ON CONFLICT (series) DO UPDATE SET last = counter.last + 1 RETURNING last",
        series,
    )
    return f"{series}-{last:06d}"

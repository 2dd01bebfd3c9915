"""A document as JSON or CSV."""

from collections.abc import Iterator

import msgspec

from billing.invoice.arithmetic import arithmetic
from billing.invoice.document import Document, DocumentLine, DocumentShare
from catalog.vocabulary.spreadsheet import csv_table

COLUMNS = (
    "row",
    "number",
    "state",
    "account",
    "recipient",
    "environment",
    "period",
    "position",
    "service",
    "operation",
    "price_version",
    "usage_period",
    "correction",
    "application",
    "cost_centre",
    "calls",
    "units",
    "amount",
    "precise_amount",
    "currency",
    "tiers",
    "seller",
    "seller_tax_id",
    "issued_at",
    "due_on",
    "corrects",
)


def to_json(document: Document) -> bytes:
    """The document as an indented JSON object, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def to_csv(document: Document) -> str:
    """One table: a `line` row for each line (what no call carries says its kind: `fee`, `credit`, `tax`, `credited`), below
    it a `share` row for each part of it that an application used for a cost centre, and at the end one `total` row."""
    return csv_table(COLUMNS, _rows(document))


def _rows(document: Document) -> Iterator[dict[str, object]]:
    for line in document.lines:
        yield _row(document, "line" if line.kind == "usage" else line.kind, _line_cells(line))
        for share in line.shares:
            yield _row(document, "share", _share_cells(line, share))
    yield _row(document, "total", {"calls": document.calls, "amount": document.total})


def _row(document: Document, kind: str, cells: dict[str, object]) -> dict[str, object]:
    head: dict[str, object] = {
        "row": kind,
        "number": document.number or "",
        "state": document.state,
        "account": document.account_id,
        "recipient": document.recipient["name"],
        "environment": document.environment,
        "period": document.period,
        "currency": document.currency,
        "issued_at": document.issued_at or "",
        "due_on": document.due_on or "",
    }
    if (seller := document.seller) is not None:
        head |= {"seller": seller.legal_name, "seller_tax_id": seller.tax_id}
    if (corrected := document.corrects) is not None:
        head["corrects"] = corrected.number
    return {**head, **cells}


def _line_cells(line: DocumentLine) -> dict[str, object]:
    return {
        "position": line.position,
        "service": line.service,
        "operation": line.operation,
        "price_version": line.price_version,
        "usage_period": line.usage_period,
        "correction": "yes" if line.correction else "no",
        "calls": line.calls,
        "units": line.units,
        "amount": line.amount,
        "precise_amount": line.precise_amount,
        "tiers": "; ".join(arithmetic(line, "en")),
    }


def _share_cells(line: DocumentLine, share: DocumentShare) -> dict[str, object]:
    return {
        "position": line.position,
        "service": line.service,
        "operation": line.operation,
        "price_version": line.price_version,
        "usage_period": line.usage_period,
        "application": share.application or share.application_id,
        "cost_centre": share.cost_centre or share.cost_centre_id,
        "calls": share.calls,
        "units": share.units,
    }

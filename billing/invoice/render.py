"""A document as JSON or CSV."""

import csv
import io
import re

import msgspec

from billing.invoice.document import Document, DocumentLine, DocumentShare

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
)

# Spreadsheets run a cell that begins with one of these; a plain number may begin with a minus.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def to_json(document: Document) -> bytes:
    """The document as an indented JSON object, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def to_csv(document: Document) -> str:
    """One table (RFC 4180): a `line` row for each line, below it a `share` row for each part of it that an application
    used for a cost centre, and at the end one `total` row. Text that a spreadsheet would run gets an apostrophe."""
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for line in document.lines:
        writer.writerow(_row(document, "line", _line_cells(line)))
        for share in line.shares:
            writer.writerow(_row(document, "share", _share_cells(line, share)))
    writer.writerow(_row(document, "total", {"calls": document.calls, "amount": document.total}))
    return output.getvalue()


def _row(document: Document, kind: str, cells: dict[str, object]) -> dict[str, str]:
    head: dict[str, object] = {
        "row": kind,
        "number": document.number or "",
        "state": document.state,
        "account": document.account_id,
        "recipient": document.recipient["name"],
        "environment": document.environment,
        "period": document.period,
        "currency": document.currency,
    }
    return {name: harmless(str(value)) for name, value in {**head, **cells}.items()}


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
        "tiers": "; ".join(
            f"{tier.step}: {tier.quantity} x {tier.unit_price} + {tier.flat_fee} = {tier.amount}"
            if tier.step == "price"
            else f"{tier.step}: {tier.amount}"
            for tier in line.tiers
        ),
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


def harmless(text: str) -> str:
    """The text of a cell that no spreadsheet runs as a formula; numbers stay numbers."""
    if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text

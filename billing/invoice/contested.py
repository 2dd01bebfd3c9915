"""Which line of a document is contested, by its position or by a call that is charged on it, and how much of it."""

from decimal import Decimal
from uuid import UUID

import msgspec

from billing.invoice.document import Document, DocumentLine
from billing.sla.outcome import paid_call
from billing.transaction import Connection
from catalog.vocabulary.ids import parse_call_id
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError, Problem


class Contested(msgspec.Struct, frozen=True):
    """What is contested: so much of a line, for one call of it or for the line itself, and why."""

    line: DocumentLine
    amount: Decimal
    reason: str
    call_id: UUID | None = None


async def find_contested(
    connection: Connection,
    document: Document,
    *,
    line: int | None,
    call: str | None,
    amount: Decimal,
    reason: str,
) -> Contested:
    """What is contested of a document, by the `line`'s position or by the id of a `call` on it.

    `Problem` invalid-input where not exactly one of both is named, the document has none such or no reason is given, and
    not-found for a call that the account does not pay for. The document's account is in scope.
    """
    check_reason(reason)
    if (line is None) == (call is None):
        raise invalid("", "one-of", "name a line or a call, and not both")
    if line is not None:
        return Contested(line_of(document, line), amount, reason)
    assert call is not None, "one of both is given"
    try:
        call_id = parse_call_id(call)
    except ValueError as error:
        raise invalid("/call", "form", str(error)) from None
    found = await paid_call(connection, document.account_id, document.environment, call_id)
    charged_in = str(Period.of(found.occurred_at, document.timezone))
    return Contested(_line_of_call(document, found.operation, charged_in), amount, reason, found.id)


def line_of(document: Document, position: int) -> DocumentLine:
    """The line of a document at a position; `Problem` invalid-input where there is none."""
    for line in document.lines:
        if line.position == position:
            return line
    raise invalid("/line", "reference", f"the document has lines 1 to {len(document.lines)}")


def check_reason(reason: str) -> None:
    """`Problem` invalid-input for a reason that says nothing: whoever reads it has nothing else to go by."""
    if not reason.strip():
        raise invalid("/reason", "length", "say why; the other side reads it")


def line_name(line: DocumentLine) -> str:
    """What a line is of, wherever it stands on its document: `usage customs/certificate 2026-10 pv_…`."""
    words = (line.kind, line.operation, line.usage_period, line.price_version, line.name)
    return " ".join(word for word in words if word)


def invalid(pointer: str, rule: str, detail: str) -> Problem:
    """`invalid-input` that names what is wrong with what was asked for; `detail` without a full stop."""
    return Problem(
        "invalid-input", f"{pointer or 'the body'}: {detail}.", errors=(FieldError(pointer, rule, detail),)
    )


def _line_of_call(document: Document, operation: str, usage_period: str) -> DocumentLine:
    for line in document.lines:
        if (line.operation, line.usage_period) == (operation, usage_period) and Decimal(line.amount) > 0:
            return line
    raise invalid("/call", "reference", "the call is not charged on this document")

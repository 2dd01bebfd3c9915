"""A document's charges on the account's own cost centres: by its allocation rule, else by who used what.

What credit notes take back is borne in the month that issued them, by those who bore what it takes back: by the rule of the
corrected month, else as the corrected document's own lines were split.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from billing.invoice.document import Document, DocumentLine, document, share_weights
from billing.invoice.month import Month, period_of
from billing.invoice.note_document import credit_note_document
from billing.transaction import Connection
from catalog.accounts.allocation import AllocationRule, list_allocations, rule_for
from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.money import amount_text, plain
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem

Basis = Literal["rule", "usage", "none"]

# What no rule and no use puts on a cost centre stays with the account.
_OWN = ""


class ChargebackPart(msgspec.Struct, frozen=True):
    """What a cost centre bears of a line. `percent` is the rule's; ids and names are empty for the account's own part."""

    cost_centre_id: str
    cost_centre: str
    amount: str
    percent: str | None = None


class ChargebackLine(msgspec.Struct, frozen=True):
    """A line of the document, split; its parts sum to its amount. `rule_id` is the rule that split it. A line of a
    `credit_note` of the month is negative; its position goes on behind those of the document."""

    position: int
    operation: str
    usage_period: str
    amount: str
    basis: Basis
    rule_id: str | None
    parts: tuple[ChargebackPart, ...]
    credit_note: str | None = None


class CostCentreTotal(msgspec.Struct, frozen=True):
    """What a cost centre bears of the whole document, and of the month's credit notes."""

    cost_centre_id: str
    cost_centre: str
    amount: str


class JournalEntry(msgspec.Struct, frozen=True):
    """One side of a line's split: a debit is positive. `account` is `cost_centre:<id>`, or `bill` where it comes from."""

    position: int
    account: str
    amount: str


class Chargeback(msgspec.Struct, frozen=True):
    """A month's document on cost centres, less the credit notes that were issued in the month. The journal sums to zero, line
    by line; the totals sum to the document's less the credit notes'. A month without a document has its first note's id."""

    document_id: str
    number: str | None
    state: str
    account_id: str
    period: str
    currency: str
    lines: tuple[ChargebackLine, ...]
    cost_centres: tuple[CostCentreTotal, ...]
    journal: tuple[JournalEntry, ...]
    total: str


class TakenBack(msgspec.Struct, frozen=True):
    """A credit note's lines, negative, each beside the lines of the corrected document that it takes something back of."""

    number: str
    lines: tuple[tuple[DocumentLine, tuple[DocumentLine, ...]], ...]


# What was credited in a month of an account's calendar; of a dispute, for which operation.
_NOTES = """
    SELECT note.number, invoice.period, dispute.operation
    FROM billing.credit_note AS note JOIN billing.invoice ON invoice.id = note.invoice_id
    JOIN catalog.account ON account.id = note.account_id
    LEFT JOIN billing.dispute_ruling AS ruling ON ruling.credit_note_id = note.id
    LEFT JOIN billing.dispute ON dispute.id = ruling.dispute_id
    WHERE note.account_id = $1 AND note.environment = $2
      AND date_trunc('month', note.issued_at AT TIME ZONE timezone)::date = $3
      AND note.reason NOT IN ('dispute_lost', 'net_credit')
    ORDER BY note.number
"""


async def chargeback(connection: Connection, month: Month) -> Chargeback:
    """The split of a month's document and credit notes; `Problem` not-found where it has neither."""
    notes: list[tuple[Document, TakenBack]] = []
    for row in await connection.fetch(_NOTES, month.account_id, month.environment, month.period.first_day):
        note = await credit_note_document(connection, row["number"])
        corrected = await document(
            connection, Month(month.account_id, month.environment, period_of(row["period"]))
        )
        notes.append((note, _taken_back(note, corrected, row["operation"])))
    try:
        found = await document(connection, month)
    except Problem:
        if not notes:
            raise
        found = msgspec.structs.replace(notes[0][0], lines=(), total="0")
    rules = await list_allocations(connection, month.account_id)
    rows = await connection.fetch(
        "SELECT id, name FROM catalog.cost_centre WHERE account_id = $1", month.account_id
    )
    names = {row["id"]: row["name"] for row in rows}
    return charged_back(found, rules, names, [taken for _, taken in notes])


def _taken_back(note: Document, corrected: Document, operation: str | None) -> TakenBack:
    lines = []
    for line in note.lines:
        of = operation if line.kind == "credited" and operation is not None else line.operation
        beside = tuple(
            one
            for one in corrected.lines
            if one.service == line.service and of in (one.operation, f"{one.service}/*")
        )
        lines.append(
            (msgspec.structs.replace(line, operation=of, amount=plain(-Decimal(line.amount))), beside)
        )
    assert note.number is not None, "a credit note has a number"
    return TakenBack(note.number, tuple(lines))


def charged_back(
    found: Document,
    rules: Iterable[AllocationRule],
    names: Mapping[str, str],
    notes: Iterable[TakenBack] = (),
) -> Chargeback:
    """The split of a document, and of credit notes, by rules in the order of their months. Pure."""
    rules = tuple(rules)
    lines = [_line(line, rules, names, found.currency) for line in found.lines]
    for note in notes:
        for line, beside in note.lines:
            split = _line(line, rules, names, found.currency, _borne(beside, found.currency))
            lines.append(msgspec.structs.replace(split, position=len(lines) + 1, credit_note=note.number))
    totals: dict[tuple[str, str], Decimal] = {}
    for one in lines:
        for part in one.parts:
            whose = (part.cost_centre, part.cost_centre_id)
            totals[whose] = totals.get(whose, Decimal(0)) + Decimal(part.amount)
    journal = tuple(entry for one in lines for entry in _journal(one))
    credited = sum((Decimal(one.amount) for one in lines if one.credit_note is not None), Decimal(0))
    total = Decimal(found.total) + credited
    assert sum(totals.values()) == total, "what cost centres bear is what the documents say"
    assert not sum(Decimal(entry.amount) for entry in journal), "a journal sums to zero"
    return Chargeback(
        found.id,
        found.number,
        found.state,
        found.account_id,
        found.period,
        found.currency,
        tuple(lines),
        tuple(CostCentreTotal(id_, name, plain(amount)) for (name, id_), amount in sorted(totals.items())),
        journal,
        amount_text(total, found.currency),
    )


def _borne(lines: Iterable[DocumentLine], currency: str) -> dict[str, Decimal]:
    """What each cost centre bore of lines by who used what."""
    weights: dict[str, Decimal] = {}
    for line in lines:
        for part in _line(line, (), {}, currency).parts:
            id_ = part.cost_centre_id
            weights[id_] = weights.get(id_, Decimal(0)) + abs(Decimal(part.amount))
    return weights if any(id_ and weight for id_, weight in weights.items()) else {}


def _line(
    line: DocumentLine,
    rules: tuple[AllocationRule, ...],
    names: Mapping[str, str],
    currency: str,
    borne: Mapping[str, Decimal] | None = None,
) -> ChargebackLine:
    """`borne`: how what a line takes back was borne; a line of calls says itself who used it."""
    rule = rule_for(rules, line.service, line.operation, Period.parse(line.usage_period))
    used = _by_usage(line) if borne is None else dict(borne)
    weights, basis = (_by_rule(rule), "rule") if rule is not None else (used, "usage")
    if not weights:
        weights, basis = {_OWN: Decimal(1)}, "none"
    amounts = apportion(Decimal(line.amount), list(weights.values()), currency)
    return ChargebackLine(
        line.position,
        line.operation,
        line.usage_period,
        line.amount,
        basis,  # type: ignore[arg-type] # one of the three literals above
        None if rule is None else rule.id,
        tuple(
            ChargebackPart(
                id_,
                names.get(id_, ""),
                plain(amount),
                None if rule is None else plain(weights[id_]),
            )
            for id_, amount in zip(weights, amounts, strict=True)
        ),
    )


def _by_rule(rule: AllocationRule) -> dict[str, Decimal]:
    return {part.cost_centre_id: Decimal(part.percent) for part in rule.parts}


def _by_usage(line: DocumentLine) -> dict[str, Decimal]:
    """Cost centres by the weights of their shares; nothing where nobody used anything."""
    weights: dict[str, Decimal] = {}
    for share, weight in zip(line.shares, share_weights(line), strict=True):
        weights[share.cost_centre_id] = weights.get(share.cost_centre_id, Decimal(0)) + weight
    return weights if any(weights.values()) else {}


def _journal(line: ChargebackLine) -> Iterable[JournalEntry]:
    if Decimal(line.amount):
        yield JournalEntry(line.position, "bill", plain(-Decimal(line.amount)))
    for part in line.parts:
        if Decimal(part.amount):
            account = f"cost_centre:{part.cost_centre_id}" if part.cost_centre_id else "account"
            yield JournalEntry(line.position, account, part.amount)

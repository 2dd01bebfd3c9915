"""A document's charges on the account's own cost centres: by its allocation rule, else by who used what."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from billing.invoice.document import Document, DocumentLine, document, share_weights
from billing.invoice.month import Month
from billing.transaction import Connection
from catalog.accounts.allocation import AllocationRule, list_allocations, rule_for
from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period

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
    """A line of the document, split; its parts sum to its amount. `rule_id` is the rule that split it."""

    position: int
    operation: str
    usage_period: str
    amount: str
    basis: Basis
    rule_id: str | None
    parts: tuple[ChargebackPart, ...]


class CostCentreTotal(msgspec.Struct, frozen=True):
    """What a cost centre bears of the whole document."""

    cost_centre_id: str
    cost_centre: str
    amount: str


class JournalEntry(msgspec.Struct, frozen=True):
    """One side of a line's split: a debit is positive. `account` is `cost_centre:<id>`, or `bill` where it comes from."""

    position: int
    account: str
    amount: str


class Chargeback(msgspec.Struct, frozen=True):
    """A month's document on cost centres. The journal sums to zero, line by line; the totals sum to the document's."""

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


async def chargeback(connection: Connection, month: Month) -> Chargeback:
    """The split of a month's document; `Problem` not-found where it has none."""
    found = await document(connection, month)
    rules = await list_allocations(connection, month.account_id)
    rows = await connection.fetch(
        "SELECT id, name FROM catalog.cost_centre WHERE account_id = $1", month.account_id
    )
    return charged_back(found, rules, {row["id"]: row["name"] for row in rows})


def charged_back(found: Document, rules: Iterable[AllocationRule], names: Mapping[str, str]) -> Chargeback:
    """The split of a document by rules in the order of their months. Pure."""
    rules = tuple(rules)
    lines = tuple(_line(line, rules, names, found.currency) for line in found.lines)
    totals: dict[tuple[str, str], Decimal] = {}
    for line in lines:
        for part in line.parts:
            whose = (part.cost_centre, part.cost_centre_id)
            totals[whose] = totals.get(whose, Decimal(0)) + Decimal(part.amount)
    journal = tuple(entry for line in lines for entry in _journal(line))
    assert sum(totals.values()) == Decimal(found.total), "what cost centres bear is what the document says"
    assert not sum(Decimal(entry.amount) for entry in journal), "a journal sums to zero"
    return Chargeback(
        found.id,
        found.number,
        found.state,
        found.account_id,
        found.period,
        found.currency,
        lines,
        tuple(CostCentreTotal(id_, name, plain(amount)) for (name, id_), amount in sorted(totals.items())),
        journal,
        found.total,
    )


def _line(
    line: DocumentLine, rules: tuple[AllocationRule, ...], names: Mapping[str, str], currency: str
) -> ChargebackLine:
    rule = rule_for(rules, line.service, line.operation, Period.parse(line.usage_period))
    weights, basis = (_by_rule(rule), "rule") if rule is not None else (_by_usage(line), "usage")
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

"""What comes off the bills of issued months if some of their lines were less: their terms and taxes with them.

It is what the months' documents and credit notes come to now, minus what they would come to, by the terms that the
months were issued by. A discount and a tax come off with their part of a line; a minimum takes back what a line is less by.
Less spending in a committed span moves the span's last month. The parts of several reductions sum to those of all of them
together, in any order, for each is the difference of two whole bills.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

from billing.invoice.contract import Contracted
from billing.invoice.month import Month, Payer, period_of
from billing.invoice.settle import Less, settled_charges
from billing.invoice.terms import NO_TERMS, MonthTerms, decode_terms
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period

# Later than anything is issued: a bill as it stands on all issued documents.
_ISSUED = datetime(9999, 1, 1, tzinfo=UTC)
_NOTHING = Decimal(0)


PartKind: TypeAlias = Literal["line", "fee", "discount", "top_up", "true_up", "tax"]


class PartKey(msgspec.Struct, frozen=True):
    """What is less on the bill of a month: lines of a service (`line`), or one of its charges."""

    period: Period
    kind: PartKind
    service: str
    name: str


class Part(msgspec.Struct, frozen=True):
    """So much comes off, or, negative, is added by the terms; `base` is how much less the charge is taken of."""

    amount: Decimal
    base: Decimal


class LessUsed(msgspec.Struct, frozen=True):
    """A positive amount that the lines of a service in a month are to be less by."""

    period: Period
    service: str
    amount: Decimal


Parts = Mapping[PartKey, Part]


def sum_of(parts: Parts) -> Decimal:
    """What comes off the bills in all."""
    return sum((part.amount for part in parts.values()), _NOTHING)


async def taken_off(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    reductions: Iterable[LessUsed],
    besides: Iterable[LessUsed] = (),
) -> Parts:
    """What comes off for these reductions, where those `besides` are made as well; parts of nothing are left out.

    Everything is rounded as the bills are. The caller holds the account's books.
    """
    besides = tuple(besides)
    whole = await _taken_off(connection, payer, environment, (*besides, *reductions))
    known = await _taken_off(connection, payer, environment, besides) if besides else {}
    return _difference(whole, known)


async def _taken_off(
    connection: Connection, payer: Payer, environment: Environment, reductions: Iterable[LessUsed]
) -> Parts:
    found: dict[PartKey, Part] = {}
    for one in reductions:
        key = PartKey(one.period, "line", one.service, "")
        amount = one.amount + (found[key].amount if key in found else _NOTHING)
        found[key] = Part(amount, amount)
    months = await _months(connection, payer.id, environment, {key.period for key in found})
    for period, terms in sorted(months.items()):
        month = Month(payer.id, environment, period)
        less = [Less(key.period, key.kind, key.service, part.amount) for key, part in found.items()]
        now = _charges(period, await settled_charges(connection, payer, month, terms, _ISSUED))
        then = _charges(period, await settled_charges(connection, payer, month, terms, _ISSUED, less))
        found |= _difference(now, then)
    return found


def _charges(period: Period, charged: Iterable[Contracted]) -> Parts:
    return {PartKey(period, one.kind, one.service, one.name): Part(one.amount, one.base) for one in charged}


def _difference(now: Parts, then: Parts) -> Parts:
    """What is more now than then, or, negative, less; without what is the same."""
    nothing = Part(_NOTHING, _NOTHING)
    pairs = ((key, now.get(key, nothing), then.get(key, nothing)) for key in {**now, **then})
    return {
        key: Part(more.amount - less.amount, more.base - less.base)
        for key, more, less in pairs
        if more.amount != less.amount
    }


async def _months(
    connection: Connection, account_id: str, environment: Environment, periods: Iterable[Period]
) -> Mapping[Period, MonthTerms]:
    """These months, and the last ones of their committed spans, with their terms; as far as they are issued."""
    found = await _terms(connection, account_id, environment, periods)
    ends = {
        end
        for period, terms in found.items()
        for one in terms.contracts
        if (end := one.commitment_ends(period)) is not None
    }
    return {**found, **await _terms(connection, account_id, environment, ends - found.keys())}


async def _terms(
    connection: Connection, account_id: str, environment: Environment, periods: Iterable[Period]
) -> Mapping[Period, MonthTerms]:
    rows = await connection.fetch(
        "SELECT period, terms FROM billing.invoice "
        "WHERE account_id = $1 AND environment = $2 AND period = ANY($3) AND state = 'issued'",
        account_id,
        environment,
        [period.first_day for period in periods],
    )
    found = {period_of(row["period"]): decode_terms(row["terms"]) for row in rows}
    return {period: terms for period, terms in found.items() if terms != NO_TERMS}

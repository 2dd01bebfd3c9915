"""What a month's results cost: the amounts that its lines come to, rounded once as they are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

import msgspec

from billing.invoice.month import Month, Payer
from billing.invoice.parts import counts_days, shares
from billing.invoice.price import Prices, prices_of
from billing.invoice.success_counts import has_success_factor, success_counts
from billing.invoice.used import LineKey
from billing.rate import CallCounts, Usage, rate_part
from billing.result.rows import ResultState, ResultSum
from billing.transaction import Connection
from catalog.plan.price import Outcome
from catalog.vocabulary.money import EXACT

Costs = Mapping[LineKey, Mapping[ResultState, Decimal]]
"""By line: what its accepted results cost, and what its open ones, or its declined ones, would add to that."""


def open_total(costs: Costs) -> Decimal:
    """What the open results of all lines add to the bill."""
    return sum((line["stated"] for line in costs.values()), Decimal(0))


async def costs_of(connection: Connection, payer: Payer, month: Month, sums: Iterable[ResultSum]) -> Costs:
    """The costs of results whose shares are summed by line and state. What is added is the difference of two amounts, each
    rounded once, as the lines of documents are."""
    found: dict[LineKey, dict[ResultState, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for one in sums:
        line = found[LineKey(one.subscription_id, one.operation, one.price_version)]
        line[one.state] = EXACT.add(line[one.state], one.share)
    if not found:
        return {}
    prices = await prices_of(connection, found)
    costs = {}
    for key, line in found.items():
        price = prices.versions[key.price_version].price
        assert isinstance(price, Outcome), "results are of outcome prices"
        counts = await success_counts(connection, month, key.operation) if has_success_factor(price) else None
        costs[key] = _line_costs(price, counts, line, payer.currency, _held_for(prices, key, payer, month))
    return costs


def _line_costs(
    price: Outcome,
    counts: CallCounts | None,
    line: Mapping[ResultState, Decimal],
    currency: str,
    held: Fraction,
) -> Mapping[ResultState, Decimal]:
    # The shares of the single results are summed already: of their sum all is due.
    whole = msgspec.structs.replace(price, rate_pct="100", of=None, min=None, max=None)

    def due(state: ResultState) -> Decimal:
        shared = accepted if state == "accepted" else EXACT.add(accepted, line.get(state, Decimal(0)))
        return rate_part(whole, Usage(shared, counts), currency, share=held).amount

    accepted = line.get("accepted", Decimal(0))
    before = due("accepted")
    return {"accepted": before, "stated": due("stated") - before, "declined": due("declined") - before}


def _held_for(prices: Prices, key: LineKey, payer: Payer, month: Month) -> Fraction:
    """The share of the month's days that the line's price held for, where anything of it counts by days."""
    siblings = prices.siblings(prices.versions[key.price_version])
    if not any(counts_days(one) for one in siblings):
        return Fraction(1)
    life = prices.lives.get(key.subscription_id)
    return shares(siblings, month.period, payer.timezone, life).get(key.price_version, Fraction(0))

"""Shares of a value: event by event, or of a proven result."""

from collections.abc import Iterable
from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce

from billing.rate.trace import Step, StepName, priced
from billing.rate.usage import Events, Improvement, Usage, UsageError
from catalog.plan.price import Outcome, Percentage

# A month has many results, and fractions of each are slow. Results, rates and bounds have at most 76, 38 and 38 digits: nothing
# that is made of them and of the number of results is ever rounded.
_WIDE = Context(prec=200)


def percentage(usage: Usage, price: Percentage) -> list[Step]:
    """One share per event. The free run ends with the free events or the free amount, whichever is first."""
    rate, fixed = Fraction(price.rate_pct) / 100, Fraction(price.fixed_per_event)
    free_events = int(price.free_events or 0) or None
    free_left = Fraction(price.free_amount or 0) or None
    free_run = free_events is not None or free_left is not None
    steps: list[Step] = []
    for index, value in enumerate(_event_values(usage)):
        free_run = free_run and index != free_events and free_left != 0
        free = Fraction(0)
        if free_run:
            free = value if free_left is None else min(value, free_left)
            free_left = None if free_left is None else free_left - free
            if free == value:
                continue
        charged = priced(value - free, rate, fixed)
        steps.append(charged)
        steps.extend(_bounds(charged.amount, price.min_per_event, price.max_per_event, "event_bounds"))
    return steps


def outcome(usage: Usage, price: Outcome) -> list[Step]:
    """A share of each proven result; a result that is not above zero owes nothing. The trace has one step of all results, and
    one of what the bounds of single results change."""
    gained = [result for result in _results(usage) if result > 0]
    if not gained:
        return []
    rate = Decimal(price.rate_pct).scaleb(-2, context=_WIDE)
    whole = priced(Fraction(_sum(gained)), Fraction(rate))
    moved = _sum(_moved(_WIDE.multiply(result, rate), price) for result in gained)
    return [whole, Step(Fraction(moved), "result_bounds")] if moved else [whole]


def _moved(share: Decimal, price: Outcome) -> Decimal:
    """What the bounds of one result add to its share, or take from it."""
    bounded = share if price.min is None else max(share, Decimal(price.min))
    bounded = bounded if price.max is None else min(bounded, Decimal(price.max))
    return _WIDE.subtract(bounded, share)


def _sum(values: Iterable[Decimal]) -> Decimal:
    return reduce(_WIDE.add, values, Decimal(0))


def _event_values(usage: Usage) -> Iterable[Fraction]:
    match usage.measured:
        case Events(values):
            found = tuple(map(Fraction, values))
        case Decimal() as value:
            found = (Fraction(value),) if value else ()
        case _:
            raise UsageError("a percentage is taken of a value, or of the values of single events")
    if any(value < 0 for value in found):
        raise UsageError("the value of an event is never below zero")
    return found


def _results(usage: Usage) -> Iterable[Decimal]:
    match usage.measured:
        case Improvement(baseline, measured, volume):
            if volume < 0:
                raise UsageError("the volume of a result is never below zero")
            return (_WIDE.multiply(_WIDE.subtract(baseline, measured), volume),)
        case Events(values):
            return values
        case Decimal() as value:
            return (value,)
        case _:
            raise UsageError("an outcome is stated as baseline, measured and volume, or as the result itself")


def _bounds(amount: Fraction, low: str | None, high: str | None, name: StepName) -> Iterable[Step]:
    bounded = amount if low is None else max(amount, Fraction(low))
    bounded = bounded if high is None else min(bounded, Fraction(high))
    return (Step(bounded - amount, name),) if bounded != amount else ()

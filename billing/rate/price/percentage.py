"""Shares of a value: event by event, or of a proven result."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from billing.rate.trace import Step, StepName, priced
from billing.rate.usage import Events, Improvement, Usage, UsageError
from catalog.plan.price import Outcome, Percentage


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
    """A share of each proven result; a result that is not above zero owes nothing."""
    rate = Fraction(price.rate_pct) / 100
    steps: list[Step] = []
    for result in _results(usage):
        if result > 0:
            share = priced(result, rate)
            steps.append(share)
            steps.extend(_bounds(share.amount, price.min, price.max, "result_bounds"))
    return steps


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


def _results(usage: Usage) -> Iterable[Fraction]:
    match usage.measured:
        case Improvement(baseline, measured, volume):
            if volume < 0:
                raise UsageError("the volume of a result is never below zero")
            return ((Fraction(baseline) - Fraction(measured)) * Fraction(volume),)
        case Events(values):
            return tuple(map(Fraction, values))
        case Decimal() as value:
            return (Fraction(value),)
        case _:
            raise UsageError("an outcome is stated as baseline, measured and volume, or as the result itself")


def _bounds(amount: Fraction, low: str | None, high: str | None, name: StepName) -> Iterable[Step]:
    bounded = amount if low is None else max(amount, Fraction(low))
    bounded = bounded if high is None else min(bounded, Fraction(high))
    return (Step(bounded - amount, name),) if bounded != amount else ()

"""Before the price: which quantity is billed. Free units come off first, then units are converted."""

from decimal import Decimal
from fractions import Fraction
from typing import Literal

from billing.rate.usage import Events, Usage, UsageError
from catalog.plan.price import Package, QuantityModifiers


def used_quantity(usage: Usage) -> Fraction:
    """The one quantity that was used; single events are summed. UsageError for other shapes or below zero."""
    match usage.measured:
        case Decimal() as value:
            quantity = Fraction(value)
        case Events(values):
            quantity = sum(map(Fraction, values), Fraction(0))
        case _:
            raise UsageError("this model prices one quantity: a decimal string, or calls and successes")
    if quantity < 0:
        raise UsageError("the cumulative quantity of a period is never below zero")
    return quantity


def billed_quantity(price: QuantityModifiers | Package, usage: Usage) -> Fraction:
    """The quantity that the price is applied to."""
    quantity = max(Fraction(0), used_quantity(usage) - Fraction(price.free_units))
    if isinstance(price, Package):
        return quantity
    return round_quantity(quantity / Fraction(price.divide_by), price.round)


def round_quantity(value: Fraction, mode: Literal["up", "down", "half_up", "none"]) -> Fraction:
    """A quantity that is not negative, rounded to whole units."""
    match mode:
        case "up":
            return Fraction(-(-value // 1))
        case "down":
            return Fraction(value // 1)
        case "half_up":
            return Fraction((value + Fraction(1, 2)) // 1)
        case "none":
            return value

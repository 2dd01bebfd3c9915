"""Prices of usage that is more than one number: capacity of several units, cells of a matrix."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from billing.rate.trace import Step, priced
from billing.rate.usage import CapacityPeaks, Cells, Usage, UsageError
from catalog.plan.price import Capacity, CapacityTier, Matrix


def capacity(usage: Usage, price: Capacity) -> list[Step]:
    """The fee of the first tier that has room for every unit, which is the highest that any unit needs."""
    if not isinstance(usage.measured, CapacityPeaks):
        raise UsageError("capacity is stated per unit, an object of unit names and decimal strings")
    peaks = usage.measured.units
    known = price.tiers[0].max
    unknown = [] if known is None else sorted(peaks.keys() - known.keys())
    if unknown:
        raise UsageError(f"no tier bounds {', '.join(unknown)}; the units are {', '.join(known or ())}")
    if min(peaks.values(), default=0) < 0:
        raise UsageError("a capacity is never below zero")
    if not (any(peaks.values()) or usage.measured.period_used or price.zero_usage_bills_first_tier_flat):
        return []
    place = next(place for place, tier in enumerate(price.tiers) if _has_room(tier, peaks))
    fee = Fraction(price.tiers[place].price)
    return [*_needed(price.tiers, place, peaks), priced(Fraction(0), Fraction(0), fee)]


def _has_room(tier: CapacityTier, peaks: Mapping[str, Decimal]) -> bool:
    return tier.max is None or all(peak <= Decimal(tier.max[unit]) for unit, peak in peaks.items())


def _needed(tiers: Sequence[CapacityTier], place: int, peaks: Mapping[str, Decimal]) -> Iterator[Step]:
    """What made the tier the one: the units that the tier below has no room for; all that fit into the lowest."""
    bounds = tiers[place].max or {}
    below = tiers[place - 1].max if place else None
    for unit, peak in peaks.items():
        if below is None or peak > Decimal(below[unit]):
            yield Step(Fraction(0), "capacity", bounds.get(unit), Fraction(peak), unit=unit)


def matrix(usage: Usage, price: Matrix) -> list[Step]:
    """Each cell's quantity at its combination's price, or at the default where the combination has none. UsageError for
    one that has neither."""
    if not isinstance(usage.measured, Cells):
        raise UsageError("a matrix prices cells, each with its dimensions and a quantity")
    steps = []
    for cell in usage.measured.cells:
        if cell.dimensions.keys() != set(price.dimensions):
            raise UsageError(f"each cell gives a value for each dimension: {', '.join(price.dimensions)}")
        if cell.quantity < 0:
            raise UsageError("the quantity of a cell is never below zero")
        unit_price = price.unit_price(cell.dimensions)
        if unit_price is None:
            named = ", ".join(f"{name} {cell.dimensions[name]!r}" for name in price.dimensions)
            raise UsageError(f"the matrix has no cell for {named}, and no default")
        steps.append(priced(Fraction(cell.quantity), Fraction(unit_price)))
    return steps

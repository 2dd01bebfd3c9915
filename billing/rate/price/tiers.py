"""Graduated and volume tiers, on units or on value. Upper bounds are inclusive."""

from collections.abc import Sequence
from fractions import Fraction

from billing.rate.trace import Step, priced
from catalog.plan.price import PercentageTier, Tier


def graduated(quantity: Fraction, tiers: Sequence[Tier | PercentageTier], bill_zero: bool) -> list[Step]:
    """Each unit at its own tier; a fraction of a unit beyond a bound enters the next tier and owes its flat fee."""
    if quantity == 0:
        return _nothing_used(tiers, bill_zero)
    steps = []
    lower = Fraction(0)
    for tier in tiers:
        upper = quantity if tier.up_to is None else min(quantity, Fraction(tier.up_to))
        steps.append(_priced(upper - lower, tier))
        lower = upper
        if lower == quantity:
            break
    return steps


def volume(quantity: Fraction, tiers: Sequence[Tier | PercentageTier], bill_zero: bool) -> list[Step]:
    """All units at the tier that the total falls into; more usage may therefore cost less."""
    if quantity == 0:
        return _nothing_used(tiers, bill_zero)
    reached = next(tier for tier in tiers if tier.up_to is None or quantity <= Fraction(tier.up_to))
    return [_priced(quantity, reached)]


def _nothing_used(tiers: Sequence[Tier | PercentageTier], bill_zero: bool) -> list[Step]:
    return [_priced(Fraction(0), tiers[0])] if bill_zero else []


def _priced(quantity: Fraction, tier: Tier | PercentageTier) -> Step:
    unit_price = Fraction(tier.unit_price) if isinstance(tier, Tier) else Fraction(tier.rate_pct) / 100
    return priced(quantity, unit_price, Fraction(tier.flat_fee), tier.up_to)

"""An amount divided without a remainder: by largest remainder, so that the parts always sum to the whole."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from catalog.vocabulary.money import exponent


def apportion(
    amount: Decimal, weights: Sequence[Decimal | Fraction | int], currency: str
) -> tuple[Decimal, ...]:
    """The parts of an amount in whole minor units, one for each weight; equal remainders go to the earlier part.

    Weights are not negative and not all zero; the amount may be negative, and is in whole minor units.
    """
    assert weights and min(weights) >= 0, "weights are not negative"
    total = sum((Fraction(weight) for weight in weights), Fraction(0))
    assert total, "something has a weight"
    places = exponent(currency)
    minor = int(abs(amount).scaleb(places))
    assert minor == abs(amount).scaleb(places), "only whole minor units are divided"
    exact = [Fraction(weight) * minor / total for weight in weights]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in by_remainder[: minor - sum(parts)]:
        parts[place] += 1
    sign = -1 if amount < 0 else 1
    return tuple(Decimal(sign * part).scaleb(-places) for part in parts)

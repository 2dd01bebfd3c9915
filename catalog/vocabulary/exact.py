"""From exact fractions to decimals: nothing is rounded on the way to an amount, and the amount once.

Decimals alone would not do: a conversion such as `divide_by: "60"` has no finite decimal.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Literal

LineRounding = Literal["half_up", "half_even"]

# Places of a precise amount that has no finite decimal form; far below any minor unit.
_PLACES = 30


def round_to(value: Fraction, places: int, mode: LineRounding = "half_up") -> Decimal:
    """Rounded once to `places` decimals; half-up rounds ties away from zero."""
    scaled = value * 10**places
    if mode == "half_even":
        units = round(scaled)
    else:
        size = int(abs(scaled) + Fraction(1, 2))
        units = size if scaled > 0 else -size
    return Decimal(f"{units}E-{places}")


def to_decimal(value: Fraction) -> Decimal:
    """The decimal of a fraction: exact wherever one exists, else half-up to 30 places."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return round_to(value, max(twos, fives) if rest == 1 else _PLACES)

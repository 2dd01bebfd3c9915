"""A second, slow reading of capacities: tier by tier, from single calls, as somebody would judge them with a list in hand."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

import msgspec


class SlowUse(msgspec.Struct, frozen=True):
    """A billed call at a moment of the payer's own clock, with its offset from UTC; `part` tells the version that it was made under."""

    local: datetime
    units: int
    part: int


def slow_fee(fields: Mapping[str, Any], uses: Iterable[SlowUse], parts: Sequence[int], last: int) -> Fraction:
    """A whole month's fee of a capacity price: days and hours of these `parts`, totals of all parts up to the `last` of them."""
    own = [one for one in uses if one.part in parts]
    so_far = [one for one in uses if one.part <= last]
    needs = {
        "calls": len(so_far),
        "units": sum(one.units for one in so_far),
        "calls_per_day": _most(own, lambda one: (one.local.date(), 1)),
        "units_per_day": _most(own, lambda one: (one.local.date(), one.units)),
        "calls_per_hour": _most(own, lambda one: (_hour(one.local), 1)),
        "units_per_hour": _most(own, lambda one: (_hour(one.local), one.units)),
    }
    bounded = fields["tiers"][0]["max"] or {}
    return max(
        (_fee_for(fields, unit, needs[unit]) for unit in bounded),
        default=(0, Fraction(fields["tiers"][0]["price"])),
    )[1]


def _fee_for(fields: Mapping[str, Any], unit: str, need: int) -> tuple[int, Fraction]:
    """The place and the fee of the first tier that one unit alone needs."""
    place = 0
    while (bounds := fields["tiers"][place]["max"]) is not None and need > Fraction(bounds[unit]):
        place += 1
    return place, Fraction(fields["tiers"][place]["price"])


def _most(uses: Iterable[SlowUse], counted: Any) -> int:
    sums: Counter[object] = Counter()
    for one in uses:
        when, count = counted(one)
        sums[when] += count
    return max(sums.values(), default=0)


def _hour(local: datetime) -> tuple[object, ...]:
    """An hour of the wall clock; where it is put back, the hour that comes again is another one."""
    return local.date(), local.hour, local.utcoffset()

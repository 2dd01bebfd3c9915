"""When a month's calls come in: along the working day and the week of the caller's own clock, the same every time."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

import msgspec

from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.period import Period

# By the local hour: orders rise through the morning, dip at lunch and have a second peak in the evening.
_HOURS = (6, 4, 3, 2, 2, 4, 9, 18, 38, 62, 74, 68, 46, 58, 70, 68, 62, 54, 46, 48, 52, 46, 28, 12)
# Monday to Sunday.
_DAYS = (10, 10, 10, 10, 11, 7, 6)

_HOUR_NS = 3_600_000_000_000
# Positions are counted in this fraction of a weight, so that calls fall between the full hours too.
_FINE_BITS = 32


class _Curve(msgspec.Struct, frozen=True):
    """A month's hours and the sum of the weights up to and including each."""

    starts_ns: tuple[int, ...]
    cumulative: tuple[int, ...]


def call_times(period: Period, timezone: str, count: int, random: Random) -> Iterator[int]:
    """`count` moments of a month on a zone's calendar (UTC nanoseconds), ascending.

    The month's traffic is cut into `count` equal parts, and one call falls into each.
    """
    curve = _curve(period, timezone)
    total = curve.cumulative[-1]
    for index in range(count):
        position = ((index << _FINE_BITS) + random.getrandbits(_FINE_BITS)) * total // count
        hour = bisect_right(curve.cumulative, position >> _FINE_BITS)
        before = curve.cumulative[hour - 1] if hour else 0
        weight = curve.cumulative[hour] - before
        into_hour = (position - (before << _FINE_BITS)) * _HOUR_NS // (weight << _FINE_BITS)
        yield curve.starts_ns[hour] + into_hour


@cache
def _curve(period: Period, timezone: str) -> _Curve:
    start, end = period.bounds(timezone)
    hours = [start + timedelta(hours=number) for number in range((end - start) // timedelta(hours=1))]
    local = [hour.astimezone(ZoneInfo(timezone)) for hour in hours]
    weights = (_HOURS[hour.hour] * _DAYS[hour.weekday()] for hour in local)
    return _Curve(tuple(to_ns(hour) for hour in hours), tuple(accumulate(weights)))

"""A month's calls as bars, one a day, stacked by service: geometry for an SVG, in its own units."""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from billing.view import DayUsage
from catalog.vocabulary.period import Period

WIDTH, HEIGHT = 720, 160
_GAP = 4
# Beyond six colours nobody can tell bars apart: the rest shares the last one.
_SERIES_MAX = 6


class Bar(msgspec.Struct, frozen=True):
    """A piece of a day's bar; `series` chooses its colour."""

    x: float
    y: float
    width: float
    height: float
    series: int
    service: str
    day: date
    calls: int


class Picture(msgspec.Struct, frozen=True):
    """The bars, the busiest day's calls (the top of the scale) and the services in the order of their colours."""

    bars: tuple[Bar, ...]
    most: int
    services: tuple[str, ...]
    first: date
    last: date


def picture(period: Period, days: Sequence[DayUsage]) -> Picture:
    """The picture of a month; without calls it has no bars and a scale of 0."""
    first = period.first_day
    last = period.next().first_day - timedelta(days=1)
    services = tuple(sorted({one.service for one in days}))
    totals: dict[date, int] = {}
    for one in days:
        totals[one.day] = totals.get(one.day, 0) + one.calls
    most = max(totals.values(), default=0)
    step = WIDTH / ((last - first).days + 1)
    filled: dict[date, float] = {}
    bars = []
    for one in sorted(days, key=lambda one: (one.day, one.service)):
        height = HEIGHT * one.calls / most
        bottom = filled.get(one.day, 0.0)
        filled[one.day] = bottom + height
        bars.append(
            Bar(
                round((one.day - first).days * step + _GAP / 2, 2),
                round(HEIGHT - bottom - height, 2),
                round(step - _GAP, 2),
                round(height, 2),
                min(services.index(one.service), _SERIES_MAX - 1),
                one.service,
                one.day,
                one.calls,
            )
        )
    return Picture(tuple(bars), most, services, first, last)

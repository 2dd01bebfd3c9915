"""Availability: the average over the five-minute intervals of a window. Pure.

An interval is as good as the worse of two witnesses: the share of its requests that did not end in an error of ours, and
the share of its minutes in which the outside probe was answered. One without requests and without a miss is good, as
in the published agreements of the large API gateways. Each interval weighs the same, so a night without callers cannot
hide an outage at noon, nor one failed call among three a whole month. Intervals in announced maintenance are left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

import msgspec

from billing.rollup.service_level import INTERVAL_MINUTES
from billing.sla.attainment import Share

_INTERVAL = timedelta(minutes=INTERVAL_MINUTES)


class Window(msgspec.Struct, frozen=True):
    """From one instant to another, end-exclusive."""

    starts_at: datetime
    ends_at: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.starts_at <= moment < self.ends_at


class Ended(msgspec.Struct, frozen=True):
    """How the requests of an interval ended: those that the caller did not spoil, and our errors among them."""

    judged: int
    failures: int


def interval_of(moment: datetime) -> datetime:
    """The start of the interval that a moment falls into."""
    return moment - timedelta(
        minutes=moment.minute % INTERVAL_MINUTES, seconds=moment.second, microseconds=moment.microsecond
    )


def availability(
    window: Window,
    ended: Mapping[datetime, Ended],
    missed: Mapping[datetime, Fraction],
    maintenance: Sequence[Window],
) -> Share:
    """The good part of a window's intervals.

    `ended` has the intervals with failures, by their start; `missed` the minutes in which the probe missed, with the
    share of the operations that did not answer. `window` and `maintenance` are whole intervals.
    """
    lost_by_probe: dict[datetime, Fraction] = {}
    for minute, share in missed.items():
        start = interval_of(minute)
        lost_by_probe[start] = lost_by_probe.get(start, Fraction(0)) + share / INTERVAL_MINUTES
    lost = Fraction(0)
    for start in ended.keys() | lost_by_probe.keys():
        if start in window and not any(start in one for one in maintenance):
            requests = ended.get(start)
            by_requests = Fraction(requests.failures, requests.judged) if requests else Fraction(0)
            lost += max(by_requests, lost_by_probe.get(start, Fraction(0)))
    total = (window.ends_at - window.starts_at) // _INTERVAL - _covered(window, maintenance)
    return Share(total - lost, total)


def _covered(window: Window, maintenance: Iterable[Window]) -> int:
    """How many intervals of a window lie in maintenance; windows may overlap."""
    covered = 0
    reached = window.starts_at
    for one in sorted(maintenance, key=lambda each: each.starts_at):
        starts_at, ends_at = max(one.starts_at, reached), min(one.ends_at, window.ends_at)
        if starts_at < ends_at:
            covered += (ends_at - starts_at) // _INTERVAL
            reached = ends_at
    return covered

"""Latencies under bounds of three significant digits, as `billing.rollup.service_level` counts them. Pure.

Why not DDSketch or t-digest: both are estimates, and their buckets fall beside the promised bound, so that whether a
month kept "95 % within 150 ms" would be a guess for the calls next to it. These bounds are decimal, a promise may
have three digits at most, and so its share is exact; quantiles for people are at most 1 % above the true value. Counts
under fixed bounds merge by addition, which SQL does as well as Python.
"""

from collections.abc import Mapping
from fractions import Fraction

from billing.sla.attainment import Share

_DIGITS = 3


def bound_of(latency_us: int) -> int:
    """The smallest number of at most three significant digits that is not below a latency of whole microseconds."""
    step: int = 10 ** max(len(str(latency_us)) - _DIGITS, 0)
    return -(-latency_us // step) * step


def within(counts: Mapping[int, int], latency_us_max: int) -> Share:
    """The share of calls that took at most so long; exact for a bound of at most three significant digits."""
    assert bound_of(latency_us_max) == latency_us_max, "the promise falls on a bound"
    good = sum(calls for bound, calls in counts.items() if bound <= latency_us_max)
    return Share(Fraction(good), sum(counts.values()))


def quantile_us(counts: Mapping[int, int], quantile: Fraction) -> int | None:
    """The nearest-rank quantile, never below the true one and at most 1 % above; None of no calls."""
    rank = -(-quantile.numerator * sum(counts.values()) // quantile.denominator)
    seen = 0
    for bound in sorted(counts):
        seen += counts[bound]
        if seen >= rank:
            return bound
    return None

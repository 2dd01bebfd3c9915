"""Quantity times price: pure rating, exact until the one rounding of a line."""

from billing.rate.rating import Rating, rate, rate_difference, rate_part
from billing.rate.trace import TierTrace
from billing.rate.usage import (
    Attainment,
    Buckets,
    CallCounts,
    CapacityPeaks,
    Cell,
    Cells,
    Events,
    Improvement,
    Usage,
    UsageError,
)

__all__ = [
    "Attainment",
    "Buckets",
    "CallCounts",
    "CapacityPeaks",
    "Cell",
    "Cells",
    "Events",
    "Improvement",
    "Rating",
    "TierTrace",
    "Usage",
    "UsageError",
    "rate",
    "rate_difference",
    "rate_part",
]

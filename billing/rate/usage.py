"""What was used in a period, in the shape that a price model asks for."""

from decimal import Decimal
from typing import TypeAlias

import msgspec


class CallCounts(msgspec.Struct, frozen=True):
    """How a period's calls ended. Calls that were rightly declined are successes, whether they are billed or not; those that
    failed by the caller's own fault do not count for the success rate."""

    calls: Decimal
    successes: Decimal
    caller_faults: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        """ValueError for counts that no period can have."""
        if min(self.calls, self.successes, self.caller_faults) < 0:
            raise ValueError("counts are never negative")
        if self.successes + self.caller_faults > self.calls:
            raise ValueError("there are more successes and caller faults than calls")

    @property
    def judged(self) -> Decimal:
        """The calls that the success rate is taken of."""
        return self.calls - self.caller_faults


class Events(msgspec.Struct, frozen=True):
    """The values of single events, in the order in which they occurred."""

    values: tuple[Decimal, ...]


class Buckets(msgspec.Struct, frozen=True):
    """One quantity per time bucket."""

    quantities: tuple[Decimal, ...]


class CapacityPeaks(msgspec.Struct, frozen=True):
    """The most that was needed of each unit; a unit that is missing was not used. `period_used` says that the period used
    something besides, so that a part of it in which nothing was used is none of a period without usage."""

    units: dict[str, Decimal]
    period_used: bool = False

    def __hash__(self) -> int:
        """Equal peaks have equal hashes, in whatever order they name their units."""
        return hash((frozenset(self.units.items()), self.period_used))


class Cell(msgspec.Struct, frozen=True):
    """A quantity of one combination of dimensions."""

    dimensions: dict[str, str]
    quantity: Decimal

    def __hash__(self) -> int:
        """Equal cells have equal hashes, in whatever order they name their dimensions."""
        return hash((frozenset(self.dimensions.items()), self.quantity))


class Cells(msgspec.Struct, frozen=True):
    """Quantities by combination of dimensions."""

    cells: tuple[Cell, ...]


class Improvement(msgspec.Struct, frozen=True):
    """A proven result: the cost of one unit before and after, and how many units there were."""

    baseline: Decimal
    measured: Decimal
    volume: Decimal


class Attainment(msgspec.Struct, frozen=True):
    """What a service reached of its objective (percent), and what it charged for the window."""

    uptime_pct: Decimal
    bill: Decimal


Measured: TypeAlias = Decimal | Events | Buckets | CapacityPeaks | Cells | Improvement | Attainment


class Usage(msgspec.Struct, frozen=True):
    """What is billed, and how the calls ended where the price depends on it.

    `measured` is the billed quantity (or the shape the model needs); `calls` the period's counts; `trailing` the
    counts of the three months up to it, for a period with too small a sample.
    """

    measured: Measured
    calls: CallCounts | None = None
    trailing: CallCounts | None = None


class UsageError(ValueError):
    """Usage that a price model cannot rate: it needs another shape."""

"""Which months the demo shows, and when its books of a month are closed."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from catalog.vocabulary.period import Period

_CLOSED = 3
# The group's accountants close a month on the next morning, when it is over for the last member.
_CLOSING_AFTER = timedelta(hours=6)


class Months(msgspec.Struct, frozen=True):
    """The months of the demo, oldest first: those that are closed, and the one that is running."""

    closed: tuple[Period, ...]
    running: Period

    @property
    def all(self) -> tuple[Period, ...]:
        """Every month with calls."""
        return (*self.closed, self.running)


def months_at(opened_at: datetime, timezones: Iterable[str]) -> Months:
    """Three closed months and the running one for a group that is opened at a moment.

    Where the calendars disagree, the running month is the one that has not ended for anybody yet, so that every
    earlier one can be closed for all members.
    """
    running = min(Period.of(opened_at, timezone) for timezone in timezones)
    closed = [running.previous()]
    while len(closed) < _CLOSED:
        closed.append(closed[-1].previous())
    return Months(tuple(reversed(closed)), running)


def closing_time(period: Period, timezones: Iterable[str], opened_at: datetime) -> datetime:
    """When the books of a closed month are closed: after its last member's month has ended, never after `opened_at`."""
    ended = max(period.bounds(timezone)[1] for timezone in timezones)
    return min(ended + _CLOSING_AFTER, opened_at)

"""Billing periods: calendar months in the account's own time zone."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from catalog.vocabulary.clock import to_ns

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
# Event ids count from 1970, and the calendar ends with 9999: each month has one before it and one after it, in every zone.
_YEARS = range(1970, 9999)


class Period(msgspec.Struct, frozen=True, order=True):
    """A calendar month, written `2026-11`."""

    year: int
    month: int

    def __str__(self) -> str:
        """`2026-11`."""
        return f"{self.year:04d}-{self.month:02d}"

    @classmethod
    def parse(cls, text: str) -> "Period":
        """The month written `YYYY-MM`, from 1970 to 9998; ValueError for anything else."""
        match = _MONTH.fullmatch(text)
        if match is None or int(match[1]) not in _YEARS:
            raise ValueError("a period is a calendar month such as 2026-11")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, moment: datetime, timezone: str) -> "Period":
        """The month that a moment falls into on the account's calendar."""
        local = moment.astimezone(ZoneInfo(timezone))
        return cls(local.year, local.month)

    @property
    def first_day(self) -> date:
        """The first day of the month."""
        return date(self.year, self.month, 1)

    def next(self) -> "Period":
        """The following month."""
        return Period(self.year + self.month // 12, self.month % 12 + 1)

    def previous(self) -> "Period":
        """The preceding month."""
        return Period(self.year - (self.month == 1), (self.month - 2) % 12 + 1)

    def bounds(self, timezone: str) -> tuple[datetime, datetime]:
        """First moment of the month and first moment of the next one, in UTC; end-exclusive."""
        zone = ZoneInfo(timezone)
        start = datetime(self.year, self.month, 1, tzinfo=zone)
        following = self.next()
        end = datetime(following.year, following.month, 1, tzinfo=zone)
        return start.astimezone(UTC), end.astimezone(UTC)


def day_bounds(moment: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """First moment of the calendar day that a moment falls into, and of the next one; end-exclusive."""
    day = moment.astimezone(zone).date()
    following = day + timedelta(days=1)
    return _midnight(day, zone), _midnight(following, zone)


def month_bounds(moment: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The same for the calendar month."""
    return Period.of(moment, zone.key).bounds(zone.key)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


@lru_cache(maxsize=65_536)
def day_starts_ns(day: date, timezone: str) -> int:
    """The first moment of a day on a zone's calendar, in nanoseconds since the epoch."""
    return to_ns(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone)))


def is_timezone(name: str) -> bool:
    """Whether `name` is a zone of the IANA database."""
    return name in available_timezones()

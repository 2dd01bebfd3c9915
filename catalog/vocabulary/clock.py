"""Time enters the product here and nowhere else; everything takes a clock and can be driven by a test."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Two readings: the wall, for records that people read, and a monotonic one, for durations and limits."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since boot, the same in every process of this machine; never goes back."""


class SystemClock:
    """The machine's own clocks; monotonic is CLOCK_MONOTONIC. A call reads them eight times, so nothing is put around them."""

    __slots__ = ()

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class ManualClock:
    """A clock that stands still until it is moved: for tests and for sandbox accounts' test clocks."""

    __slots__ = ("_monotonic_ns", "_now_ns")

    def __init__(self, now: datetime) -> None:
        """Start at `now`, which must carry a zone."""
        self._now_ns = to_ns(now)
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds moved since the clock was made."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Move both readings forward."""
        step = round(seconds * 1_000_000_000)
        self._now_ns += step
        self._monotonic_ns += step


def to_ns(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware datetime; exact to the microsecond."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    delta = moment - _EPOCH
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def from_ns(nanoseconds: int) -> datetime:
    """The UTC datetime of nanoseconds since the epoch, cut to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1_000)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with a `Z`, as every timestamp of the API is written."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local_time(moment: datetime, timezone: str | None = None) -> str:
    """A moment to the second for people, on the clock of a zone (its own without one) and with its offset:
    `2026-12-31 16:00:00 +08:00`, in UTC `2026-12-31 08:00:00 Z`."""
    local = moment if timezone is None else moment.astimezone(ZoneInfo(timezone))
    text = local.isoformat(" ", "seconds")
    return f"{text[:19]} {text[19:]}".replace(" +00:00", " Z")

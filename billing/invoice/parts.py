"""Which days of a month each version of a price held for. Pure.

A version holds from the day that it begins on, on the payer's calendar, to the day that the next one begins on; the days of
all versions sum to those of the month, or of the part of it that the subscription lived for.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec

from catalog.load import PriceVersion, timeline
from catalog.plan.price import Capacity, Flat
from catalog.vocabulary.clock import from_ns, to_ns
from catalog.vocabulary.period import Period


class Life(msgspec.Struct, frozen=True):
    """A subscription: from when until when, and the moment whose prices it keeps, if it does not follow the plan."""

    starts_at: datetime
    ends_at: datetime | None
    prices_as_of: datetime | None


class Part(msgspec.Struct, frozen=True):
    """Where a version stands among those of its month, by their ids.

    `alike` are the versions that agree with it and between which nothing else held: a change that changes nothing is none.
    `so_far` are all up to the last of these.
    """

    alike: tuple[str, ...]
    so_far: tuple[str, ...]


def part_of(held: Sequence[PriceVersion], version: PriceVersion) -> Part:
    """The part of a month that a version is judged by; `held` are the month's versions in their order."""
    first = after = held.index(version)
    while first and _alike(held[first - 1], version):
        first -= 1
    while after < len(held) and _alike(held[after], version):
        after += 1
    ids = tuple(one.id for one in held[:after])
    return Part(ids[first:], ids)


def _alike(one: PriceVersion, other: PriceVersion) -> bool:
    return (one.price, one.billable_on) == (other.price, other.billable_on)


def shares(
    versions: Iterable[PriceVersion], period: Period, timezone: str, life: Life | None
) -> Mapping[str, Fraction]:
    """The share of a month's days by version id; `versions` are all of one price, `life` None: the whole month."""
    held = timeline(versions, timezone)
    if life is not None and life.prices_as_of is not None:
        kept_ns = to_ns(life.prices_as_of)
        held = [one for one in held if one.begins_ns(timezone) <= kept_ns]
    first, end = period.first_day, period.next().first_day
    days = (end - first).days
    if life is not None:
        zone = ZoneInfo(timezone)
        first = max(first, life.starts_at.astimezone(zone).date())
        end = end if life.ends_at is None else min(end, life.ends_at.astimezone(zone).date())
    begins = [from_ns(one.begins_ns(timezone)).astimezone(ZoneInfo(timezone)).date() for one in held]
    nexts = [*begins[1:], date.max]
    return {
        one.id: Fraction(max(0, (min(after, end) - max(begin, first)).days), days)
        for one, begin, after in zip(held, begins, nexts, strict=True)
    }


def in_order(versions: Iterable[PriceVersion], timezone: str) -> Sequence[PriceVersion]:
    """Versions of one price in the order in which they begin for payers of a zone."""
    return sorted(versions, key=lambda one: (one.begins_ns(timezone), one.version, one.id))


def is_timed(version: PriceVersion) -> bool:
    """Whether a price asks for the time itself, whatever was used."""
    price = version.price
    return isinstance(price, Flat | Capacity) or price.minimum is not None


def counts_days(version: PriceVersion) -> bool:
    """Whether anything of a price is for the whole period and so counts by days."""
    price = version.price
    return is_timed(version) or price.maximum is not None or price.discount_amount != "0"

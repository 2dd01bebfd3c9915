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
from catalog.meter import counted_alike
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
    `so_far` are all up to the last of these, and `of_one_unit` those among them that count by its meter.
    """

    alike: tuple[str, ...]
    so_far: tuple[str, ...]
    of_one_unit: tuple[str, ...]


def part_of(held: Sequence[PriceVersion], version: PriceVersion) -> Part:
    """The part of a month that a version is judged by; `held` are the month's versions in their order."""
    first = after = held.index(version)
    while first and _alike(held[first - 1], version):
        first -= 1
    while after < len(held) and _alike(held[after], version):
        after += 1
    so_far = held[:after]
    return Part(
        tuple(one.id for one in so_far[first:]),
        tuple(one.id for one in so_far),
        tuple(one.id for one in so_far if counted_alike(one.meter, version.meter)),
    )


def _alike(one: PriceVersion, other: PriceVersion) -> bool:
    agreed = (one.price, one.billable_on) == (other.price, other.billable_on)
    return agreed and counted_alike(one.meter, other.meter)


def shares(
    versions: Iterable[PriceVersion], period: Period, timezone: str, life: Life | None
) -> Mapping[str, Fraction]:
    """The share of a month's days by version id; `versions` are all of one price, `life` None: the whole month."""
    held = timeline(versions, timezone)
    if life is not None and life.prices_as_of is not None:
        held = _kept(held, timezone, to_ns(life.prices_as_of))
    days = (period.next().first_day - period.first_day).days
    first, end = _lived(period, timezone, life)
    begins = [from_ns(one.begins_ns(timezone)).astimezone(ZoneInfo(timezone)).date() for one in held]
    nexts = [*begins[1:], date.max]
    return {
        one.id: Fraction(max(0, (min(after, end) - max(begin, first)).days), days)
        for one, begin, after in zip(held, begins, nexts, strict=True)
    }


def lived(period: Period, timezone: str, life: Life | None) -> Fraction:
    """The share of a month's days that a subscription lived for; of all where its `life` is not known."""
    first, end = _lived(period, timezone, life)
    return Fraction(max(0, (end - first).days), (period.next().first_day - period.first_day).days)


def _lived(period: Period, timezone: str, life: Life | None) -> tuple[date, date]:
    """The first day and the end, exclusive: not behind the first day where nothing of the month was lived."""
    first, end = period.first_day, period.next().first_day
    if life is not None:
        zone = ZoneInfo(timezone)
        first = max(first, life.starts_at.astimezone(zone).date())
        end = end if life.ends_at is None else min(end, life.ends_at.astimezone(zone).date())
    return first, end


def _kept(held: Sequence[PriceVersion], timezone: str, kept_ns: int) -> list[PriceVersion]:
    """Those that concern who keeps the prices of a moment, as `price_at` chooses them: later ones only where calls come to
    be counted otherwise."""
    return [
        one
        for before, one in zip((None, *held), held, strict=False)
        if one.begins_ns(timezone) <= kept_ns
        or (before is not None and not counted_alike(before.meter, one.meter))
    ]


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

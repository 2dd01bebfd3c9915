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
from catalog.plan.price import Flat
from catalog.vocabulary.clock import from_ns, to_ns
from catalog.vocabulary.period import Period


class Life(msgspec.Struct, frozen=True):
    """A subscription: from when until when, and the moment whose prices it keeps, if it does not follow the plan."""

    starts_at: datetime
    ends_at: datetime | None
    prices_as_of: datetime | None


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
    return isinstance(price, Flat) or price.minimum is not None


def counts_days(version: PriceVersion) -> bool:
    """Whether anything of a price is for the whole period and so counts by days."""
    price = version.price
    return is_timed(version) or price.maximum is not None or price.discount_amount != "0"

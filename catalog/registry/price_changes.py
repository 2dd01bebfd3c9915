"""What new price versions change, as whoever publishes or reviews them reads it: old, new, and from when."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from types import MappingProxyType

import msgspec

from catalog.load import PriceVersion, standing, timeline
from catalog.plan import BillableOn, price_fields
from catalog.vocabulary.clock import local_time

# No calendar on earth is further behind: a day that has begun there has begun everywhere.
_LATEST = timezone(timedelta(hours=-12))
# What a plan's `billable_on` adds to the terms of a price.
_BILLED: Mapping[BillableOn, str] = MappingProxyType(
    {
        "success": "",
        "accepted": ", billing business refusals too",
        "outcome": ", billing proven outcomes only",
    }
)


class Scheduled(msgspec.Struct, frozen=True):
    """A price that was scheduled: its version, its terms, and the day on which it was to begin."""

    version: str
    price: str
    begins_on: date


class PriceChange(msgspec.Struct, frozen=True):
    """A new version of a price beside the one that it follows, which is None for a first one.

    It begins at the moment `starts_at` for everybody, or else when the day `starts_on` begins on each payer's calendar.
    `superseded` was scheduled and never begins. `meter` is what one unit is now and was before, where that changes.
    """

    version: str
    operation: str
    plan: str
    before: str | None
    after: str
    starts_at: datetime | None
    starts_on: date | None
    superseded: tuple[Scheduled, ...]
    meter: tuple[str, str] | None = None


def price_changes(published: Iterable[PriceVersion], new: Iterable[PriceVersion]) -> tuple[PriceChange, ...]:
    """What each of the new versions changes of what was published before it."""
    known = list(published)
    return tuple(
        _change(
            [one for one in known if _place(one) == _place(version) and one.version < version.version],
            version,
        )
        for version in new
    )


def starting(change: PriceChange) -> str:
    """From when, in words."""
    if change.starts_at is not None:
        return f"from now ({local_time(change.starts_at, 'UTC')})"
    return f"from {change.starts_on}, midnight on each payer's calendar"


def sentence(change: PriceChange) -> str:
    """A change in one line: `address/validate, plan partner: 0.085 CNY -> 0.095 CNY from …`."""
    before = "" if change.before is None else f"{change.before} -> "
    ended = "".join(f"; no longer {one.price} from {one.begins_on}" for one in change.superseded)
    counts = ", counting {} instead of {}".format(*change.meter) if change.meter else ""
    return f"{change.operation}, plan {change.plan}: {before}{change.after} {starting(change)}{counts}{ended}"


def price_terms(version: PriceVersion) -> str:
    """The terms of a price in one line: its unit price, or its model with every field."""
    fields = price_fields(version.price)
    if version.model == "per_unit" and fields.keys() == {"unit_price"}:
        text = f"{fields['unit_price']} {version.currency}"
    else:
        text = f"{version.currency} {version.model} {msgspec.json.encode(fields).decode()}"
    # What a share of results bills is in its model; of other prices the plan says it.
    return text if version.model == "outcome" else text + _BILLED[version.billable_on]


def _change(published: Sequence[PriceVersion], new: PriceVersion) -> PriceChange:
    line = timeline([*published, new], "UTC")
    place = next(index for index, one in enumerate(line) if one.id == new.id)
    left = {one.id for one in standing([*published, new])}
    before = line[place - 1] if place else None
    at_once = (
        new.effective_on is None
        or datetime.combine(new.effective_on, time.min, _LATEST) <= new.effective_from
    )
    return PriceChange(
        new.id,
        new.operation,
        new.plan_id,
        price_terms(before) if before else None,
        price_terms(new),
        new.effective_from if at_once else None,
        None if at_once else new.effective_on,
        tuple(
            Scheduled(one.id, price_terms(one), one.effective_on or one.effective_from.astimezone(UTC).date())
            for one in reversed(standing(published))
            if one.id not in left
        ),
        _recounted(before, new),
    )


def _recounted(before: PriceVersion | None, new: PriceVersion) -> tuple[str, str] | None:
    if before is None or before.meter is None or new.meter is None or before.meter == new.meter:
        return None
    return new.meter, before.meter


def _place(version: PriceVersion) -> tuple[str, str, str, str]:
    return version.service, version.plan_id, version.operation, version.currency

"""A passport's plans -> price versions: what changed becomes a new version, and nothing is ever changed in place."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone

import msgspec

from catalog.load import PriceVersion, price_version, standing
from catalog.meter import Meter
from catalog.passport import OperationEntry, Passport
from catalog.plan import Audience, BillableOn, Plan, PriceEntry, price_fields
from catalog.plan.price import CAPACITY_UNITS, Capacity, Matrix, Outcome, Price
from catalog.transaction import Transaction
from catalog.vocabulary.problem import FieldError

_Key = tuple[str, str, str]

# Versions of one price that begin when they are published begin one after the other.
_TICK = timedelta(microseconds=1)
# No calendar on earth is further ahead: a day has begun nowhere before it begins there.
_EARLIEST = timezone(timedelta(hours=14))


class NewPrice(msgspec.Struct, frozen=True):
    """A price version as it is published: with the audience of its plan."""

    version: PriceVersion
    audience: Audience

    @property
    def terms(self) -> tuple[Audience, BillableOn, str, Price]:
        """What is agreed: two versions that agree in it differ only in when they begin."""
        return self.audience, self.version.billable_on, self.version.model, self.version.price


class _Published(msgspec.Struct, frozen=True):
    """The versions of one price, newest first, seen from the moment at which it is published again.

    `begun` have begun somewhere by then; `coming` are scheduled and will be superseded.
    """

    moment: datetime
    count: int
    begun: tuple[NewPrice, ...]
    coming: tuple[NewPrice, ...]


def unmetered(plans: Iterable[Plan], operations: Iterable[OperationEntry]) -> list[FieldError]:
    """Prices that could be read but never be charged, because calls of these operations do not carry what they measure."""
    meters = {operation.id: operation.meter for operation in operations}
    return [
        error
        for index, plan in enumerate(plans)
        for place, entry in enumerate(plan.prices)
        if (metered := meters.get(entry.operation)) is not None
        for error in _unmetered(entry, metered, f"/plans/{index}/prices/{place}")
    ]


def _unmetered(entry: PriceEntry, metered: Meter, at: str) -> Iterator[FieldError]:
    if isinstance(entry.price, Outcome) and (of := entry.price.of) is not None:
        pointers = metered.dimension_pointers
        replied = sorted(pointers[name] for name in pointers if metered.in_reply(name))
        if of not in replied:
            detail = (
                f"the meter of {entry.operation} keeps no {of!r} of a call's reply; it keeps {', '.join(replied) or 'none'}. "
                "Leave `of` out where you state the results yourself"
            )
            yield FieldError(f"{at}/price/of", "not-metered", detail)
    if isinstance(entry.price, Capacity):
        for unit in entry.price.tiers[0].max or ():
            if unit not in CAPACITY_UNITS:
                detail = (
                    f"nothing counts {unit!r} of an operation; what is counted: {', '.join(CAPACITY_UNITS)}"
                )
                yield FieldError(f"{at}/price/tiers/0/max/{unit}", "not-metered", detail)
    if not isinstance(entry.price, Matrix):
        return
    known = metered.dimension_pointers
    for place, name in enumerate(entry.price.dimensions):
        if name not in known:
            kept = ", ".join(known) or "none"
            detail = f"the meter of {entry.operation} keeps no {name!r} of a call; it keeps {kept}"
            yield FieldError(f"{at}/price/dimensions/{place}", "not-metered", detail)
        elif entry.price.default is None and metered.in_reply(name):
            detail = f"{name!r} is known once a call is answered, too late to refuse it: price the other combinations"
            yield FieldError(f"{at}/price/default", "required", detail)


async def write_prices(transaction: Transaction, new: Iterable[NewPrice], now: datetime) -> None:
    """Write what `planned_prices` said, in the same transaction."""
    await transaction.executemany(
        """
        INSERT INTO catalog.price_version (id, service, plan_id, operation, currency, version, effective_from, effective_on,
                                           supersedes_after, billable_on, model, price, audience, published_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        """,
        [_row(price, now) for price in new],
    )


async def planned_prices(transaction: Transaction, passport: Passport, now: datetime) -> tuple[NewPrice, ...]:
    """The versions that a publication writes now: of every price that differs from what was published of it last.

    A publication says: from the plan's `effective_from` on, this is the price. A first version begins with its plan, at
    midnight of that day on each payer's calendar. A later one begins then too, but never before `now`: a price applies by
    `occurred_at`, so one that began earlier would reprice what has happened. What was scheduled and has not begun is
    superseded, whether the new version begins before or after it; a price that is published as it stands, with nothing
    scheduled, keeps its version.
    """
    rows = await transaction.fetch(
        """
        SELECT id, service, plan_id, operation, currency, version, effective_from, effective_on, supersedes_after,
               billable_on, model, price, audience
        FROM catalog.price_version WHERE service = $1
        """,
        passport.service,
    )
    published: dict[_Key, list[NewPrice]] = {}
    for row in rows:
        version = price_version({**row, "price": msgspec.json.decode(row["price"])})
        published.setdefault(_key(version), []).append(NewPrice(version, row["audience"]))
    return tuple(_changed(passport, published, now))


def _changed(
    passport: Passport, published: Mapping[_Key, Sequence[NewPrice]], now: datetime
) -> Iterator[NewPrice]:
    for plan, entry in _entries(passport.parsed_plans):
        operation = f"{passport.service}/{entry.operation}"
        held = _seen_from(now, published.get((plan.id, operation, entry.currency), ()))
        terms = (plan.audience, plan.billed_on(entry), entry.model, entry.price)
        if _stands(held, terms, plan.effective_from):
            continue
        number = held.count + 1
        begins = datetime.combine(plan.effective_from, time.min, _EARLIEST)
        version = PriceVersion(
            f"{passport.service}/{plan.id}/{entry.operation}/{entry.currency}@{number}",
            passport.service,
            plan.id,
            operation,
            entry.currency,
            number,
            max(begins, held.moment) if held.count else begins,
            plan.billed_on(entry),
            entry.model,
            entry.price,
            plan.effective_from,
            held.moment,
        )
        yield NewPrice(version, plan.audience)


def _stands(held: _Published, terms: object, begins_on: date) -> bool:
    """Whether what was published last says the same: what is scheduled, with its day, or else what is in force."""
    if held.coming:
        scheduled = held.coming[0]
        return (scheduled.terms, scheduled.version.effective_on) == (terms, begins_on)
    return bool(held.begun) and held.begun[0].terms == terms


def _seen_from(now: datetime, published: Sequence[NewPrice]) -> _Published:
    """Publications of one price come one after the other, even where the clock stood still or went back."""
    by_id = {price.version.id: price for price in published}
    earlier = [price.version.supersedes_after or now for price in published]
    moment = max(now, *earlier) if earlier else now
    left = [by_id[version.id] for version in standing(price.version for price in published)]
    begun = tuple(price for price in left if price.version.effective_from <= moment)
    coming = tuple(price for price in left if price.version.effective_from > moment)
    after_begun = [price.version.effective_from + _TICK for price in begun]
    return _Published(max(moment, *after_begun) if begun else moment, len(published), begun, coming)


def _key(version: PriceVersion) -> _Key:
    return version.plan_id, version.operation, version.currency


def _entries(plans: Iterable[Plan]) -> Iterator[tuple[Plan, PriceEntry]]:
    return ((plan, entry) for plan in plans for entry in plan.prices)


def _row(price: NewPrice, now: datetime) -> tuple[object, ...]:
    version = price.version
    return (
        version.id,
        version.service,
        version.plan_id,
        version.operation,
        version.currency,
        version.version,
        version.effective_from,
        version.effective_on,
        version.supersedes_after,
        version.billable_on,
        version.model,
        msgspec.json.encode(price_fields(version.price)).decode(),
        price.audience,
        now,
    )

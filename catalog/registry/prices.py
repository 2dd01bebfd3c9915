"""A passport's plans -> price versions: what changed becomes a new version, and nothing is ever changed in place."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone

import msgspec

from catalog.load import PRICE_COLUMNS, PriceVersion, price_version, standing
from catalog.meter import Meter, counted_alike
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
# None is further behind: a day that has begun there has begun everywhere.
_LATEST = timezone(timedelta(hours=-12))


class NewPrice(msgspec.Struct, frozen=True):
    """A price version as it is published: with the audience of its plan."""

    version: PriceVersion
    audience: Audience

    @property
    def terms(self) -> "_Terms":
        """What is agreed: two versions of one meter that agree in it differ only in when they begin."""
        return _Terms(self.audience, self.version.billable_on, self.version.model, self.version.price)


class _Terms(msgspec.Struct, frozen=True):
    audience: Audience
    billable_on: BillableOn
    model: str
    price: Price


class _Published(msgspec.Struct, frozen=True):
    """The versions of one price, newest first, seen from the moment at which it is published again.

    `begun` have begun somewhere by then; `coming` are scheduled and will be superseded.
    """

    moment: datetime
    count: int
    begun: tuple[NewPrice, ...]
    coming: tuple[NewPrice, ...]

    def says(self, offer: "_Offer") -> bool:
        """Whether what was published last says the same: what is scheduled, with its day, or else what is in force."""
        if self.coming:
            scheduled = self.coming[0]
            return (scheduled.terms, scheduled.version.effective_on) == (offer.terms, offer.begins_on)
        return bool(self.begun) and self.begun[0].terms == offer.terms

    def counts(self, meter: str) -> bool:
        """Whether what was published last is of this `Meter.quantity`."""
        return all(counted_alike(one.version.meter, meter) for one in (*self.coming, *self.begun)[:1])


class _Offer(msgspec.Struct, frozen=True):
    """Terms from a day on; None: from their publication on."""

    terms: _Terms
    begins_on: date | None

    def has_begun(self, moment: datetime) -> bool:
        """Whether its day has begun everywhere."""
        return self.begins_on is None or datetime.combine(self.begins_on, time.min, _LATEST) <= moment


def unmetered(plans: Iterable[Plan], operations: Iterable[OperationEntry]) -> list[FieldError]:
    """Prices that could be read but never be charged, because calls of these operations do not carry what they measure."""
    meters = {operation.id: operation.meter for operation in operations}
    return [
        error
        for index, plan in enumerate(plans)
        for place, entry in enumerate(plan.prices)
        if (metered := meters.get(entry.operation)) is not None
        for error in _unmetered(entry, plan.billable_on, metered, f"/plans/{index}/prices/{place}")
    ]


def _unmetered(entry: PriceEntry, billable_on: BillableOn, metered: Meter, at: str) -> Iterator[FieldError]:
    if billable_on == "outcome" and not isinstance(entry.price, Outcome):
        detail = f"no call is billed under `billable_on: outcome`, and {entry.model} prices calls; only `outcome` prices results"
        yield FieldError(f"{at}/model", "not-metered", detail)
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
                                           supersedes_after, billable_on, model, price, meter, audience, published_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
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

    A unit is a part of its price. Where the code counts an operation otherwise, every price of it begins anew with this
    publication, on the terms that it had, those of plans that are no longer offered included; what is scheduled keeps its day.
    """
    rows = await transaction.fetch(
        f"SELECT {PRICE_COLUMNS}, audience FROM catalog.price_version WHERE service = $1",  # noqa: S608 - a constant
        passport.service,
    )
    published: dict[_Key, list[NewPrice]] = {}
    for row in rows:
        version = price_version(row)
        published.setdefault(_key(version), []).append(NewPrice(version, row["audience"]))
    return tuple(_changed(passport, published, now))


def _changed(
    passport: Passport, published: Mapping[_Key, Sequence[NewPrice]], now: datetime
) -> Iterator[NewPrice]:
    meters = {f"{passport.service}/{entry.id}": entry.meter.quantity for entry in passport.operations}
    offered = {
        (plan.id, f"{passport.service}/{entry.operation}", entry.currency): _Offer(
            _Terms(plan.audience, plan.billed_on(entry), entry.model, entry.price), plan.effective_from
        )
        for plan in passport.parsed_plans
        for entry in plan.prices
    }
    for key in (*offered, *(key for key in published if key not in offered)):
        held, offer, meter = _seen_from(now, published.get(key, ())), offered.get(key), meters.get(key[1])
        if meter is None:
            continue
        if not held.counts(meter):
            new: Sequence[_Offer] = _recounted(held, offer)
        elif offer is not None and not held.says(offer):
            new = (offer,)
        else:
            continue
        for number, one in enumerate(new, held.count + 1):
            yield _version(passport.service, key, number, one, held, meter)


def _recounted(held: _Published, offer: _Offer | None) -> Sequence[_Offer]:
    """What is in force somewhere, and what comes after it: the offer, or what was scheduled where there is none."""
    begun = [_Offer(one.terms, one.version.effective_on) for one in reversed(held.begun)]
    coming = [_Offer(one.terms, one.version.effective_on) for one in reversed(held.coming)]
    line: list[_Offer] = []
    for one in (*begun, *(coming if offer is None else (offer,))):
        if line and line[-1].terms == one.terms:
            continue
        if one.has_begun(held.moment):
            line.clear()
        line.append(one)
    return line


def _version(service: str, key: _Key, number: int, offer: _Offer, held: _Published, meter: str) -> NewPrice:
    plan_id, operation, currency = key
    begins = (
        held.moment if offer.begins_on is None else datetime.combine(offer.begins_on, time.min, _EARLIEST)
    )
    version = PriceVersion(
        f"{service}/{plan_id}/{operation.partition('/')[2]}/{currency}@{number}",
        service,
        plan_id,
        operation,
        currency,
        number,
        max(begins, held.moment) if held.count else begins,
        offer.terms.billable_on,
        offer.terms.model,
        offer.terms.price,
        offer.begins_on,
        held.moment,
        meter,
    )
    return NewPrice(version, offer.terms.audience)


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
        version.meter,
        price.audience,
        now,
    )

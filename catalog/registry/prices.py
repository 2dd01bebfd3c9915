"""A passport's plans -> price versions: what changed becomes a new version, and nothing is ever changed in place."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone

import msgspec

from catalog.passport import Passport
from catalog.plan import Audience, BillableOn, Plan, PriceEntry, parse_price, price_fields
from catalog.plan.price import Capacity, Matrix, Outcome, Price
from catalog.transaction import Transaction
from catalog.vocabulary.problem import FieldError

_Key = tuple[str, str, str]

# One call carries one quantity; these price several quantities or a result that is proven later.
_NOT_METERED = (Capacity, Matrix, Outcome)
# Versions of one price start one after the other, so that at every moment exactly one is the newest.
_TICK = timedelta(microseconds=1)
# No calendar on earth is further ahead: a day has begun nowhere before it begins there.
_EARLIEST = timezone(timedelta(hours=14))


class NewPrice(msgspec.Struct, frozen=True):
    """A price version to be written. `operation` is the full id (`address/validate`)."""

    id: str
    service: str
    plan_id: str
    audience: Audience
    operation: str
    currency: str
    version: int
    effective_from: datetime
    effective_on: date
    billable_on: BillableOn
    model: str
    price: Price


class _Newest(msgspec.Struct, frozen=True):
    version: int
    effective_from: datetime
    effective_on: date | None
    terms: tuple[Audience, BillableOn, str, Price]


def unmetered(plans: Iterable[Plan]) -> list[FieldError]:
    """Prices that could be read but never be charged, because calls do not carry what they measure."""
    return [
        FieldError(
            f"/plans/{index}/prices/{place}/model",
            "not-metered",
            f"a call carries one quantity, {entry.model} needs more; use a model that prices one quantity",
        )
        for index, plan in enumerate(plans)
        for place, entry in enumerate(plan.prices)
        if isinstance(entry.price, _NOT_METERED)
    ]


async def publish_prices(transaction: Transaction, passport: Passport, now: datetime) -> tuple[NewPrice, ...]:
    """Write a version for every price that is new or differs from its newest version; returns those written.

    A first version starts with its plan: at midnight of that day on each payer's calendar. A change starts then too, but
    never before `now` and never before the version that it replaces: a price applies by `occurred_at`, so one that started
    earlier would reprice what has happened.
    """
    new = tuple(_changed(passport, await _newest(transaction, passport.service), now))
    await transaction.executemany(
        """
        INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version,
                                           effective_from, effective_on, billable_on, model, price, published_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """,
        [_row(price, now) for price in new],
    )
    return new


async def _newest(transaction: Transaction, service: str) -> Mapping[_Key, _Newest]:
    rows = await transaction.fetch(
        """
        SELECT DISTINCT ON (plan_id, operation, currency)
               plan_id, operation, currency, version, effective_from, effective_on, audience, billable_on, model, price
        FROM catalog.price_version WHERE service = $1 ORDER BY plan_id, operation, currency, version DESC
        """,
        service,
    )
    return {
        (row["plan_id"], row["operation"], row["currency"]): _Newest(
            row["version"],
            row["effective_from"],
            row["effective_on"],
            (
                row["audience"],
                row["billable_on"],
                row["model"],
                parse_price(row["model"], msgspec.json.decode(row["price"])),
            ),
        )
        for row in rows
    }


def _changed(passport: Passport, newest: Mapping[_Key, _Newest], now: datetime) -> Iterator[NewPrice]:
    for plan, entry in _entries(passport.parsed_plans):
        operation = f"{passport.service}/{entry.operation}"
        starts = datetime.combine(plan.effective_from, time.min, _EARLIEST)
        starts_on = plan.effective_from
        held = newest.get((plan.id, operation, entry.currency))
        version = 1
        if held is not None:
            if held.terms == (plan.audience, plan.billable_on, entry.model, entry.price):
                continue
            version = held.version + 1
            starts = max(starts, now, held.effective_from + _TICK)
            starts_on = max(starts_on, held.effective_on or starts_on)
        yield NewPrice(
            f"{passport.service}/{plan.id}/{entry.operation}/{entry.currency}@{version}",
            passport.service,
            plan.id,
            plan.audience,
            operation,
            entry.currency,
            version,
            starts,
            starts_on,
            plan.billable_on,
            entry.model,
            entry.price,
        )


def _entries(plans: Iterable[Plan]) -> Iterator[tuple[Plan, PriceEntry]]:
    return ((plan, entry) for plan in plans for entry in plan.prices)


def _row(price: NewPrice, now: datetime) -> tuple[object, ...]:
    return (
        price.id,
        price.service,
        price.plan_id,
        price.audience,
        price.operation,
        price.currency,
        price.version,
        price.effective_from,
        price.effective_on,
        price.billable_on,
        price.model,
        msgspec.json.encode(price_fields(price.price)).decode(),
        now,
    )

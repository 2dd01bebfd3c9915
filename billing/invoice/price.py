"""From a line's usage to its amount: load the price version, measure what its model needs, rate."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

import msgspec

from billing.invoice.month import Month, Payer
from billing.invoice.used import LineKey, Used
from billing.rate import Buckets, CallCounts, Events, Rating, Usage, UsageError, rate
from billing.transaction import Connection
from catalog.load import PriceVersion, price_version
from catalog.plan import Price
from catalog.plan.price import Bucketed, Percentage, SuccessTiered
from catalog.usage_event import CallClass

_FREE = Rating(Decimal(0), Decimal(0), ())
# Accounts of one plan use similar quantities, and a rating depends on nothing but its arguments.
_rate = lru_cache(maxsize=4096)(rate)
_TRAILING_MONTHS = 3


async def price_versions(connection: Connection, ids: Iterable[str]) -> Mapping[str, PriceVersion]:
    """The price versions of these ids, the empty one (not billable) left out."""
    rows = await connection.fetch(
        "SELECT id, service, plan_id, operation, currency, effective_from, billable_on, model, price "
        "FROM catalog.price_version WHERE id = ANY($1) AND id <> ''",
        sorted(set(ids)),
    )
    decoded = ({**row, "price": msgspec.json.decode(row["price"])} for row in rows)
    return {row["id"]: price_version(row) for row in decoded}


async def rate_lines(
    connection: Connection, payer: Payer, month: Month, lines: Mapping[LineKey, Used]
) -> Mapping[LineKey, Rating]:
    """The amount of each line's whole month in the payer's currency.

    `UsageError` where a price asks for a measure that calls do not carry, or is unknown here: the month stays open.
    """
    versions = await price_versions(connection, (key.price_version for key in lines))
    ratings: dict[LineKey, Rating] = {}
    for key, used in lines.items():
        if not key.price_version:
            ratings[key] = _FREE
            continue
        version = versions.get(key.price_version)
        if version is None:
            raise UsageError(
                f"{key.operation} was priced with {key.price_version}, which is not in the catalogue"
            )
        assert version.currency == payer.currency, "a subscription's price is in the payer's currency"
        usage = await usage_of(connection, month, key, used, version.price)
        ratings[key] = _rate(version.price, usage, payer.currency)
    return ratings


async def usage_of(
    connection: Connection,
    month: Month,
    key: LineKey,
    used: Used,
    price: Price,
    classes: Sequence[CallClass] | None = None,
) -> Usage:
    """The usage of a line in the shape that the price's model asks for.

    It counts the calls that are billable under the key's price version; with `classes` (for a price that is not in
    force) the calls that ended so, under whatever version they were made.
    """
    counts = CallCounts(Decimal(used.calls), Decimal(used.successes), Decimal(used.caller_faults))
    match price:
        case Percentage():
            return Usage(Events(await _event_values(connection, month, key, classes)), counts)
        case Bucketed():
            return Usage(Buckets(await _hourly(connection, month, key, classes)), counts)
        case SuccessTiered(measured_on=measured_on):
            whose = month.account_id if measured_on == "account" else None
            recent = await _counts(connection, month, key, whose, months=1)
            trailing = await _counts(connection, month, key, whose, _TRAILING_MONTHS)
            return Usage(used.units, recent, trailing)
        case _:
            return Usage(used.units, counts)


async def _event_values(
    connection: Connection, month: Month, key: LineKey, classes: Sequence[CallClass] | None
) -> tuple[Decimal, ...]:
    """The value of each billable call that is rolled up, in the order of the calls."""
    rows = await connection.fetch(
        """
        SELECT units FROM billing.usage_event
        JOIN catalog.account ON account.id = usage_event.payer
        WHERE payer = $1 AND environment = $2
          AND date_trunc('month', occurred_at AT TIME ZONE timezone)::date = $3
          AND subscription_id = $4 AND operation = $5
          AND CASE WHEN $7::text[] IS NULL THEN billable AND price_version = $6 ELSE class = ANY($7) END
          AND stored_xid < (SELECT xid FROM billing.watermark WHERE step = 'rollup')
        ORDER BY usage_event.id
        """,
        *_line(month, key),
        classes,
    )
    return tuple(row["units"] for row in rows)


async def _hourly(
    connection: Connection, month: Month, key: LineKey, classes: Sequence[CallClass] | None
) -> tuple[Decimal, ...]:
    rows = await connection.fetch(
        """
        SELECT coalesce(sum(units) FILTER (
                   WHERE CASE WHEN $7::text[] IS NULL THEN billable_calls > 0 ELSE class = ANY($7) END), 0) AS units
        FROM billing.usage_hour
        WHERE account_id = $1 AND environment = $2 AND period = $3 AND subscription_id = $4 AND operation = $5
          AND ($7::text[] IS NOT NULL OR price_version = $6)
        GROUP BY hour ORDER BY hour
        """,
        *_line(month, key),
        classes,
    )
    return tuple(row["units"] for row in rows)


async def _counts(
    connection: Connection, month: Month, key: LineKey, account_id: str | None, months: int
) -> CallCounts:
    """How calls of the operation ended in the months up to this one: the account's, or all that are in scope."""
    first = month.period
    for _ in range(months - 1):
        first = first.previous()
    row = await connection.fetchrow(
        "SELECT coalesce(sum(calls), 0), coalesce(sum(calls) FILTER (WHERE outcome = 'success'), 0), "
        "coalesce(sum(calls) FILTER (WHERE fault = 'caller'), 0) FROM billing.usage_hour "
        "WHERE ($1::text IS NULL OR account_id = $1) AND environment = $2 AND period BETWEEN $3 AND $4 "
        "AND operation = $5",
        account_id,
        month.environment,
        first.first_day,
        month.period.first_day,
        key.operation,
    )
    assert row is not None, "an aggregate has one row"
    return CallCounts(*row)


def _line(month: Month, key: LineKey) -> tuple[object, ...]:
    return (
        month.account_id,
        month.environment,
        month.period.first_day,
        key.subscription_id,
        key.operation,
        key.price_version,
    )

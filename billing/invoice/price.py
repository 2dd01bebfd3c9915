"""From a line's usage to its amount: load the price version, measure what its model needs, rate."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import groupby

import msgspec

from billing.invoice.capacity import peaks
from billing.invoice.month import Month, Payer
from billing.invoice.parts import Life, Part, counts_days, in_order, is_timed, part_of, shares
from billing.invoice.result_values import billed_results, drafted_results
from billing.invoice.success_counts import has_success_factor, success_counts
from billing.invoice.used import NOTHING, LineKey, Used
from billing.rate import Buckets, Events, Rating, Usage, UsageError, rate, rate_part
from billing.rate.usage import Cell, Cells, Measured
from billing.result.month import OF_OUTCOME
from billing.transaction import Connection
from catalog.load import PRICE_COLUMNS, PriceVersion, price_version
from catalog.meter import counted_alike
from catalog.plan import Price
from catalog.plan.price import Bucketed, Capacity, Matrix, Outcome, Percentage, SuccessTiered
from catalog.usage_event import CallClass
from catalog.vocabulary.money import EXACT

_FREE = Rating(Decimal(0), Decimal(0), ())
# Accounts of one plan use similar quantities, and a rating depends on nothing but its arguments.
_rate = lru_cache(maxsize=4096)(rate)
_TRAILING_MONTHS = 3
_SIBLINGS = f"""
    SELECT {PRICE_COLUMNS} FROM catalog.price_version
    WHERE (service, plan_id, operation, currency)
       IN (SELECT service, plan_id, operation, currency FROM catalog.price_version WHERE id = ANY($1))
"""  # noqa: S608 - a constant

# The single calls of a line that its price, or one that bills these classes, bills: as far as they are rolled up.
# What was billed under a share of results is no measure of the calls: what an acceptance amends is money, not units.
_BILLED_CALLS = f"""
    FROM billing.usage_event JOIN catalog.account ON account.id = usage_event.payer
    WHERE payer = $1 AND environment = $2 AND date_trunc('month', occurred_at AT TIME ZONE timezone)::date = $3
      AND subscription_id = $4 AND operation = $5
      AND CASE WHEN $7::text[] IS NULL THEN billable AND price_version = $6
               ELSE class = ANY($7) AND (amends IS NULL OR NOT {OF_OUTCOME}) END
      AND stored_xid < (SELECT xid FROM billing.watermark WHERE step = 'rollup')
"""  # noqa: S608 - a constant


class Prices(msgspec.Struct, frozen=True):
    """All versions of the prices that some lines were priced with, and the lives of their subscriptions."""

    versions: Mapping[str, PriceVersion]
    by_place: Mapping[tuple[str, str, str, str], Sequence[PriceVersion]]
    lives: Mapping[str, Life]

    def siblings(self, version: PriceVersion) -> Sequence[PriceVersion]:
        """The versions of the same price."""
        return self.by_place[_place(version)]


async def prices_of(connection: Connection, lines: Iterable[LineKey]) -> Prices:
    """What is known of the prices of lines. Test books and books of old may have subscriptions that nobody knows."""
    keys = [key for key in lines if key.price_version]
    rows = await connection.fetch(_SIBLINGS, sorted({key.price_version for key in keys}))
    versions = {row["id"]: price_version(row) for row in rows}
    lives: dict[str, Life] = {}
    if any(counts_days(version) for version in versions.values()):
        found = await connection.fetch(
            "SELECT id, starts_at, ends_at, prices_as_of FROM catalog.subscription WHERE id = ANY($1)",
            sorted({key.subscription_id for key in keys}),
        )
        lives = {row["id"]: Life(row["starts_at"], row["ends_at"], row["prices_as_of"]) for row in found}
    by_place: dict[tuple[str, str, str, str], list[PriceVersion]] = {}
    for version in versions.values():
        by_place.setdefault(_place(version), []).append(version)
    return Prices(versions, by_place, lives)


def _place(version: PriceVersion) -> tuple[str, str, str, str]:
    return (version.service, version.plan_id, version.operation, version.currency)


async def rate_lines(
    connection: Connection, payer: Payer, month: Month, lines: Mapping[LineKey, Used]
) -> Mapping[LineKey, Rating]:
    """The amount of each line's whole month in the payer's currency, in the order of the lines.

    A price that changed within the month goes on where the one before it left the quantities of its own unit, and what it
    asks for the time counts by days; a version that held for some days and was not called has a line of its own if it asks for them.
    `UsageError` where a price asks for a measure that calls do not carry, or is unknown here: the month stays open.
    """
    prices = await prices_of(connection, lines)
    return await rate_priced(connection, month, payer.timezone, payer.currency, lines, prices)


async def rate_priced(
    connection: Connection,
    month: Month,
    timezone: str,
    currency: str,
    lines: Mapping[LineKey, Used],
    prices: Prices,
) -> Mapping[LineKey, Rating]:
    """`rate_lines` with prices that are known already."""
    ratings: dict[LineKey, Rating] = {}
    for _, group in groupby(lines, key=lambda key: (key.subscription_id, key.operation)):
        keys = list(group)
        ratings |= {key: _FREE for key in keys if not key.price_version}
        priced = {key: lines[key] for key in keys if key.price_version}
        if priced:
            try:
                ratings |= await _rate_operation(connection, month, timezone, currency, priced, prices)
            except UsageError as error:
                raise UsageError(f"{keys[0].operation}: {error}") from error
    return ratings


async def _rate_operation(
    connection: Connection,
    month: Month,
    timezone: str,
    currency: str,
    lines: Mapping[LineKey, Used],
    prices: Prices,
) -> Mapping[LineKey, Rating]:
    """The lines of one operation of one subscription, one for each price version."""
    for key in lines:
        if key.price_version not in prices.versions:
            raise UsageError(f"it was priced with {key.price_version}, which is not in the catalogue")
    if len(lines) == 1:
        ((key, used),) = lines.items()
        version = prices.versions[key.price_version]
        assert version.currency == currency, "a subscription's price is in the payer's currency"
        siblings = prices.siblings(version)
        if not any(counts_days(one) for one in siblings):
            return {
                key: _rate(
                    version.price, await usage_of(connection, month, key, used, version.price), currency
                )
            }
    return await _rate_parts(connection, month, timezone, currency, lines, prices)


async def _rate_parts(
    connection: Connection,
    month: Month,
    timezone: str,
    currency: str,
    lines: Mapping[LineKey, Used],
    prices: Prices,
) -> Mapping[LineKey, Rating]:
    first = next(iter(lines))
    every = {one.id: one for key in lines for one in prices.siblings(prices.versions[key.price_version])}
    share: dict[str, Fraction] = {}
    for key in lines:
        siblings = prices.siblings(prices.versions[key.price_version])
        share |= shares(siblings, month.period, timezone, prices.lives.get(key.subscription_id))
    used = {key.price_version: one for key, one in lines.items()}
    held = [one for one in in_order(every.values(), timezone) if one.id in used or share.get(one.id)]
    ratings: dict[LineKey, Rating] = {}
    before: list[tuple[str | None, Decimal, Usage]] = []
    for version in held:
        key = LineKey(first.subscription_id, first.operation, version.id)
        if version.id in used or is_timed(version):
            line = used.get(version.id, NOTHING)
            own = await usage_of(connection, month, key, line, version.price, part=part_of(held, version))
            is_share = isinstance(version.price, Outcome)
            of_one_unit = [
                (units, one) for meter, units, one in before if counted_alike(meter, version.meter)
            ]
            after, earlier = (own, None) if is_share else _joined(of_one_unit, own)
            days = share.get(version.id, Fraction(0))
            rating = rate_part(version.price, after, currency, before=earlier, share=days)
            # Results are no quantity of the month that another price would go on from.
            if not is_share:
                before.append((version.meter, line.units, own))
            if version.id in used or rating.precise:
                ratings[key] = rating
    return ratings


def _joined(before: Sequence[tuple[Decimal, Usage]], own: Usage) -> tuple[Usage, Usage | None]:
    """The period's usage up to and including a part, and up to it: of the units and usage of each part before it.
    Buckets are periods of their own."""
    match own.measured:
        case Decimal() as units:
            counted = sum((one for one, _ in before), Decimal(0))
            earlier: Measured = counted
            after: Measured = EXACT.add(counted, units)
        case Events(values):
            earlier = Events(tuple(value for _, one in before for value in _values(one)))
            after = Events((*earlier.values, *values))
        case _:
            return own, None
    if not before:
        return own, None
    return Usage(after, own.calls, own.trailing), Usage(earlier, own.calls, own.trailing)


def _values(usage: Usage) -> tuple[Decimal, ...]:
    return usage.measured.values if isinstance(usage.measured, Events) else ()


async def usage_of(
    connection: Connection,
    month: Month,
    key: LineKey,
    used: Used,
    price: Price,
    classes: Sequence[CallClass] | None = None,
    part: Part | None = None,
) -> Usage:
    """The usage of a line in the shape that the price's model asks for.

    It counts the calls that are billable under the key's price version; with `classes` (for a price that is not in
    force) the calls that ended so, under whatever version they were made. `part` is what of the month a capacity is judged by.
    """
    counts = await success_counts(connection, month, key.operation) if has_success_factor(price) else None
    match price:
        case Percentage():
            return Usage(Events(await _event_values(connection, month, key, classes)), counts)
        case Bucketed():
            return Usage(Buckets(await _hourly(connection, month, key, classes)), counts)
        case Outcome() if classes is None:
            return Usage(Events(await billed_results(connection, month, key)), counts)
        case Outcome():
            return Usage(Events(await drafted_results(connection, month, key, price)), counts)
        case Matrix(dimensions=dimensions):
            return Usage(Cells(await _cells(connection, month, key, classes, dimensions)), counts)
        case Capacity():
            return Usage(await peaks(connection, month, key, price, classes, part), counts)
        case SuccessTiered(measured_on=measured_on):
            of_all = measured_on == "service"
            recent = await success_counts(connection, month, key.operation, of_all=of_all)
            trailing = await success_counts(
                connection, month, key.operation, of_all=of_all, months=_TRAILING_MONTHS
            )
            return Usage(used.units, recent, trailing)
        case _:
            return Usage(used.units, counts)


async def _event_values(
    connection: Connection, month: Month, key: LineKey, classes: Sequence[CallClass] | None
) -> tuple[Decimal, ...]:
    """The value of each billable call that is rolled up, as amended, in the order of the calls; one that was amended to
    nothing is none."""
    rows = await connection.fetch(
        f"""
        SELECT sum(units) AS units {_BILLED_CALLS}
        GROUP BY coalesce(amends, usage_event.id) HAVING count(amends) = 0 OR sum(units) <> 0
        ORDER BY coalesce(amends, usage_event.id)
        """,
        *_line(month, key),
        classes,
    )
    return tuple(row["units"] for row in rows)


async def _cells(
    connection: Connection,
    month: Month,
    key: LineKey,
    classes: Sequence[CallClass] | None,
    dimensions: Sequence[str],
) -> tuple[Cell, ...]:
    """The units of the billable calls that are rolled up by the values of these dimensions. A call that was recorded
    without one, before its meter named it or because it came from elsewhere, has the empty value, as when it was called."""
    rows = await connection.fetch(
        f"""
        SELECT combination, sum(units) AS units
        FROM (SELECT CASE WHEN billable THEN units ELSE 1 END AS units, ARRAY(
                  SELECT coalesce(dimension_values[array_position(dimension_names, wanted.name)], '')
                  FROM unnest($8::text[]) WITH ORDINALITY AS wanted (name, place) ORDER BY place) AS combination
              {_BILLED_CALLS}) AS called
        GROUP BY 1 ORDER BY 1
        """,  # noqa: S608 - a constant
        *_line(month, key),
        classes,
        list(dimensions),
    )
    return tuple(Cell(dict(zip(dimensions, row["combination"], strict=True)), row["units"]) for row in rows)


async def _hourly(
    connection: Connection, month: Month, key: LineKey, classes: Sequence[CallClass] | None
) -> tuple[Decimal, ...]:
    rows = await connection.fetch(
        f"""
        SELECT coalesce(sum(CASE WHEN billable_calls > 0 AND NOT {OF_OUTCOME} THEN units ELSE calls END) FILTER (
                   WHERE CASE WHEN $7::text[] IS NULL THEN billable_calls > 0 ELSE class = ANY($7) END), 0) AS units
        FROM billing.usage_hour
        WHERE account_id = $1 AND environment = $2 AND period = $3 AND subscription_id = $4 AND operation = $5
          AND ($7::text[] IS NOT NULL OR price_version = $6)
        GROUP BY hour ORDER BY hour
        """,  # noqa: S608 - a constant
        *_line(month, key),
        classes,
    )
    return tuple(row["units"] for row in rows)


def _line(month: Month, key: LineKey) -> tuple[object, ...]:
    return (
        month.account_id,
        month.environment,
        month.period.first_day,
        key.subscription_id,
        key.operation,
        key.price_version,
    )

"""The most that a month needed of what a capacity price bounds, from its hours on the payer's own clock."""

from collections.abc import Sequence
from decimal import Decimal

from billing.invoice.month import Month
from billing.invoice.parts import Part
from billing.invoice.used import LineKey
from billing.rate.usage import CapacityPeaks
from billing.transaction import Connection
from catalog.plan.price import Capacity
from catalog.usage_event import CallClass

# An amending row is billable and no call; results that were accepted are money and no measure. A call that was not billed
# carries no units; where a draft bills it, it counts as one. A doubled hour is two hours of one day.
_PEAKS = """
    WITH used AS (
        SELECT hour, (hour AT TIME ZONE timezone)::date AS day, price_version,
               CASE WHEN $6::text[] IS NOT NULL THEN calls WHEN measured THEN least(calls, billable_calls) ELSE 0 END AS calls,
               CASE WHEN measured THEN units WHEN $6 IS NOT NULL THEN calls ELSE 0 END AS units
        FROM (SELECT usage_hour.*, billable_calls > 0 AND price.model IS DISTINCT FROM 'outcome' AS measured, timezone
              FROM billing.usage_hour JOIN catalog.account ON account.id = account_id
              LEFT JOIN catalog.price_version AS price ON price.id = price_version) AS hourly
        WHERE account_id = $1 AND environment = $2 AND period = $3 AND subscription_id = $4 AND operation = $5
          AND ($6 IS NULL OR class = ANY($6))
    ), hours AS (
        SELECT day, sum(calls) AS calls, sum(units) AS units FROM used
        WHERE $7::text[] IS NULL OR price_version = ANY($7) GROUP BY day, hour
    ), days AS (
        SELECT sum(calls) AS calls, sum(units) AS units FROM hours GROUP BY day
    ), so_far AS (
        SELECT sum(calls) AS calls, sum(units) FILTER (WHERE $9::text[] IS NULL OR price_version = ANY($9)) AS units FROM used
        WHERE $8::text[] IS NULL OR price_version = ANY($8)
    )
    SELECT so_far.calls, so_far.units,
           (SELECT max(calls) FROM days) AS calls_per_day, (SELECT max(units) FROM days) AS units_per_day,
           (SELECT max(calls) FROM hours) AS calls_per_hour, (SELECT max(units) FROM hours) AS units_per_hour,
           (SELECT sum(calls) FROM used) AS month_calls, (SELECT sum(units) FROM used) AS month_units
    FROM so_far
"""


async def peaks(
    connection: Connection,
    month: Month,
    key: LineKey,
    price: Capacity,
    classes: Sequence[CallClass] | None,
    part: Part | None,
) -> CapacityPeaks:
    """What a price's bounds are compared with: of billable calls as far as they are rolled up, or of `classes`.

    Days and hours are those of the `part` that the price is judged by, totals the month's up to its end, of units only those that
    its own meter counted; None is the whole month.
    """
    row = await connection.fetchrow(
        _PEAKS,
        month.account_id,
        month.environment,
        month.period.first_day,
        key.subscription_id,
        key.operation,
        classes,
        None if part is None else part.alike,
        None if part is None else part.so_far,
        None if part is None else part.of_one_unit,
    )
    assert row is not None, "an aggregate has one row"
    # A single tier bounds nothing: whether there was a call decides.
    bounded = price.tiers[0].max or ("calls",)
    totals = {unit: row["month_calls" if unit.startswith("calls") else "month_units"] for unit in bounded}
    return CapacityPeaks({unit: row[unit] or Decimal(0) for unit in bounded}, any(totals.values()))

"""What a limit starts from: the stored calls of its period that were made before it was counted."""

from decimal import Decimal

from billing.lease.terms import Wanted
from billing.store.usage_row import dimensions_of, ids_between
from billing.transaction import Connection
from catalog.load import applied
from catalog.plan import list_amount
from catalog.plan.price import Matrix, Outcome, Percentage
from catalog.registry.published import price_versions

# Rolled-up hours, and the rows that the roll-up has not reached: one snapshot, so each call is in one of them.
_CALLS = """
    SELECT coalesce(sum(calls), 0) FROM (
        SELECT calls, operation, application_id FROM billing.usage_hour
         WHERE account_id = $1 AND environment = $2 AND hour >= $3 AND class IN ('ok', 'declined')
        UNION ALL
        SELECT CASE WHEN amends IS NULL THEN 1 ELSE 0 END, operation, application_id FROM billing.usage_event
         WHERE payer = $1 AND account_id = $1 AND environment = $2 AND id >= $4 AND occurred_at >= $3
           AND class IN ('ok', 'declined')
           AND stored_xid >= (SELECT xid FROM billing.watermark WHERE step = 'rollup')) AS call
     WHERE (operation = $5 OR split_part(operation, '/', 1) = $5) AND ($6::text IS NULL OR application_id = $6)
"""
_UNITS = """
    SELECT price_version, sum(units) AS units FROM (
        SELECT price_version, units, application_id, cost_centre_id FROM billing.usage_hour
         WHERE account_id = $1 AND environment = $2 AND hour >= $3 AND billable_calls > 0
        UNION ALL
        SELECT price_version, units, application_id, cost_centre_id FROM billing.usage_event
         WHERE payer = $1 AND account_id = $1 AND environment = $2 AND id >= $4 AND occurred_at >= $3 AND billable
           AND stored_xid >= (SELECT xid FROM billing.watermark WHERE step = 'rollup')) AS call
     WHERE $5 = 'account' OR ($5 = 'application' AND application_id = $6) OR ($5 = 'cost_centre' AND cost_centre_id = $6)
     GROUP BY price_version
"""
# Where a price depends on the single event: each as amended, or as it is; one that was amended to nothing is none. Results
# that amend one call are several: their shares are bounded one by one.
_EVENTS = """
    SELECT price_version, dimension_names, dimension_values, units, count(*) AS events FROM (
        SELECT price_version, dimension_names, dimension_values, sum(units) AS units FROM billing.usage_event
         WHERE payer = $1 AND account_id = $1 AND environment = $2 AND id >= $4 AND occurred_at >= $3 AND billable
           AND ($5 = 'account' OR ($5 = 'application' AND application_id = $6) OR ($5 = 'cost_centre' AND cost_centre_id = $6))
           AND price_version = ANY($7)
         GROUP BY CASE WHEN price_version = ANY($8) THEN id ELSE coalesce(amends, id) END, 1, 2, 3 HAVING count(amends) = 0 OR sum(units) <> 0) AS event
    GROUP BY 1, 2, 3, 4
"""
# A fee or bounds for each event, a price for each combination: the sum of the events' units does not tell their charges.
_BY_EVENT = (Matrix, Outcome, Percentage)


async def calls_so_far(connection: Connection, wanted: Wanted) -> Decimal:
    """The calls of a quota's period that count, as far as they are stored."""
    calls: Decimal = await connection.fetchval(_CALLS, *_where(wanted), wanted.counts, wanted.application_id)
    return Decimal(calls)


async def charges_so_far(connection: Connection, wanted: Wanted, scope: str, scope_id: str) -> Decimal:
    """What the stored calls of a budget's month come to at list price, as if each had been counted."""
    where = *_where(wanted), scope, scope_id
    units = {row["price_version"]: row["units"] for row in await connection.fetch(_UNITS, *where)}
    versions = await price_versions(connection, units)
    by_event = {one.id: applied(one) for one in versions if isinstance(one.price, _BY_EVENT)}
    charges = Decimal(0)
    for version in versions:
        if version.id not in by_event:
            charges += list_amount(version.price, units[version.id])
    shares = [id_ for id_, one in by_event.items() if isinstance(one.price, Outcome)]
    for row in await connection.fetch(_EVENTS, *where, list(by_event), shares) if by_event else ():
        if (price := by_event[row["price_version"]].of(dimensions_of(row))) is not None:
            charges += price.amount(row["units"]) * row["events"]
    return charges


def _where(wanted: Wanted) -> tuple[object, ...]:
    lowest, _ = ids_between(wanted.environment, wanted.starts_at)
    return wanted.account_id, wanted.environment, wanted.starts_at, lowest

"""What a limit starts from: the stored calls of its period that were made before it was counted."""

from decimal import Decimal

import msgspec

from billing.lease.terms import Wanted
from billing.transaction import Connection
from catalog.load import price_version
from catalog.plan import list_amount
from catalog.vocabulary.ids import event_id_floor

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
_PRICES = """
    SELECT id, service, plan_id, operation, currency, version, effective_from, effective_on, supersedes_after,
           billable_on, model, price
    FROM catalog.price_version WHERE id = ANY($1)
"""


async def calls_so_far(connection: Connection, wanted: Wanted) -> Decimal:
    """The calls of a quota's period that count, as far as they are stored."""
    calls: Decimal = await connection.fetchval(_CALLS, *_where(wanted), wanted.counts, wanted.application_id)
    return Decimal(calls)


async def charges_so_far(connection: Connection, wanted: Wanted, scope: str, scope_id: str) -> Decimal:
    """What the stored calls of a budget's month come to at list price."""
    rows = await connection.fetch(_UNITS, *_where(wanted), scope, scope_id)
    units = {row["price_version"]: row["units"] for row in rows}
    charges = Decimal(0)
    for row in await connection.fetch(_PRICES, list(units)):
        version = price_version({**row, "price": msgspec.json.decode(row["price"])})
        charges += list_amount(version.price, units[version.id])
    return charges


def _where(wanted: Wanted) -> tuple[object, ...]:
    return wanted.account_id, wanted.environment, wanted.starts_at, event_id_floor(wanted.starts_at)

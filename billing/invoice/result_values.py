"""The results that an `outcome` price takes a share of: what a line was billed for, or what a draft would bill."""

from decimal import Decimal

from billing.invoice.month import Month
from billing.invoice.used import LineKey
from billing.result.month import OF_OUTCOME
from billing.result.rows import REPLIED_VALUE
from billing.transaction import Connection
from catalog.plan.price import Outcome

_OF_LINE = """
    FROM billing.usage_event AS event JOIN catalog.account ON account.id = event.payer
    WHERE payer = $1 AND environment = $2 AND date_trunc('month', occurred_at AT TIME ZONE timezone)::date = $3
      AND event.subscription_id = $4 AND event.operation = $5
      AND event.stored_xid < (SELECT xid FROM billing.watermark WHERE step = 'rollup')
"""
# Under an outcome price nothing is billable but what an accepted result amends.
_BILLED = f"SELECT units {_OF_LINE} AND billable AND price_version = $6 ORDER BY event.id"
_ACCEPTED = f"SELECT units {_OF_LINE} AND amends IS NOT NULL AND {OF_OUTCOME} ORDER BY event.id"
# What was said of a result counts for prices that take their share of the same field of the reply.
_REPLIED = f"""
    WITH kept AS (
        SELECT DISTINCT ON (passport.version) passport.version, dimension.key AS name
        FROM catalog.passport CROSS JOIN jsonb_array_elements(document -> 'operations') AS entry
        CROSS JOIN jsonb_each_text(entry -> 'meter' -> 'dimensions') AS dimension
        WHERE service = split_part($5, '/', 1) AND entry ->> 'id' = split_part($5, '/', 2) AND dimension.value = $6
        ORDER BY passport.version, revision DESC, dimension.key)
    SELECT units FROM (
        SELECT event.id, latest.kind, coalesce(latest.value, {REPLIED_VALUE}) AS units
        FROM (SELECT event.* {_OF_LINE} AND class = 'ok' AND amends IS NULL) AS event
        JOIN kept ON kept.version = event.passport_version
        CROSS JOIN LATERAL (
            SELECT event.dimension_values[array_position(event.dimension_names, kept.name)] AS text) AS said
        LEFT JOIN LATERAL (
            SELECT kind, value FROM billing.result_step AS step WHERE step.result_id = event.id AND step.price_version IN (
                SELECT id FROM catalog.price_version WHERE price ->> 'of' = $6)
            ORDER BY step.step DESC LIMIT 1) AS latest ON true) AS replied
    WHERE units > 0 AND coalesce(kind, 'stated') IN ('stated', 'accepted') ORDER BY id
"""  # noqa: S608 - a constant


async def billed_results(connection: Connection, month: Month, key: LineKey) -> tuple[Decimal, ...]:
    """The accepted results of a line, as far as they are rolled up."""
    return await _values(connection, _BILLED, month, key, key.price_version)


async def drafted_results(
    connection: Connection, month: Month, key: LineKey, price: Outcome
) -> tuple[Decimal, ...]:
    """The results that a price which is not in force would take a share of: those that the replies state at its `of`, as they
    stand by now (accepted, or open and perhaps stated anew; not those declined or withdrawn), or without it those that were
    accepted."""
    if price.of is None:
        return await _values(connection, _ACCEPTED, month, key)
    return await _values(connection, _REPLIED, month, key, price.of)


async def _values(
    connection: Connection, query: str, month: Month, key: LineKey, *more: str
) -> tuple[Decimal, ...]:
    rows = await connection.fetch(
        query,
        month.account_id,
        month.environment,
        month.period.first_day,
        key.subscription_id,
        key.operation,
        *more,
    )
    return tuple(row["units"] for row in rows)

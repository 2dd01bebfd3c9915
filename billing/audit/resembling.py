"""Reported usage that says what another report says, under another id: told before it is billed, and never dropped. What was
corrected says what its last correction says, and nothing once that voids it.

An id is the sender's word that two events are two. A sender that makes a new id on each attempt bills its payer twice, and
nobody but a person can know: two calls of one kind may well happen at one moment.
"""

from uuid import UUID

import asyncpg

from billing.transaction import Connection
from catalog.vocabulary.counted import counted
from catalog.vocabulary.ids import Environment, call_id_text

_NAMED_MAX = 20
# What has stood on an issued document is told no more.
_RESEMBLING = """
    SELECT account_id, month, operation, sum(copies - 1)::bigint AS more, min(first) AS first
    FROM (SELECT payer AS account_id, operation, count(*) AS copies, min(event.id::text) AS first,
                 date_trunc('month', occurred_at AT TIME ZONE timezone)::date AS month
          FROM billing.usage_event AS event JOIN catalog.account ON account.id = payer
          LEFT JOIN (SELECT event_id, units_after FROM billing.correction WHERE NOT EXISTS (
                         SELECT FROM billing.correction AS later
                         WHERE (later.account_id, later.environment, later.source, later.corrects_id)
                             = (correction.account_id, correction.environment, correction.source, correction.id))) AS latest
                 ON latest.event_id = event.id
          WHERE event.environment = $1 AND recorded_by = 'import' AND stored_xid < $2::xid8
            AND units_after IS DISTINCT FROM 0
          GROUP BY payer, timezone, application_id, cost_centre_id, subscription_id, operation, class,
                   coalesce(units_after, units), dimension_names, dimension_values, occurred_at
          HAVING count(*) > 1) AS same
    WHERE NOT EXISTS (SELECT FROM billing.invoice WHERE state = 'issued' AND environment = $1
                      AND (invoice.account_id, invoice.period) = (same.account_id, same.month))
    GROUP BY account_id, month, operation ORDER BY account_id, month, operation LIMIT $3
"""


async def resembling(connection: Connection, environment: Environment, bound: int) -> tuple[str, ...]:
    """A sentence for each account, open month and operation, twenty at most; of what was stored below `bound`."""
    rows = await connection.fetch(_RESEMBLING, environment, bound, _NAMED_MAX)
    return tuple(_sentence(environment, row) for row in rows)


def _sentence(environment: Environment, row: asyncpg.Record) -> str:
    what = counted(
        row["more"],
        "reported event says what another says, under another id",
        "reported events say what others say, under other ids",
    )
    place = f"{environment} {row['account_id']} {row['month']:%Y-%m} {row['operation']}"
    return (
        f"{place}: {what} (first {call_id_text(UUID(row['first']))}): "
        "ask their sender, who can correct what was doubled to 0, before the month is issued"
    )

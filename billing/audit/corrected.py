"""Corrections of reported usage against the usage rows that they moved: one sentence a difference."""

from collections.abc import AsyncIterator

import asyncpg

from billing.transaction import Connection
from catalog.vocabulary.ids import Environment, call_id_text
from catalog.vocabulary.money import plain

# An event and its corrections are one line: none but the first corrects the event itself, none but the last is not corrected.
_CHAINS = """
    WITH step AS (
        SELECT one.*, earlier.id IS NULL AS is_first, later.id IS NULL AS is_last,
               coalesce((own.event_id, corrected.event_id) = (one.event_id, one.event_id), false) AS is_of_event
        FROM billing.correction AS one
        LEFT JOIN billing.seen AS own
          ON (own.account_id, own.environment, own.source, own.id) = (one.account_id, one.environment, one.source, one.id)
        LEFT JOIN billing.seen AS corrected
          ON (corrected.account_id, corrected.environment, corrected.source, corrected.id)
           = (one.account_id, one.environment, one.source, one.corrects_id)
        LEFT JOIN billing.correction AS earlier
          ON (earlier.account_id, earlier.environment, earlier.source, earlier.id, earlier.event_id)
           = (one.account_id, one.environment, one.source, one.corrects_id, one.event_id)
        LEFT JOIN billing.correction AS later
          ON (later.account_id, later.environment, later.source, later.corrects_id, later.event_id)
           = (one.account_id, one.environment, one.source, one.id, one.event_id)
        WHERE one.environment = $1
    ), chain AS (
        SELECT event_id, account_id, max(units_after) FILTER (WHERE is_last) AS units,
               count(*) FILTER (WHERE is_first) = 1 AND count(*) FILTER (WHERE is_last) = 1 AND bool_and(is_of_event) AS is_one_line,
               array_remove(array_agg(amendment_id), NULL) AS amendments
        FROM step GROUP BY event_id, account_id
    ), compared AS (
        SELECT chain.*, event.id IS NOT NULL AND event.recorded_by = 'import' AND event.account_id = chain.account_id AS is_reported,
               event.billable, event.units + coalesce(made.units, 0) AS stored,
               coalesce(made.ids, '{}') @> amendments AND (NOT event.billable OR coalesce(made.ids, '{}') <@ amendments) AS is_amended
        FROM chain LEFT JOIN billing.usage_event AS event ON event.id = event_id
        LEFT JOIN LATERAL (SELECT array_agg(id) AS ids, sum(units) AS units FROM billing.usage_event
                           WHERE amends = event_id) AS made ON true
    )
    SELECT * FROM compared
    WHERE NOT (is_one_line AND is_reported AND is_amended AND CASE WHEN billable THEN stored = units ELSE amendments = '{}' END)
    ORDER BY event_id
"""
# Results are compared with their acceptances (`billing/result/faults.py`).
_UNSAID = """
    SELECT made.id, made.amends, made.account_id, made.units FROM billing.usage_event AS made
    LEFT JOIN catalog.price_version AS price ON price.id = made.price_version
    WHERE made.amends IS NOT NULL AND made.environment = $1 AND price.model IS DISTINCT FROM 'outcome'
      AND NOT EXISTS (SELECT FROM billing.correction AS said
                      WHERE said.event_id = made.amends AND said.account_id = made.account_id)
    ORDER BY made.id
"""


async def correction_differences(connection: Connection, environment: Environment) -> AsyncIterator[str]:
    """Where the last correction of an event is not what its usage rows sum to, the corrections are no single line, or usage
    rows amend what nobody corrected."""
    for row in await connection.fetch(_UNSAID, environment):
        yield (
            f"{environment} usage {row['id'].hex} of {row['account_id']}: {plain(row['units'])} units amend "
            f"{call_id_text(row['amends'])}, which nobody corrected"
        )
    for row in await connection.fetch(_CHAINS, environment):
        yield f"{environment} corrections of {call_id_text(row['event_id'])}: {_difference(row)}"


def _difference(row: asyncpg.Record) -> str:
    if not row["is_reported"]:
        return "no such usage was reported by the account"
    if not row["is_one_line"]:
        return "they do not follow one another"
    if not row["is_amended"]:
        return "the usage rows that they made are not those that are stored"
    if not row["billable"]:
        return "nothing is billed by it, and usage rows were made"
    return f"the last one says {plain(row['units'])}, stored {plain(row['stored'])}"

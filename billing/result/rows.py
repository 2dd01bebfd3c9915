"""The results of a month as the books have them: what replies and the provider stated, and what became of it."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import asyncpg
import msgspec

from billing.result.month import Shares, StatedMonth
from billing.transaction import Connection

ResultState = Literal["stated", "withdrawn", "declined", "accepted"]

# A reply states a result where the field that its price takes a share of, `said.text`, is a decimal above zero.
REPLIED_VALUE = "CASE WHEN said.text ~ '^[0-9]{1,18}([.][0-9]{1,20})?$' THEN said.text::numeric END"
_REPLIED = f"""
    SELECT event.id AS result_id, event.operation, event.subscription_id, event.price_version, event.occurred_at,
           {REPLIED_VALUE} AS value
    FROM billing.usage_event AS event
    JOIN unnest($4::text[], $5::text[], $6::text[]) AS kept (price_version, passport_version, name)
      ON (kept.price_version, kept.passport_version) = (event.price_version, event.passport_version)
    CROSS JOIN LATERAL (SELECT event.dimension_values[array_position(event.dimension_names, kept.name)] AS text) AS said
    WHERE event.account_id = $1 AND event.payer = $1 AND event.environment = $2
      AND event.id >= $7 AND event.id < $8 AND event.occurred_at >= $9 AND event.occurred_at < $10
      AND event.class = 'ok' AND event.amends IS NULL
"""  # noqa: S608 - a constant
# Results of one month, or the one of them that $11 names.
RESULTS = f"""
    replied AS (SELECT * FROM ({_REPLIED}) AS any_value WHERE value > 0),
    latest AS (
        SELECT DISTINCT ON (result_id) * FROM billing.result_step
        WHERE account_id = $1 AND environment = $2 AND period = $3 AND ($11::uuid IS NULL OR result_id = $11)
        ORDER BY result_id, step DESC),
    result AS (
        SELECT coalesce(latest.result_id, replied.result_id) AS result_id, coalesce(latest.step, 0) AS step,
               coalesce(latest.call_id, replied.result_id) AS call_id,
               coalesce(latest.operation, replied.operation) AS operation,
               coalesce(latest.subscription_id, replied.subscription_id) AS subscription_id,
               coalesce(latest.price_version, replied.price_version) AS price_version,
               coalesce(latest.kind, 'stated') AS state, coalesce(latest.value, replied.value) AS value,
               coalesce(latest.taken_at, replied.occurred_at) AS since, coalesce(latest.words, '') AS words
        FROM replied FULL JOIN latest USING (result_id))
"""  # noqa: S608 - a constant
# What one result costs before discounts and the month's bounds: nothing where nothing was gained.
SHARED = """
    result JOIN unnest($12::text[], $13::numeric[], $14::numeric[], $15::numeric[]) AS terms (id, rate, low, high)
      ON terms.id = result.price_version
    CROSS JOIN LATERAL (
        SELECT CASE WHEN value > 0 THEN least(greatest(value * rate, low), high) ELSE 0 END AS share) AS shared
"""
_SUMS = f"""
    WITH {RESULTS}
    SELECT subscription_id, operation, price_version, state, count(*) AS results, sum(value) AS value, sum(share) AS share
    FROM {SHARED} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""  # noqa: S608 - constants of this file
_LISTED = f"""
    WITH {RESULTS}
    SELECT result.*, proof.baseline, proof.measured, proof.volume, proof.words AS evidence, share
    FROM {SHARED}
    LEFT JOIN LATERAL (SELECT baseline, measured, volume, words FROM billing.result_step
                       WHERE result_step.result_id = result.result_id AND kind = 'stated' ORDER BY step DESC LIMIT 1)
           AS proof ON true
    WHERE ($11::uuid IS NULL OR result.result_id = $11)
"""  # noqa: S608 - constants of this file


class ResultSum(msgspec.Struct, frozen=True):
    """The results of one line in one state: how many, what they come to, and the price's share of it."""

    subscription_id: str
    operation: str
    price_version: str
    state: ResultState
    results: int
    value: Decimal
    share: Decimal


class Result(msgspec.Struct, frozen=True):
    """One result. `baseline`, `measured`, `volume` and `evidence` are the provider's, None where a reply stated it; `words` is
    why it was declined or withdrawn; `share` is what it costs before discounts and the bounds of the month."""

    result_id: UUID
    step: int
    call_id: UUID
    operation: str
    subscription_id: str
    price_version: str
    state: ResultState
    value: Decimal
    since: datetime
    words: str
    baseline: Decimal | None
    measured: Decimal | None
    volume: Decimal | None
    evidence: str | None
    share: Decimal


async def result_sums(connection: Connection, month: StatedMonth, shares: Shares) -> tuple[ResultSum, ...]:
    """The results of a month by line and state."""
    if not shares.prices:
        return ()
    return sums_of(await connection.fetch(_SUMS, *asked(month, shares)))


def sums_of(rows: list[asyncpg.Record]) -> tuple[ResultSum, ...]:
    """Rows of sums as values."""
    return tuple(ResultSum(*(row[name] for name in ResultSum.__struct_fields__)) for row in rows)


async def listed_results(
    connection: Connection, month: StatedMonth, shares: Shares, limit: int, after: UUID | None
) -> list[Result]:
    """At most `limit` results of a month by id, behind the one named by `after`."""
    if not shares.prices:
        return []
    rows = await connection.fetch(
        f"{_LISTED} AND ($16::uuid IS NULL OR result.result_id > $16) ORDER BY result.result_id LIMIT $17",
        *asked(month, shares),
        after,
        limit,
    )
    return [Result(**row) for row in rows]


async def one_result(
    connection: Connection, month: StatedMonth, shares: Shares, result_id: UUID
) -> Result | None:
    """A result of the month as it stands; None if the month has none of this id."""
    row = await connection.fetchrow(_LISTED, *asked(month, shares, result_id))
    return None if row is None else Result(**row)


def asked(month: StatedMonth, shares: Shares, only: UUID | None = None) -> tuple[object, ...]:
    """The arguments of `RESULTS` and `SHARED`."""
    low, high = month.ids if only is None else (only, UUID(int=only.int + 1))
    return (
        month.account_id,
        month.environment,
        month.period.first_day,
        shares.kept_prices,
        shares.kept_versions,
        shares.kept_names,
        low,
        high,
        *month.bounds,
        only,
        shares.prices,
        shares.rates,
        *shares.bounds,
    )

"""Rating again from single usage rows, without the stored hours and without what was rated before."""

from collections.abc import AsyncIterator, Mapping

import asyncpg
import msgspec

from billing.invoice.month import Month, payer_of, period_of
from billing.invoice.price import rate_lines
from billing.invoice.used import NOTHING, LineKey, Used, lines_of
from billing.rate import Rating, UsageError
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment


class ReratedLine(msgspec.Struct, frozen=True):
    """A line of a month as one single rating of all its calls makes it; None where the month cannot be rated."""

    key: LineKey
    used: Used
    rating: Rating | None


class ReratedMonth(msgspec.Struct, frozen=True):
    """All lines of a month. `unratable` says why a price of it cannot be applied to what was used; empty: it can."""

    month: Month
    lines: tuple[ReratedLine, ...]
    unratable: str = ""

    def __str__(self) -> str:
        """For messages about a month that cannot be rated."""
        calls = sum(line.used.calls for line in self.lines)
        return f"{self.month.account_id} {self.month.period}: {calls} calls cannot be rated: {self.unratable}"


_ROWS = """
    SELECT event.payer AS account_id, date_trunc('month', event.occurred_at AT TIME ZONE account.timezone)::date AS period,
           event.subscription_id, event.operation, event.price_version, event.application_id, event.cost_centre_id,
           count(*) FILTER (WHERE event.amends IS NULL) AS calls, coalesce(sum(event.units) FILTER (WHERE event.billable), 0) AS units
      FROM billing.usage_event AS event
      JOIN catalog.account AS account ON account.id = event.payer
     WHERE event.environment = $1 AND event.stored_xid < (SELECT xid FROM billing.watermark WHERE step = 'rollup')
     GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
"""


async def rerated_months(connection: Connection, environment: Environment) -> AsyncIterator[ReratedMonth]:
    """Every month of an environment by account, from the usage rows below the watermark.

    Only reads, in the caller's transaction, which must be REPEATABLE READ: a transaction that writes has an id, and as
    long as it lasts no roll-up passes that.
    """
    async for month, used in _used_months(connection, environment):
        payer = await payer_of(connection, month.account_id)
        try:
            ratings = await rate_lines(connection, payer, month, used)
        except UsageError as error:
            unrated = tuple(ReratedLine(key, one, None) for key, one in used.items())
            yield ReratedMonth(month, unrated, str(error))
        else:
            yield ReratedMonth(month, _lines(used, ratings))


def _lines(used: Mapping[LineKey, Used], ratings: Mapping[LineKey, Rating]) -> tuple[ReratedLine, ...]:
    return tuple(ReratedLine(key, used.get(key, NOTHING), rating) for key, rating in ratings.items())


async def _used_months(
    connection: Connection, environment: Environment
) -> AsyncIterator[tuple[Month, Mapping[LineKey, Used]]]:
    """What was used, month by month: no more than one of them is held at a time."""
    month: Month | None = None
    shares: list[asyncpg.Record] = []
    async for row in connection.cursor(_ROWS, environment, prefetch=1_000):
        found = Month(row["account_id"], environment, period_of(row["period"]))
        if month is not None and found != month:
            yield month, lines_of(shares)
            shares = []
        month = found
        shares.append(row)
    if month is not None:
        yield month, lines_of(shares)

"""Rating again from single usage rows, without the stored hours and without what was rated before."""

from collections.abc import AsyncIterator

import msgspec

from billing.invoice.month import Month, payer_of, period_of
from billing.invoice.price import rate_lines
from billing.invoice.used import NOTHING, LineKey, Used, used_lines
from billing.rate import Rating
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment


class ReratedLine(msgspec.Struct, frozen=True):
    """A line of a month as one single rating of all its calls makes it."""

    month: Month
    key: LineKey
    used: Used
    rating: Rating


async def rerated_lines(connection: Connection, environment: Environment) -> AsyncIterator[ReratedLine]:
    """Every line of an environment by account and month; needs `billing.rollup.recompute.recompute` in this transaction."""
    rows = await connection.fetch(
        "SELECT DISTINCT account_id, period FROM pg_temp.recomputed_usage_hour WHERE environment = $1 ORDER BY 1, 2",
        environment,
    )
    for row in rows:
        month = Month(row["account_id"], environment, period_of(row["period"]))
        payer = await payer_of(connection, month.account_id)
        used = await used_lines(connection, month, table="pg_temp.recomputed_usage_hour")
        ratings = await rate_lines(connection, payer, month, used)
        for key, rating in ratings.items():
            yield ReratedLine(month, key, used.get(key, NOTHING), rating)

"""Which accounts have not said yet what they think of a month's results."""

import msgspec

from billing.result.month import OF_OUTCOME, shares_of, stated_month
from billing.result.rows import result_sums
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period

_SOLD = f"""
    SELECT DISTINCT account_id, environment FROM billing.usage_hour
    WHERE period = $1 AND {OF_OUTCOME} ORDER BY account_id, environment
"""  # noqa: S608 - a constant


class OpenResults(msgspec.Struct, frozen=True):
    """How many results of an account are open."""

    account_id: str
    environment: Environment
    results: int


async def open_results(connection: Connection, period: Period) -> tuple[OpenResults, ...]:
    """The accounts in scope with open results of a month, as far as its calls are rolled up."""
    found = []
    for row in await connection.fetch(_SOLD, period.first_day):
        month = await stated_month(connection, row["account_id"], row["environment"], period)
        sums = await result_sums(connection, month, await shares_of(connection, month))
        waiting = sum(one.results for one in sums if one.state == "stated")
        if waiting:
            found.append(OpenResults(month.account_id, month.environment, waiting))
    return tuple(found)

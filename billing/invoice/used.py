"""What a month's rollups say was used, line by line: the input of rating."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import asyncpg
import msgspec

from billing.invoice.month import Month
from billing.transaction import Connection
from catalog.vocabulary.money import EXACT


class LineKey(msgspec.Struct, frozen=True, order=True):
    """What is priced together within a month: tiers cumulate over it. No price version means not billable."""

    subscription_id: str
    operation: str
    price_version: str

    @property
    def service(self) -> str:
        """The service that the operation belongs to."""
        return self.operation.partition("/")[0]


class Share(msgspec.Struct, frozen=True, order=True):
    """The part of a line that one application used for one cost centre."""

    application_id: str
    cost_centre_id: str
    calls: int
    units: Decimal


class Used(msgspec.Struct, frozen=True):
    """All calls and the billable units of a line, to both of which `shares` sum."""

    calls: int
    units: Decimal
    shares: tuple[Share, ...]


NOTHING = Used(0, Decimal(0), ())


_MONTH = """
    SELECT subscription_id, operation, price_version, application_id, cost_centre_id,
           sum(calls)::bigint AS calls, coalesce(sum(units) FILTER (WHERE billable_calls > 0), 0) AS units
    FROM billing.usage_hour
    WHERE account_id = $1 AND environment = $2 AND period = $3
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""


async def used_lines(connection: Connection, month: Month) -> Mapping[LineKey, Used]:
    """The lines of a month, in the order of their keys.

    Whether a call is billable follows from its class and price version, so an hour's calls of one class and version
    are billable all or none; `ordergate reconcile` checks it against the single calls.
    """
    return lines_of(
        await connection.fetch(_MONTH, month.account_id, month.environment, month.period.first_day)
    )


def lines_of(shares: Iterable[asyncpg.Record]) -> Mapping[LineKey, Used]:
    """The lines of one month from rows of their shares, which come in the order of the lines' keys."""
    lines: dict[LineKey, Used] = {}
    for row in shares:
        key = LineKey(row["subscription_id"], row["operation"], row["price_version"])
        share = Share(row["application_id"], row["cost_centre_id"], row["calls"], row["units"])
        so_far = lines.get(key, NOTHING)
        lines[key] = Used(
            so_far.calls + share.calls,
            EXACT.add(so_far.units, share.units),
            (*so_far.shares, share),
        )
    return lines

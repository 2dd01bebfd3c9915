"""A bill that is far above what the account is used to waits for a person."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from statistics import median

from billing.invoice.month import period_of
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period

UNUSUAL = "unusual-amount"
"""Why such a draft is held."""

_TIMES = 10
_EARLIER_MIN = 3
_EARLIER_MAX = 12

# The last documents before each month that could be issued now are among the last ones up to the period.
_TOTALS = """
    SELECT account_id, environment, period, total
    FROM (SELECT account_id, environment, period, total,
                 row_number() OVER (PARTITION BY account_id, environment ORDER BY period DESC) AS place
          FROM billing.invoice
          WHERE state = 'issued' AND period <= $1 AND ($3::text IS NULL OR account_id = $3)) AS issued
    WHERE place <= $2 ORDER BY period
"""

Books = tuple[str, Environment]


async def earlier_totals(
    connection: Connection, period: Period, account_id: str | None = None
) -> Mapping[Books, list[tuple[Period, Decimal]]]:
    """The totals of the last documents up to a month, oldest first, by account and environment; of one account or all."""
    found: dict[Books, list[tuple[Period, Decimal]]] = {}
    for row in await connection.fetch(_TOTALS, period.first_day, _EARLIER_MAX, account_id):
        books = (row["account_id"], row["environment"])
        found.setdefault(books, []).append((period_of(row["period"]), row["total"]))
    return found


def is_unusual(total: Decimal, earlier: Sequence[Decimal]) -> bool:
    """Whether a bill is more than ten times the median of the account's last documents, twelve at most, three at least."""
    recent = earlier[-_EARLIER_MAX:]
    return len(recent) >= _EARLIER_MIN and total > _TIMES * median(recent)

"""How the calls of an operation ended in a month, under whatever price they were made: what a success rate is taken of."""

from decimal import Decimal

from billing.invoice.month import Month
from billing.rate import CallCounts
from billing.rollup.success import counted
from billing.transaction import Connection
from catalog.plan import Price
from catalog.plan.price import Bucketed


def has_success_factor(price: Price) -> bool:
    """Whether the account's own rate of the month moves an amount of the price."""
    return bool(price.success_factor or (isinstance(price, Bucketed) and price.price.success_factor))


async def success_counts(
    connection: Connection, month: Month, operation: str, *, of_all: bool = False, months: int = 1
) -> CallCounts:
    """Those of the account, or of all that are in scope, in the months up to this one; as far as they are rolled up."""
    first = month.period
    for _ in range(months - 1):
        first = first.previous()
    row = await connection.fetchrow(
        f"SELECT coalesce(sum(calls), 0)::bigint AS calls, {counted('calls')} FROM billing.usage_hour "  # noqa: S608
        "WHERE ($1::text IS NULL OR account_id = $1) AND environment = $2 AND period BETWEEN $3 AND $4 "
        "AND operation = $5",
        None if of_all else month.account_id,
        month.environment,
        first.first_day,
        month.period.first_day,
        operation,
    )
    assert row is not None, "an aggregate has one row"
    return CallCounts(*map(Decimal, row))

"""How the limits of an account stand, for people to read: nothing is locked, nothing is made."""

from datetime import date
from decimal import Decimal

from billing.lease.so_far import calls_so_far
from billing.lease.terms import Standing, Wanted
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment

_ROW = """
    SELECT used - returned AS used, leased FROM billing.allowance
    WHERE account_id = $1 AND environment = $2 AND kind = $3 AND subject = $4 AND starts_on = $5
"""


async def quota_standing(connection: Connection, wanted: Wanted) -> Standing:
    """A quota in a period: as it is counted, or by the stored calls where nothing has been counted yet."""
    row = await connection.fetchrow(
        _ROW, wanted.account_id, wanted.environment, "quota", wanted.subject, wanted.starts_on
    )
    if row is None:
        return Standing(wanted.limit, await calls_so_far(connection, wanted), Decimal(0))
    return Standing(wanted.limit, row["used"], row["leased"])


async def budget_standing(
    connection: Connection,
    account_id: str,
    environment: Environment,
    budget_id: str,
    month: date,
    amount: Decimal,
) -> Standing | None:
    """A hard budget in a month as it is counted, at list prices; None where no call has been held to it yet."""
    row = await connection.fetchrow(_ROW, account_id, environment, "budget", budget_id, month)
    return None if row is None else Standing(amount, row["used"], row["leased"])

"""What all who count against limits agree on: in what order grants are consumed, and that a limit begins with nobody else
counting.

A new limit starts from the stored calls of its period. Usage that is being reported meanwhile is not among them, and finds no
limit that it could be counted in: one of the two has to wait for the other.
"""

from billing.transaction import Connection

# Beside a row of `billing.credit_grant`: by priority, then what expires soonest, then the oldest.
CONSUMED_FIRST = "priority, valid_until NULLS LAST, granted_at, credit_grant.id"
_KEY = "hashtextextended('billing.allowance ' || $1, 0)"


async def begin_alone(connection: Connection, account_id: str) -> None:
    """Until the caller's transaction ends no usage of the account is reported, and what was is committed."""
    await connection.execute(f"SELECT pg_advisory_xact_lock({_KEY})", account_id)


async def keep_limits(connection: Connection, account_id: str) -> None:
    """Until the caller's transaction ends no limit of the account begins; others may report as well."""
    await connection.execute(f"SELECT pg_advisory_xact_lock_shared({_KEY})", account_id)

"""Door for the gateway: the usage rows of calls that changed state, written together with their effects."""

from billing.store.insert import insert_rows
from billing.transaction import Connection
from catalog.usage_event import UsageEvent


async def record(transaction: Connection, *events: UsageEvent) -> None:
    """Write a usage row for each event, in one statement on the caller's connection, in its transaction; never commits.

    The transaction's scope is the events' account, or nothing is written. Raises asyncpg.UniqueViolationError for an
    id that was recorded before, asyncpg.InsufficientPrivilegeError for another account's event, and
    asyncpg.CheckViolationError for values outside the event's vocabulary or a day without a partition.
    """
    assert transaction.is_in_transaction(), "usage is recorded only together with its effect"
    await insert_rows(transaction, events, "transaction")

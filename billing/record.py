"""Door for the gateway: the usage row of a call that changed state, written together with its effect."""

from billing.store.usage_row import COLUMNS, usage_row
from billing.transaction import Connection
from catalog.usage_event import UsageEvent

_INSERT = (
    f"INSERT INTO billing.usage_event ({', '.join(COLUMNS)}) "  # noqa: S608 - constants of this package
    f"VALUES ({', '.join(f'${position}' for position in range(1, len(COLUMNS) + 1))})"
)


async def record(transaction: Connection, event: UsageEvent) -> None:
    """Write one usage row on the caller's connection, in the caller's transaction; never commits.

    The transaction's scope is the event's account, or nothing is written. Raises asyncpg.UniqueViolationError for an
    id that was recorded before, asyncpg.InsufficientPrivilegeError for another account's event, and
    asyncpg.CheckViolationError for values outside the event's vocabulary or a day without a partition.
    """
    assert transaction.is_in_transaction(), "usage is recorded only together with its effect"
    await transaction.execute(_INSERT, *usage_row(event, "transaction"))

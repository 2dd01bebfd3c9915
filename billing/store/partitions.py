"""The daily partitions of `billing.usage_event`: there before anything has to be written into them."""

from collections.abc import Iterable
from datetime import date, timedelta

from billing.transaction import Connection

# A transactional call cannot wait for a partition: two weeks of a billing process that is down stop no call.
DAYS_AHEAD = 14


async def ensure_days(connection: Connection, days: Iterable[date]) -> None:
    """Make the partitions of these UTC days of event ids where they are missing, in the caller's transaction."""
    await connection.execute(
        "SELECT billing.ensure_day(day) FROM unnest($1::date[]) AS day", sorted(set(days))
    )


async def ensure_upcoming(connection: Connection, today: date) -> None:
    """Make yesterday's to `DAYS_AHEAD` days' partitions; `today` is the UTC day. Call it outside a transaction.

    One transaction a day, so that the lock on the whole table is given back in between. Yesterday's, for calls that
    were admitted before midnight on an installation made after it.
    """
    assert not connection.is_in_transaction()
    for ahead in range(-1, DAYS_AHEAD + 1):
        await ensure_days(connection, [today + timedelta(days=ahead)])

"""Usage from elsewhere is stored once, and counts from then on against the limits that there are: one transaction.

It has happened, so no limit refuses it; what is left may become less than nothing. Metered calls are then refused.
"""

from collections.abc import Sequence
from datetime import datetime

from billing.lease.begin import keep_limits
from billing.lease.reported import count_reports
from billing.store.reported import Received, Report, store_reports
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment


async def accept(
    connection: Connection,
    account_id: str,
    environment: Environment,
    timezone: str,
    reports: Sequence[Report],
    now: datetime,
) -> list[Received]:
    """Store and count what is new, in the caller's transaction and the scope of the account; answers in the order of
    `reports`. `timezone` is the account's: its calendar says which day and month an event counts in."""
    await keep_limits(connection, account_id)
    received = await store_reports(connection, account_id, environment, reports)
    new = [report for report, one in zip(reports, received, strict=True) if one.reception == "accepted"]
    if new:
        await count_reports(connection, account_id, environment, timezone, new, now)
    return received

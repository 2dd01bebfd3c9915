"""Usage from elsewhere is stored once, and counts from then on against the limits that there are: one transaction.

It has happened, so no limit refuses it; what is left may become less than nothing. Metered calls are then refused. What is
corrected counts by the difference.
"""

from collections.abc import Sequence
from datetime import datetime

from billing.lease.begin import begin_alone, keep_limits
from billing.lease.reported import count_reports
from billing.store.corrected import store_corrected
from billing.store.reported import Correction, Received, Report, store_reports
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment


async def accept(
    connection: Connection,
    account_id: str,
    environment: Environment,
    timezone: str,
    reports: Sequence[Report | Correction],
    now: datetime,
) -> list[Received]:
    """Store and count what is new, in the caller's transaction and the scope of the account; answers in the order of
    `reports`. `timezone` is the account's: its calendar says which day and month an event counts in."""
    alone = [one for one in reports if isinstance(one, Report)]
    if len(alone) == len(reports):
        await keep_limits(connection, account_id)
        stored = await store_reports(connection, account_id, environment, alone)
    else:
        # What a correction means depends on what was reported before: all of that is waited for.
        await begin_alone(connection, account_id)
        stored = await store_corrected(connection, account_id, environment, reports, now)
    if stored.counted:
        await count_reports(connection, account_id, environment, timezone, stored.counted, now)
    return stored.received

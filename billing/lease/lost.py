"""A journal that is lost for good: only a person knows it, and only then may its leases be closed without it."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import asyncpg

from billing.lease.give_back import close_leases
from billing.lease.settle import directories_by_journal, used_on_record
from billing.transaction import all_accounts
from catalog.registry import audit
from catalog.vocabulary.money import plain
from catalog.vocabulary.problem import Problem

# A worker goes on by a lease for half a minute without PostgreSQL.
_SILENT_MIN = timedelta(minutes=5)
_LEASES = """
    SELECT id, account_id, granted_at FROM billing.lease WHERE journal_id = $1 AND state <> 'closed' ORDER BY id
"""


async def settle_lost(
    pool: asyncpg.Pool, root: Path, journal_id: UUID, *, actor: str, now: datetime
) -> Mapping[int, Decimal]:
    """Close the leases of a journal with what the stored calls took of them, audited; answers that, by lease.

    The rest of them is free at once. What only the lost journal knew was served, and is neither billed nor counted.
    `Problem` not-found where no lease waits for it; conflict where it is not lost: it is under `root`, or a worker that
    writes it has shown itself in the last five minutes.
    """
    directories, _ = await asyncio.to_thread(directories_by_journal, root)
    if (found := directories.get(journal_id)) is not None:
        raise Problem(
            "conflict", f"The journal is not lost: it is {found}, and its leases are settled from it."
        )
    async with all_accounts(pool) as connection:
        seen_at = await connection.fetchval(
            "SELECT seen_at FROM billing.lease_holder WHERE journal_id = $1", journal_id
        )
        if seen_at is not None and seen_at > now - _SILENT_MIN:
            raise Problem(
                "conflict",
                f"A worker that writes this journal showed itself at {seen_at:%H:%M:%S} UTC: end it first.",
            )
        rows = await connection.fetch(_LEASES, journal_id)
        if not rows:
            raise Problem("not-found", f"No lease waits for the journal {journal_id}.")
        used = {row["id"]: await used_on_record(connection, *row) for row in rows}
        await close_leases(connection, used, now, states=["open", "orphaned"])
        detail = {"leases": {str(one): plain(amount) for one, amount in used.items()}}
        await audit.append(connection, actor, "leases.lost", f"journal/{journal_id}", detail, now)
    return used

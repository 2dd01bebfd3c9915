"""The leases of workers that have died: what was used of them is read from the recorded calls.

A worker is dead where another one writes its journal, or where it has been silent and nobody holds the journal's
lock. From then on nothing is added to the journal, so its end is the bound up to which calls can name the lease; a call
that committed with its effect has a transaction id below those that are handed out then. When the journal is shipped
that far and those transactions have ended, the sum over the stored calls is the truth. A worker that lives but cannot say
what became of a call gives its lease up, and it is settled in the same way.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import asyncpg

from billing.cut import take_cut
from billing.journal import adopt, journal_directories, journal_identity
from billing.lease.give_back import close_leases
from billing.transaction import Connection, all_accounts
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.ids import event_id_floor

# A worker that holds leases shows itself several times a second; one that restarts is back within this time.
SILENT_S = 5
# By so much a call may have begun before the lease that it took: waiting for it, or on a clock that was set back.
_BEFORE = timedelta(minutes=5)

_LEFT = """
    SELECT lease.id, lease.journal_id,
           state = 'orphaned' OR holder.worker_id IS DISTINCT FROM lease.worker_id AS is_left
    FROM billing.lease LEFT JOIN billing.lease_holder AS holder USING (journal_id)
    WHERE state = 'orphaned' AND bound_xid IS NULL
       OR state = 'open' AND (holder.worker_id IS DISTINCT FROM lease.worker_id OR holder.seen_at < $1)
"""
_BOUND = """
    UPDATE billing.lease SET state = 'orphaned', bound_seq = $2, bound_xid = $3::xid8
    WHERE id = ANY($1) AND state <> 'closed'
"""
_READY = """
    SELECT lease.id, account_id, granted_at FROM billing.lease
    LEFT JOIN billing.ship_offset USING (journal_id)
    WHERE state = 'orphaned' AND coalesce(last_seq, 0) >= bound_seq AND pg_snapshot_xmin(pg_current_snapshot()) >= bound_xid
"""
_USED = """
    SELECT coalesce(sum(taken.amount), 0) FROM billing.usage_event, unnest(lease_ids, lease_amounts) AS taken (id, amount)
    WHERE account_id = $1 AND usage_event.id >= $2 AND lease_ids @> ARRAY[$3::bigint] AND taken.id = $3
"""


async def settle_leases(pool: asyncpg.Pool, root: Path, mirrors: Path | None, clock: Clock) -> int:
    """Bound what has no holder any more, and close what all recorded calls are stored of; how many were closed.

    Leases on journals that are not under `root` are left to the machine that has them. Raises `JournalDamaged`, OSError.
    """
    now = from_ns(clock.now_ns())
    async with all_accounts(pool) as connection:
        rows = await connection.fetch(_LEFT, now - timedelta(seconds=SILENT_S))
    if rows:
        await _bound(pool, root, mirrors, rows)
    async with all_accounts(pool) as connection:
        ready = await connection.fetch(_READY)
        if ready:
            used = {row["id"]: await _used(connection, row) for row in ready}
            await close_leases(connection, used, now, states=["orphaned"])
    return len(ready)


async def _bound(
    pool: asyncpg.Pool, root: Path, mirrors: Path | None, rows: Sequence[asyncpg.Record]
) -> None:
    directories = await asyncio.to_thread(_by_journal, root)
    left: dict[Path, list[int]] = defaultdict(list)
    silent: dict[Path, list[int]] = defaultdict(list)
    for row in rows:
        if (directory := directories.get(row["journal_id"])) is not None:
            (left if row["is_left"] else silent)[directory].append(row["id"])
    for directory, ids in silent.items():
        copies = [directory] if mirrors is None else [directory, mirrors / directory.name]
        if await asyncio.to_thread(adopt, copies):
            left[directory].extend(ids)
    if not left:
        return
    cut = await take_cut(pool, root)
    async with all_accounts(pool) as connection:
        for directory, ids in left.items():
            await connection.execute(_BOUND, ids, cut.journals[directory], cut.xid)


def _by_journal(root: Path) -> Mapping[UUID, Path]:
    found = {journal_identity(directory): directory for directory in journal_directories(root)}
    return {journal_id: directory for journal_id, directory in found.items() if journal_id is not None}


async def _used(connection: Connection, row: asyncpg.Record) -> Decimal:
    granted_at: datetime = row["granted_at"]
    used: Decimal = await connection.fetchval(
        _USED, row["account_id"], event_id_floor(granted_at - _BEFORE), row["id"]
    )
    return used

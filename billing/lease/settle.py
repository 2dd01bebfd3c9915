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
from billing.journal import JournalDamaged, adopt, journal_directories, journal_identity
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

    Leases on journals that are not under `root` are left to the machine that has them. Raises `JournalDamaged` where a
    journal cannot be read and leases wait for it, after those of all other journals were settled; OSError.
    """
    now = from_ns(clock.now_ns())
    async with all_accounts(pool) as connection:
        rows = await connection.fetch(_LEFT, now - timedelta(seconds=SILENT_S))
    damaged = await _bound(pool, root, mirrors, rows) if rows else None
    async with all_accounts(pool) as connection:
        ready = await connection.fetch(_READY)
        if ready:
            used = {row["id"]: await used_on_record(connection, *row) for row in ready}
            await close_leases(connection, used, now, states=["orphaned"])
    if damaged is not None:
        raise damaged
    return len(ready)


async def _bound(
    pool: asyncpg.Pool, root: Path, mirrors: Path | None, rows: Sequence[asyncpg.Record]
) -> JournalDamaged | None:
    """Journal by journal, for one that a person has to look at must not hold the others up; why the last one could not."""
    directories, damaged = await asyncio.to_thread(directories_by_journal, root)
    left: dict[Path, list[int]] = defaultdict(list)
    silent: dict[Path, list[int]] = defaultdict(list)
    found = [row for row in rows if row["journal_id"] in directories]
    for row in found:
        (left if row["is_left"] else silent)[directories[row["journal_id"]]].append(row["id"])
    if len(found) == len(rows):
        # Of the journals that cannot be read none is waited for.
        damaged = None
    for directory in sorted(left.keys() | silent.keys()):
        try:
            ids = left[directory]
            if silent[directory] and await _is_without_writer(directory, mirrors):
                ids += silent[directory]
            if ids:
                cut = await take_cut(pool, root, [directory])
                async with all_accounts(pool) as connection:
                    await connection.execute(_BOUND, ids, cut.journals[directory], cut.xid)
        except JournalDamaged as error:
            damaged = error
    return damaged


async def _is_without_writer(directory: Path, mirrors: Path | None) -> bool:
    copies = [directory] if mirrors is None else [directory, mirrors / directory.name]
    return await asyncio.to_thread(adopt, copies)


def directories_by_journal(root: Path) -> tuple[Mapping[UUID, Path], JournalDamaged | None]:
    """The directory of each journal, and why the last one cannot be read that cannot."""
    found: dict[UUID, Path] = {}
    damaged: JournalDamaged | None = None
    for directory in journal_directories(root):
        try:
            journal_id = journal_identity(directory)
        except JournalDamaged as error:
            damaged = error
        else:
            if journal_id is not None:
                found[journal_id] = directory
    return found, damaged


async def used_on_record(
    connection: Connection, lease_id: int, account_id: str, granted_at: datetime
) -> Decimal:
    """What the stored calls took of a lease."""
    used: Decimal = await connection.fetchval(
        _USED, account_id, event_id_floor(granted_at - _BEFORE), lease_id
    )
    return used

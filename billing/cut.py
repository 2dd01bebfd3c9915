"""The cut through running traffic: everything that was recorded at one moment, and waiting until the flow has taken it.

A call without effect is recorded when it is in its worker's journal, so that side of the cut is every journal's end. A
transactional call is recorded when it commits, so the other side is the transaction ids handed out by then: whatever
had committed is of one below the bound, however its event's own id compares with others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from billing.journal import JournalReader, journal_directories, journal_identity
from billing.store.ship import START, Offset, read_offsets
from billing.transaction import Connection, all_accounts
from catalog.vocabulary.clock import Clock

PATIENCE_S = 60.0
"""How long the books wait for what is on its way."""
POLL_S = 0.25
_PAGE_BYTES = 4 * 1024 * 1024
_XID_BOUND = "SELECT pg_snapshot_xmax(pg_current_snapshot())"
_NOT_ROLLED_UP = """
    SELECT count(*) FROM billing.usage_event
    WHERE stored_xid >= (SELECT xid FROM billing.watermark WHERE step = 'rollup') AND stored_xid < $1::xid8
"""


class Cut(msgspec.Struct, frozen=True):
    """The last sequence number of each journal directory, and the transaction id that bounds what had committed."""

    journals: Mapping[Path, int]
    xid: int


class Lag(msgspec.Struct, frozen=True):
    """What of a cut is still on its way: `unshipped` records by journal (its directory's name), `waiting` calls that
    are stored and not rolled up. False where there is nothing."""

    unshipped: Mapping[str, int] = {}
    waiting: int = 0

    def __bool__(self) -> bool:
        """Whether anything is behind."""
        return bool(self.unshipped or self.waiting)

    def __str__(self) -> str:
        """For people: `journal worker-000: 12 records not shipped; 3 stored calls not added up`."""
        parts = [f"journal {name}: {records} records not shipped" for name, records in self.unshipped.items()]
        return "; ".join([*parts, f"{self.waiting} stored calls not added up"] if self.waiting else parts)


class LagStays(Exception):
    """What was recorded before a moment has not reached the books in time, so nothing is done on half of it."""

    def __init__(self, lag: Lag, patience_s: float) -> None:
        """`lag` is what is still behind after `patience_s` seconds."""
        super().__init__(
            f"After {patience_s:g} s usage is still on its way: {lag}. Nothing was changed. The log of billing.worker "
            "says why it stands still (`ordergate doctor`); start it, or clear its alarm, and repeat the command."
        )
        self.lag = lag


async def take_cut(pool: asyncpg.Pool, journals_root: Path, directories: Sequence[Path] | None = None) -> Cut:
    """The cut now, of all journals or of some: first their ends, then the transactions. Raises `JournalDamaged`, OSError."""
    async with all_accounts(pool) as connection:
        offsets = await read_offsets(connection)
    if directories is None:
        directories = await asyncio.to_thread(journal_directories, journals_root)
    ends = await asyncio.to_thread(_ends, directories, offsets)
    async with all_accounts(pool) as connection:
        return Cut(ends, await connection.fetchval(_XID_BOUND))


async def shipped_to(connection: Connection, journals_root: Path) -> Mapping[Path, int]:
    """How far each journal directory is shipped, in the transaction's view; raises `JournalDamaged`, OSError."""
    offsets = await read_offsets(connection)
    found: dict[Path, int] = {}
    for directory in await asyncio.to_thread(journal_directories, journals_root):
        found[directory] = _offset(directory, offsets).last_seq
    return found


async def wait_until_taken(
    pool: asyncpg.Pool,
    journals_root: Path,
    cut: Cut,
    *,
    clock: Clock,
    sleep: Callable[[float], Awaitable[object]],
    patience_s: float = PATIENCE_S,
    drive: Callable[[], Awaitable[object]] | None = None,
    notice: Callable[[str], object] | None = None,
) -> Lag:
    """Wait until everything inside the cut is shipped and rolled up; what is still behind after `patience_s`.

    `drive` takes the flow's steps once, where no worker does; `notice` is told what is waited for.
    """
    deadline_ns = clock.monotonic_ns() + int(patience_s * 1_000_000_000)
    bound: int | None = None
    while True:
        if drive is not None:
            await drive()
        async with all_accounts(pool) as connection:
            unshipped = _unshipped(cut, await shipped_to(connection, journals_root))
            if not unshipped and bound is None:
                # The rows of the last page that was shipped are of transactions younger than the cut.
                bound = await connection.fetchval(_XID_BOUND)
            waiting = await connection.fetchval(_NOT_ROLLED_UP, cut.xid if bound is None else bound)
        lag = Lag(unshipped, waiting)
        if not lag or clock.monotonic_ns() >= deadline_ns:
            return lag
        if notice is not None:
            notice(str(lag))
        await sleep(POLL_S)


def _ends(directories: Sequence[Path], offsets: Mapping[UUID, Offset]) -> Mapping[Path, int]:
    ends: dict[Path, int] = {}
    for directory in directories:
        reader = JournalReader(directory)
        try:
            page = reader.read_after(_offset(directory, offsets).last_seq, _PAGE_BYTES)
            # A page that is not full ends where the journal ended: what is appended meanwhile is not run after.
            while sum(len(record.payload) for record in page.records) >= _PAGE_BYTES:
                page = reader.read_after(page.last_seq, _PAGE_BYTES)
            ends[directory] = page.last_seq
        finally:
            reader.close()
    return ends


def _offset(directory: Path, offsets: Mapping[UUID, Offset]) -> Offset:
    journal_id = journal_identity(directory)
    return START if journal_id is None else offsets.get(journal_id, START)


def _unshipped(cut: Cut, shipped: Mapping[Path, int]) -> Mapping[str, int]:
    behind = {directory: end - shipped.get(directory, 0) for directory, end in cut.journals.items()}
    return {directory.name: records for directory, records in behind.items() if records > 0}

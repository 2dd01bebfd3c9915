"""All journals under one root -> usage rows: page by page, each journal on its own, in rounds."""

from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from billing.journal import RETENTION_DAYS, JournalDamaged, journal_directories, prune
from billing.standstill import moving
from billing.store.halt import ShippingHalted
from billing.store.lane import PAGE_BYTES, Lane
from billing.store.ship import START, Offset, read_offsets, ship
from billing.store.shipment import shipment_of
from billing.transaction import all_accounts
from catalog.vocabulary.clock import Clock, from_ns

# A halted journal is tried again: what a person repaired goes on by itself, what is not repaired raises its alarm again.
_RETRY_NS = 60_000_000_000
# So long after its last record a journal without a writer is an orphan; a worker that restarts is back much sooner.
_ORPHAN_NS = 30_000_000_000


class Halt(msgspec.Struct, frozen=True):
    """A journal that stands still: which, the name of the case, what was found, and what to do."""

    journal: Path
    case: str
    detail: str
    remedy: str


class Round(msgspec.Struct):
    """What one round stored: `records` of the journals, of which `events` are usage; the last event's moment or 0.

    `more` says that it is worth going on at once; `halts` are the journals that stopped in this round.
    """

    events: int = 0
    records: int = 0
    last_occurred_ns: int = 0
    more: bool = False
    halts: list[Halt] = msgspec.field(default_factory=list)


class _State(msgspec.Struct):
    """A lane, when to see whether it is an orphan (None: it was adopted), and why and until when it stands still."""

    lane: Lane
    orphan_check_ns: int | None
    halted: Halt | None = None
    retry_ns: int = 0


class Shipper:
    """Ships every journal under a root. Several may run: of two that read the same page one stores it."""

    def __init__(self, pool: asyncpg.Pool, root: Path, mirrors: Path | None, clock: Clock) -> None:
        """`mirrors` is the root of the journals' copies on a second disk, if there is one."""
        self._pool = pool
        self._root = root
        self._mirrors = mirrors
        self._clock = clock
        self._states: dict[Path, _State] = {}

    @property
    def halted(self) -> tuple[Halt, ...]:
        """The journals that stand still now."""
        return tuple(state.halted for state in self._states.values() if state.halted is not None)

    async def ship_round(self) -> Round:
        """Ship at most one page of each journal, one transaction each.

        Raises what asyncpg raises while PostgreSQL is away; nothing is lost by that, and nothing is shipped twice.
        Raises `ShippingHalted` only where the root itself cannot be read.
        """
        done = Round()
        now_ns = self._clock.monotonic_ns()
        self._find_journals(now_ns)
        offsets = await self._offsets()
        for state in self._states.values():
            if state.halted is None or state.retry_ns <= now_ns:
                try:
                    await self._ship_page(state, offsets, done, now_ns)
                except (JournalDamaged, ShippingHalted) as halt:
                    state.lane.close()
                    state.halted = Halt(state.lane.directory, halt.case, str(halt), halt.remedy)
                    state.retry_ns = now_ns + _RETRY_NS
                    done.halts.append(state.halted)
        return done

    async def prune(self) -> int:
        """Remove what was shipped long enough ago from journals and mirrors; returns how many segments.

        Raises `JournalDamaged` or `ShippingHalted` at the first segment that does not verify or cannot be removed.
        """
        offsets = await self._offsets()
        before = from_ns(self._clock.now_ns()) - timedelta(days=RETENTION_DAYS)
        removed = 0
        for state in self._states.values():
            journal_id = state.lane.journal_id()
            if state.halted is None and journal_id is not None:
                shipped_seq = offsets.get(journal_id, START).last_seq
                removed += _prune(state.lane, shipped_seq, before)
        return removed

    def close(self) -> None:
        """Give all files back."""
        for state in self._states.values():
            state.lane.close()

    async def _offsets(self) -> dict[UUID, Offset]:
        async with all_accounts(self._pool) as connection:
            return await read_offsets(connection)

    def _find_journals(self, now_ns: int) -> None:
        try:
            directories = journal_directories(self._root)
        except OSError as error:
            raise ShippingHalted("unreadable-file", str(error)) from error
        for directory in directories:
            if directory not in self._states:
                mirror = None if self._mirrors is None else self._mirrors / directory.name
                self._states[directory] = _State(Lane(directory, mirror), now_ns + _ORPHAN_NS)

    async def _ship_page(self, state: _State, offsets: dict[UUID, Offset], done: Round, now_ns: int) -> None:
        try:
            journal_id = state.lane.journal_id()
            if journal_id is None:
                return
            since = offsets.get(journal_id, START)
            page = state.lane.read(since)
            if page.last_seq == since.last_seq:
                _adopt_orphan(state, now_ns)
        except OSError as error:
            raise ShippingHalted("unreadable-file", str(error)) from error
        state.halted = None
        if page.last_seq == since.last_seq:
            return
        shipment = shipment_of(page.records)
        until = Offset(page.last_seq, page.chain)
        async with moving(self._pool) as connection:
            stored = await ship(connection, journal_id, since, until, shipment)
        state.orphan_check_ns = now_ns + _ORPHAN_NS
        if stored:
            done.events += len(shipment.rows)
            done.records += len(page.records)
            done.last_occurred_ns = max(done.last_occurred_ns, shipment.last_occurred_ns)
        done.more |= not stored or sum(len(record.payload) for record in page.records) >= PAGE_BYTES


def _prune(lane: Lane, shipped_seq: int, before: datetime) -> int:
    try:
        return sum(len(prune(directory, shipped_seq, before)) for directory in lane.copies())
    except OSError as error:
        raise ShippingHalted("unreadable-file", str(error)) from error


def _adopt_orphan(state: _State, now_ns: int) -> None:
    if state.orphan_check_ns is not None and state.orphan_check_ns <= now_ns:
        state.orphan_check_ns = None if state.lane.adopt() else now_ns + _ORPHAN_NS

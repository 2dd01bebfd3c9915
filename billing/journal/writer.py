"""The gateway's side of a journal: appends on the event loop, group commit in a thread of its own.

One batch is in flight at a time. Whatever is appended meanwhile forms the next batch, which starts as soon as the
previous one is durable; nothing waits for a batch to fill. One callback a batch resolves all its futures.
"""

import asyncio
import threading
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal
from uuid import UUID

from billing.journal.cases import Finding
from billing.journal.commit import BatchCommitter
from billing.journal.directory import JournalInUse
from billing.journal.disk import Disk, SystemDisk
from billing.journal.format import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, PAYLOAD_BYTES_MAX, SEGMENT_HEADER_BYTES
from catalog.vocabulary.clock import Clock

SEGMENT_BYTES = 64 * 1024 * 1024
RESERVE_BYTES = 256 * 1024 * 1024
QUEUE_BYTES_MAX = 8 * 1024 * 1024
"""Appends that wait: the sum of their payloads and of 512 bytes each."""
_WEIGHT_BYTES = 512
_SPACE_CHECK_NS = 1_000_000_000
_WORKERS_MAX = 256

Reason = Literal["io-error", "disk-reserve", "queue-full", "closed"]
_Entry = tuple[int, bytes, "asyncio.Future[int]"]


class JournalUnavailable(Exception):
    """The append was not accepted, or is not known to be durable: the call must not be answered as a success.

    `reason`: `io-error` (this process must be restarted), `disk-reserve` and `queue-full` (repeat later), `closed`.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        """`detail` is for the log."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Journal:
    """The writer of one journal directory. Made by `open`; used from one event loop only."""

    def __init__(
        self, committer: BatchCommitter, clock: Clock, loop: asyncio.AbstractEventLoop, segment_bytes: int
    ) -> None:
        """Use `Journal.open`."""
        self._committer = committer
        self._clock = clock
        self._loop = loop
        self._create_future = loop.create_future
        self._pending: list[_Entry] = []
        self._pending_bytes = 0
        self._busy = False
        # Two records or more weigh more here than they take in the segment; a single one always fits.
        self._batch_bytes_max = min(BATCH_BYTES_MAX, segment_bytes - SEGMENT_HEADER_BYTES)
        self._refusal: tuple[Reason, str] | None = None
        self._closed = False
        self._space(is_short=committer.is_short_of_space)
        self._idle = asyncio.Event()
        self._idle.set()
        self._durable_seq = committer.durable_seq
        self._batches: SimpleQueue[list[_Entry] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-commit", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        clock: Clock,
        segment_bytes: int = SEGMENT_BYTES,
        mirror: Path | None = None,
        reserve_bytes: int = RESERVE_BYTES,
        disk: Disk | None = None,
    ) -> "Journal":
        """Recover the journal in `directory`, which is made if need be, and begin a new segment.

        `mirror` is a directory on a second disk that gets every batch too before it is acknowledged; below
        `reserve_bytes` of free space appends are refused. Raises `JournalInUse`, `JournalDamaged`, OSError.
        """
        used_disk = disk or SystemDisk()

        def start() -> BatchCommitter:
            return BatchCommitter(
                directory,
                clock=clock,
                disk=used_disk,
                segment_bytes=segment_bytes,
                reserve_bytes=reserve_bytes,
                mirror=mirror,
            )

        return cls(await asyncio.to_thread(start), clock, asyncio.get_running_loop(), segment_bytes)

    @classmethod
    async def open_free(
        cls,
        root: Path,
        *,
        clock: Clock,
        segment_bytes: int = SEGMENT_BYTES,
        mirror: Path | None = None,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> "Journal":
        """Open the first journal under `root` (`worker-000`, `worker-001`, …) that no live process writes.

        So a restarted worker adopts a crashed worker's journal. `mirror` is the root of the mirrors. Raises as `open`.
        """
        for index in range(_WORKERS_MAX):
            name = f"worker-{index:03d}"
            try:
                return await cls.open(
                    root / name,
                    clock=clock,
                    segment_bytes=segment_bytes,
                    mirror=mirror / name if mirror else None,
                    reserve_bytes=reserve_bytes,
                )
            except JournalInUse:
                continue
        raise JournalInUse(f"all {_WORKERS_MAX} journals under {root} have a writer")

    @property
    def journal_id(self) -> UUID:
        """The identity of this journal, the same in all its segments."""
        return self._committer.journal_id

    @property
    def recovered(self) -> tuple[Finding, ...]:
        """What recovery met when this journal was opened."""
        return self._committer.recovered

    @property
    def durable_seq(self) -> int:
        """The last sequence number known to be durable."""
        return self._durable_seq

    @property
    def healthy(self) -> bool:
        """Whether an append would be accepted now, but for a full queue."""
        return self._refusal is None

    @property
    def failure(self) -> str | None:
        """Why appends are refused: reason and detail, or None."""
        return None if self._refusal is None else f"{self._refusal[0]}: {self._refusal[1]}"

    def append(self, kind: int, payload: bytes) -> "asyncio.Future[int]":
        """Queue a record; the future gives its sequence number once it is durable. Await it before replying.

        Not a coroutine, because at saturation a coroutine for every call costs as much as the rest of it.
        Raises `JournalUnavailable`, here or from the future; ValueError if `kind` (0..255) or the payload
        (at most 64 KiB) is out of range.
        """
        if self._refusal is not None:
            raise JournalUnavailable(*self._refusal)
        if self._pending_bytes >= QUEUE_BYTES_MAX:
            raise JournalUnavailable("queue-full", f"{len(self._pending)} appends are waiting for the disk")
        size = len(payload)
        if size > PAYLOAD_BYTES_MAX or not 0 <= kind <= 255:
            raise ValueError(f"kind {kind} with {size} bytes: a kind is 0 to 255, a payload at most 64 KiB")
        future = self._create_future()
        self._pending.append((kind, payload, future))
        self._pending_bytes += size + _WEIGHT_BYTES
        if not self._busy:
            self._busy = True
            self._idle.clear()
            # At the end of this turn of the loop: what else is appended in it shares the batch.
            self._loop.call_soon(self._hand_over)
        return future

    async def close(self) -> None:
        """Make durable what was accepted, then give everything back; later appends are refused."""
        if self._closed:
            return
        self._closed = True
        if self._refusal is None or self._refusal[0] == "disk-reserve":
            self._refusal = ("closed", "this journal was closed")
        await self._idle.wait()
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._committer.close)

    # On the event loop.

    def _hand_over(self) -> None:
        if not self._pending:
            # A failure answered them between the append and this turn of the loop.
            return
        if self._pending_bytes <= self._batch_bytes_max and len(self._pending) <= BATCH_RECORDS_MAX:
            batch, self._pending, self._pending_bytes = self._pending, [], 0
        else:
            batch = self._take_part()
        self._batches.put(batch)

    def _take_part(self) -> list[_Entry]:
        taken = taken_bytes = 0
        for _, payload, _ in self._pending[:BATCH_RECORDS_MAX]:
            if taken and taken_bytes + len(payload) + _WEIGHT_BYTES > self._batch_bytes_max:
                break
            taken += 1
            taken_bytes += len(payload) + _WEIGHT_BYTES
        batch, self._pending = self._pending[:taken], self._pending[taken:]
        self._pending_bytes -= taken_bytes
        return batch

    def _committed(self, batch: list[_Entry], first_seq: int) -> None:
        seq = first_seq
        for _, _, future in batch:
            if not future.done():
                future.set_result(seq)
            seq += 1
        self._durable_seq = seq - 1
        if self._pending:
            self._hand_over()
        else:
            self._busy = False
            self._idle.set()

    def _space(self, *, is_short: bool) -> None:
        if is_short and self._refusal is None:
            self._refusal = ("disk-reserve", "free disk space is below the reserve")
        elif not is_short and self._refusal is not None and self._refusal[0] == "disk-reserve":
            self._refusal = None

    def _failed(self, batch: list[_Entry], detail: str) -> None:
        self._refusal = ("io-error", detail)
        unacknowledged = list(batch)
        # The thread may have failed between batches, and one was handed over before this turn of the loop.
        while not self._batches.empty():
            unacknowledged += self._batches.get() or []
        unacknowledged += self._pending
        self._pending, self._pending_bytes = [], 0
        for _, _, future in unacknowledged:
            if not future.done():
                future.set_exception(JournalUnavailable("io-error", detail))
        self._busy = False
        self._idle.set()

    # In the commit thread.

    def _run(self) -> None:
        batch: list[_Entry] = []
        try:
            next_check_ns = 0
            while True:
                now_ns = self._clock.monotonic_ns()
                if now_ns >= next_check_ns:
                    is_short = self._committer.check_space()
                    self._loop.call_soon_threadsafe(partial(self._space, is_short=is_short))
                    next_check_ns = now_ns + _SPACE_CHECK_NS
                try:
                    taken = self._batches.get(timeout=_SPACE_CHECK_NS / 1_000_000_000)
                except Empty:
                    continue
                if taken is None:
                    return
                batch = taken
                first_seq = self._committer.commit([(kind, payload) for kind, payload, _ in batch])
                self._loop.call_soon_threadsafe(self._committed, batch, first_seq)
                batch = []
        except BaseException as error:
            # Nothing is retried: after a failed sync the kernel may have dropped what it could not write.
            self._loop.call_soon_threadsafe(self._failed, batch, str(error))
            if not isinstance(error, OSError):
                raise

"""Committing batches: encode, write, fdatasync, rotate. Synchronous; runs in the writer's own thread."""

import contextlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

from billing.journal import directory as folder
from billing.journal.disk import Disk
from billing.journal.format import (
    RECORD_HEADER_BYTES,
    SEGMENT_BYTES_MIN,
    TRAILER_BYTES,
    SegmentHeader,
    aligned,
    encode_records,
    encode_trailer,
    genesis_chain,
    next_chain,
)
from billing.journal.recovery import recover
from billing.journal.segment import OpenSegment, Spare, activate, prepare, trim
from catalog.vocabulary.clock import Clock


class BatchCommitter:
    """The one writer of a journal directory. After any OSError it must not be used again, only closed."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        disk: Disk,
        segment_bytes: int,
        reserve_bytes: int,
        mirror: Path | None = None,
    ) -> None:
        """Lock, recover and begin a new segment.

        Raises `JournalInUse` if somebody else writes here, `JournalDamaged` if the recovery table says halt,
        OSError if the disk fails, ValueError for a segment size that cannot hold the largest record.
        """
        if segment_bytes < SEGMENT_BYTES_MIN or segment_bytes != aligned(segment_bytes):
            raise ValueError(f"segment_bytes must be a multiple of 512 and at least {SEGMENT_BYTES_MIN}")
        self._directories = (directory,) if mirror is None else (directory, mirror)
        self._clock = clock
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._locks: list[int] = []
        self._segment: OpenSegment | None = None
        self._spare: Future[Spare] | None = None
        self._preparer = ThreadPoolExecutor(1, "journal-prepare")
        try:
            self._start(directory, mirror)
        except BaseException:
            self.close()
            raise

    def _start(self, directory: Path, mirror: Path | None) -> None:
        for path in self._directories:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._locks.append(folder.lock(path))
            folder.sync_directory(self._disk, path.parent)
        resume = recover(self._disk, directory, mirror)
        self.recovered = resume.findings
        self.journal_id: UUID = resume.journal_id or uuid4()
        self._number = resume.number
        self._next_seq = resume.next_seq
        self._chain = resume.chain or genesis_chain(self.journal_id)
        self._begin_segment()
        for path, end in resume.trims:
            trim(self._disk, path, end)

    @property
    def durable_seq(self) -> int:
        """The sequence number up to which everything is durable; 0 in a new journal."""
        return self._next_seq - 1

    def commit(self, entries: list[tuple[int, bytes]]) -> int:
        """Make a batch of (kind, payload) durable in every copy; returns its first sequence number.

        OSError means that nothing of the batch may be acknowledged, nor anything after it.
        """
        first_seq = self._next_seq
        segment = self._segment_with_room(entries)
        seed = segment.header.seed
        records = encode_records(entries, first_seq, seed)
        chain = next_chain(self._chain, records)
        last_seq = first_seq + len(entries) - 1
        end = aligned(segment.end + len(records) + TRAILER_BYTES)
        segment.write(self._disk, (records, encode_trailer(first_seq, last_seq, chain, seed)), end)
        self._next_seq = last_seq + 1
        self._chain = chain
        return first_seq

    def check_space(self) -> bool:
        """Whether new appends must be refused so that the accepted ones never meet a full disk.

        Also starts preparing the next segment as soon as there is room for it above the reserve.
        """
        if self._spare is not None and self._spare.done():
            # An error there counts like any other, and is better met now than at the next rotation.
            self._spare.result()
        free_bytes = min(self._disk.free_bytes(path) for path in self._directories)
        if self._spare is None and free_bytes >= self._reserve_bytes + self._segment_bytes:
            self._spare = self._preparer.submit(prepare, self._disk, self._directories, self._segment_bytes)
        self.is_short_of_space = self._spare is None or free_bytes < self._reserve_bytes
        return self.is_short_of_space

    def close(self) -> None:
        """Give back files, threads and locks. Does not write or sync: what was committed is durable already."""
        self._preparer.shutdown()
        if self._spare is not None and self._spare.exception() is None:
            for path, fd in zip(self._directories, self._spare.result().fds, strict=True):
                self._disk.close(fd)
                # What stays behind is no harm: recovery removes it.
                with contextlib.suppress(OSError):
                    self._disk.unlink(path / folder.SPARE_FILE)
        if self._segment is not None:
            self._segment.close(self._disk)
        for fd in self._locks:
            os.close(fd)
        self._locks.clear()
        self._segment = self._spare = None

    def _segment_with_room(self, entries: list[tuple[int, bytes]]) -> OpenSegment:
        assert self._segment is not None, "the committer is closed"
        if self._segment.room() < batch_bytes(entries):
            full = self._segment
            self._begin_segment()
            full.close(self._disk)
        assert self._segment.room() >= batch_bytes(entries), "a batch must fit into an empty segment"
        return self._segment

    def _begin_segment(self) -> None:
        spare = self._take_spare()
        header = SegmentHeader(
            self.journal_id,
            os.urandom(16),
            self._number,
            self._next_seq,
            self._segment_bytes,
            self._clock.now_ns(),
            self._chain,
        )
        self._segment = activate(self._disk, spare, header)
        self._number += 1
        self.check_space()

    def _take_spare(self) -> Spare:
        if self._spare is None:
            # Accepted calls wait for this: what the reserve is kept for.
            return prepare(self._disk, self._directories, self._segment_bytes)
        spare, self._spare = self._spare, None
        return spare.result()


def batch_bytes(entries: list[tuple[int, bytes]]) -> int:
    """Bytes that a batch takes in a segment, with headers, trailer and padding."""
    payloads = sum(len(payload) for _, payload in entries)
    return aligned(payloads + RECORD_HEADER_BYTES * len(entries) + TRAILER_BYTES)

"""Reading a journal while another process writes it: what the shipper uses.

Only whole batches that verify are returned, and only after this process has made them durable itself, because a
batch may be read from memory before the writer's own sync has returned.
"""

import os
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import msgspec

from billing.journal.cases import Finding, JournalDamaged
from billing.journal.directory import list_segments, listing_held
from billing.journal.disk import SystemDisk, read_fully
from billing.journal.format import (
    BATCH_BYTES_MAX,
    SEGMENT_HEADER_BYTES,
    Batch,
    Fault,
    Record,
    SegmentHeader,
    UnreadableHeader,
    read_batch,
)
from billing.journal.scan import is_damage, scan_segment
from billing.journal.survey import read_header, read_segment

_CHUNK_BYTES = 2 * BATCH_BYTES_MAX
_DISK = SystemDisk()


class Page(msgspec.Struct, frozen=True):
    """Records in sequence. `last_seq` and `chain` are those after the last batch read; pass `last_seq` next time."""

    records: list[Record]
    last_seq: int
    chain: bytes


class JournalReader:
    """Reads one journal directory onwards; keeps its file and position between calls. Not for several threads."""

    def __init__(self, directory: Path) -> None:
        """`directory` must exist; it may be empty still."""
        self._directory = directory
        self._fd = -1
        self._path = directory
        self._header: SegmentHeader | None = None
        self._at = self._last_seq = 0
        self._chain = b""

    @property
    def journal_id(self) -> UUID | None:
        """The journal's identity, None before the first segment was met."""
        return self._header.journal_id if self._header else None

    def read_after(self, seq: int, limit_bytes: int) -> Page:
        """Whole batches with numbers above `seq`, until their payloads reach `limit_bytes`; at least one if any.

        Returns an empty page when there is nothing new. Raises `JournalDamaged` where the journal is damaged, where
        the records after `seq` were removed, and where it ends before `seq`: then the disk was rolled back.
        """
        if self._header is None or seq != self._last_seq:
            self._position(seq)
        if self._header is None:
            return Page([], seq, b"")
        records: list[Record] = []
        taken = 0
        while taken < limit_bytes:
            batches = self._batches(limit_bytes - taken)
            if not batches and not self._next_segment():
                break
            if batches:
                os.fdatasync(self._fd)
            for batch in batches:
                records += [record for record in batch.records if record.seq > seq]
                taken += sum(len(record.payload) for record in batch.records)
        if self._last_seq < seq:
            self._behind(seq)
        return Page(records, max(seq, self._last_seq), self._chain)

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._header = -1, None

    def _position(self, seq: int) -> None:
        """Go to the batch that ends with `seq`, or to the one that holds `seq + 1`, checking the chain on the way."""
        self.close()
        with listing_held(self._directory, exclusive=False):
            candidates = [self._read_header(path) for path in list_segments(self._directory).values()]
            if not candidates:
                if seq > 0:
                    self._behind(seq)
                return
            begun = [(path, header) for path, header in candidates if header.base_seq <= seq + 1]
            if not begun:
                path, header = candidates[0]
                detail = f"records {seq + 1} to {header.base_seq - 1} are asked for and were removed"
                raise JournalDamaged(Finding.of("segment-missing", path, 0, detail))
            # Several may begin with the same number: those before the last one are empty.
            self._enter(*begun[-1])
        while self._last_seq < seq:
            before = (self._at, self._last_seq, self._chain)
            batches = self._batches(1)
            if not batches:
                if not self._next_segment():
                    self._behind(seq)
            elif batches[-1].last_seq > seq:
                # Ships whole batches; if `seq` lies inside one, its rest is returned by the caller's filter.
                self._at, self._last_seq, self._chain = before
                return

    def _batches(self, limit_bytes: int) -> list[Batch]:
        """Batches from the position on, moving it behind them; empty at the end of what is written."""
        assert self._header is not None
        image = read_fully(_DISK, self._fd, max(_CHUNK_BYTES, min(limit_bytes, 8 * _CHUNK_BYTES)), self._at)
        found: list[Batch] = []
        at = taken = 0
        while taken < limit_bytes:
            result = read_batch(image, at, self._header.seed, self._last_seq + 1, self._chain)
            if isinstance(result, Fault):
                if not found:
                    self._refuse_damage(image, result)
                break
            found.append(result)
            taken += sum(len(record.payload) for record in result.records)
            self._last_seq, self._chain = result.last_seq, result.chain
            self._at += result.end - at
            at = result.end
        return found

    def _refuse_damage(self, image: bytes, fault: Fault) -> None:
        """Halt if what stands at the position can never become a batch, because something durable follows it."""
        assert self._header is not None
        if not is_damage(image, self._header.seed, fault):
            return
        # Read again before judging: the writer may have been in the middle of it.
        image = read_fully(_DISK, self._fd, _CHUNK_BYTES, self._at)
        result = read_batch(image, 0, self._header.seed, self._last_seq + 1, self._chain)
        if isinstance(result, Fault) and is_damage(image, self._header.seed, result):
            raise JournalDamaged(Finding.of(result.case, self._path, self._at + result.offset, result.detail))

    def _next_segment(self) -> bool:
        """Move to the segment that continues this one, if there is one and nothing is left to read in this one."""
        assert self._header is not None
        following = list_segments(self._directory).get(self._header.number + 1)
        if following is None:
            return False
        path, header = self._read_header(following)
        if header.base_seq == self._last_seq + 1 and header.chain == self._chain:
            self._enter(path, header)
            return True
        # Between the last look and the rotation the writer may have added batches here.
        if header.base_seq > self._last_seq + 1 and self._has_batch():
            return True
        scan = scan_segment(read_segment(_DISK, self._path), self._header, self._path, header)
        raise JournalDamaged(scan.findings[0])

    def _has_batch(self) -> bool:
        assert self._header is not None
        image = read_fully(_DISK, self._fd, _CHUNK_BYTES, self._at)
        return isinstance(read_batch(image, 0, self._header.seed, self._last_seq + 1, self._chain), Batch)

    def _enter(self, path: Path, header: SegmentHeader) -> None:
        if self._header is not None and header.journal_id != self._header.journal_id:
            raise JournalDamaged(Finding.of("foreign-journal", path, 0, f"journal {header.journal_id}"))
        self.close()
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._path, self._header = path, header
        self._at, self._last_seq, self._chain = SEGMENT_HEADER_BYTES, header.base_seq - 1, header.chain

    def _read_header(self, path: Path) -> tuple[Path, SegmentHeader]:
        try:
            return path, read_header(_DISK, path)
        except UnreadableHeader as unreadable:
            raise JournalDamaged(Finding.of(unreadable.case, path, 0, str(unreadable))) from None

    def _behind(self, seq: int) -> NoReturn:
        detail = f"record {seq} was shipped, the journal ends with {self._last_seq}"
        raise JournalDamaged(Finding.of("journal-behind-shipped", self._path, self._at, detail))

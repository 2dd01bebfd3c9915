"""A read-only examination of a whole journal directory: what recovery decides on and what `verify` reports."""

import os
from pathlib import Path
from uuid import UUID

import msgspec

from billing.journal.cases import Action, Finding
from billing.journal.digests import Digest, read_digests
from billing.journal.directory import list_segments, list_temporaries, listing_held
from billing.journal.disk import Disk, read_fully
from billing.journal.format import (
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    UnreadableHeader,
    decode_segment_header,
    genesis_chain,
)
from billing.journal.scan import SegmentScan, scan_segment


class Segment(msgspec.Struct, frozen=True):
    """A segment file and its header."""

    path: Path
    header: SegmentHeader
    size: int


class Survey(msgspec.Struct):
    """What a directory holds. `scans` has the segments that were read through, by number."""

    directory: Path
    segments: dict[int, Segment] = msgspec.field(default_factory=dict)
    scans: dict[int, SegmentScan] = msgspec.field(default_factory=dict)
    findings: list[Finding] = msgspec.field(default_factory=list)
    temporaries: list[Path] = msgspec.field(default_factory=list)

    @property
    def damage(self) -> Finding | None:
        """The first finding that halts recovery."""
        return next((finding for finding in self.findings if finding.case.action is Action.HALT), None)

    @property
    def last(self) -> Segment | None:
        """The segment with the highest number."""
        return next(reversed(self.segments.values()), None)

    @property
    def journal_id(self) -> UUID | None:
        """The journal's identity, None in an empty directory."""
        return self.last.header.journal_id if self.last else None

    @property
    def tail(self) -> SegmentScan | None:
        """The scan whose end is the end of what verifies: of the last segment, or of the first damaged one."""
        scans = [self.scans[number] for number in sorted(self.scans)]
        for scan in scans:
            if any(finding.case.action is Action.HALT for finding in scan.findings):
                return scan
        return scans[-1] if scans else None

    def chain_at(self, seq: int) -> bytes | None:
        """The chain after the batch that ends with `seq`, where that was read."""
        found = (scan.chains[seq] for scan in self.scans.values() if seq in scan.chains)
        return next(found, None)


def survey(directory: Path, disk: Disk, *, deep: int | None) -> Survey:
    """Examine a journal: all headers, and every byte of the last `deep` segments (None: of all).

    Reads from the disk, not from memory: what is cached is written out and dropped first, because after a failed
    write-back the cache may still show what the disk never got.
    """
    result = Survey(directory)
    with listing_held(directory, exclusive=False):
        result.temporaries = list_temporaries(directory)
        result.findings += [Finding.of("prepared-segment", path) for path in result.temporaries]
        _read_headers(result, disk)
        numbers = list(result.segments)
        for index, number in enumerate(numbers):
            if deep is None or index >= len(numbers) - deep:
                _scan(result, disk, number)
        result.findings += _missing_before(result, read_digests(directory))
    return result


def read_segment(disk: Disk, path: Path) -> bytes:
    """All bytes of a segment as they are on the disk."""
    fd = disk.open(path, os.O_RDONLY)
    try:
        disk.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return read_fully(disk, fd, os.fstat(fd).st_size, 0)
    finally:
        disk.close(fd)


def read_header(disk: Disk, path: Path) -> SegmentHeader:
    """The header of a segment file; raises `UnreadableHeader`."""
    fd = disk.open(path, os.O_RDONLY)
    try:
        return decode_segment_header(read_fully(disk, fd, SEGMENT_HEADER_BYTES, 0))
    finally:
        disk.close(fd)


def _read_headers(result: Survey, disk: Disk) -> None:
    epochs: set[bytes] = set()
    previous: Segment | None = None
    for number, path in list_segments(result.directory).items():
        try:
            header = read_header(disk, path)
        except UnreadableHeader as unreadable:
            result.findings.append(Finding.of(unreadable.case, path, 0, str(unreadable)))
            previous = None
            continue
        segment = Segment(path, header, path.stat().st_size)
        result.findings += [
            Finding.of(case, path, 0, why) for case, why in _misplaced(segment, number, epochs, previous)
        ]
        epochs.add(header.epoch)
        result.segments[number] = previous = segment
    if previous is not None and previous.size != previous.header.segment_bytes:
        detail = f"{previous.size} bytes of {previous.header.segment_bytes}"
        result.findings.append(Finding.of("segment-shortened", previous.path, previous.size, detail))


def _misplaced(
    segment: Segment, number: int, epochs: set[bytes], previous: Segment | None
) -> list[tuple[str, str]]:
    header, found = segment.header, []
    if header.number != number:
        found.append(("segment-misnamed", f"the header says number {header.number}"))
    if header.epoch in epochs:
        found.append(("epoch-repeated", f"epoch {header.epoch.hex()} is that of an earlier segment too"))
    if previous is None:
        if number == 1 and header.chain != genesis_chain(header.journal_id):
            found.append(("chain-mismatch", "the first segment does not begin the chain"))
        return found
    if header.journal_id != previous.header.journal_id:
        found.append(
            ("foreign-journal", f"journal {header.journal_id}, before it {previous.header.journal_id}")
        )
    missing = number - 1 - int(previous.path.stem.removeprefix("segment-"))
    if missing:
        found.append(("segment-missing", f"{missing} segments before this one are not there"))
    return found


def _scan(result: Survey, disk: Disk, number: int) -> None:
    segment = result.segments[number]
    if segment.header.number != number:
        return
    following = result.segments.get(number + 1)
    successor = following.header if following else None
    scan = scan_segment(read_segment(disk, segment.path), segment.header, segment.path, successor)
    result.scans[number] = scan
    result.findings += scan.findings


def _missing_before(result: Survey, digests: list[Digest]) -> list[Finding]:
    """The oldest segment must continue what the digests say was removed."""
    first = next(iter(result.segments.values()), None)
    removed = digests[-1] if digests else None
    removed_to = removed.segment if removed else 0
    if first is None:
        if not removed:
            return (
                [] if list_segments(result.directory) else [Finding.of("empty-directory", result.directory)]
            )
        return [
            Finding.of("segment-missing", result.directory, 0, f"all segments after {removed_to} are gone")
        ]
    number = min(list_segments(result.directory))
    if number > removed_to + 1:
        detail = f"segments {removed_to + 1} to {number - 1} are gone without a digest"
        return [Finding.of("segment-missing", first.path, 0, detail)]
    if removed and first.header.number == removed_to + 1 and first.header.chain.hex() != removed.chain:
        return [Finding.of("chain-mismatch", first.path, 0, "the last digest ends with another chain")]
    return []

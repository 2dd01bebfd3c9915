"""Reading one segment from end to end, and telling a torn tail from damage.

A torn tail is what a crash or a power cut can leave of a batch that nobody was told was durable: its bytes stop
before its end, or whole sectors of it are still zero. Anything else that does not verify is damage. A batch that a
later batch or the next segment follows was durable, so nothing wrong with it can be a torn tail.
"""

from collections import Counter
from pathlib import Path

import msgspec

from billing.journal.cases import Finding
from billing.journal.format import (
    RECORD_MARKER,
    SECTOR_BYTES,
    SEGMENT_HEADER_BYTES,
    TRAILER_MAGIC,
    Fault,
    SegmentHeader,
    batch_start_at,
    read_batch,
    trailer_at,
)

_EMPTY_SECTOR = bytes(SECTOR_BYTES)
_TORN = {
    "record-header-damaged": "torn-record-header",
    "payload-damaged": "torn-payload",
    "trailer-damaged": "torn-trailer",
}


class SegmentScan(msgspec.Struct):
    """What one segment holds. `next_seq`, `chain` and `end` describe the part before the first damage.

    `chains` maps the last sequence number of every batch of that part to the chain after it, and the number
    before the segment's first to the chain it starts with; `seen_seq` is the highest number seen anywhere.
    """

    next_seq: int
    chain: bytes
    end: int
    seen_seq: int
    chains: dict[int, bytes]
    batches: int = 0
    kinds: Counter[int] = msgspec.field(default_factory=Counter)
    findings: list[Finding] = msgspec.field(default_factory=list)


def scan_segment(
    image: bytes, header: SegmentHeader, path: Path, successor: SegmentHeader | None
) -> SegmentScan:
    """Read every batch of a segment's bytes; `successor` is the header of the segment after it, where there is one.

    Finds not only the first damage: behind it, it goes on at the next batch whose first record header verifies.
    """
    first = header.base_seq
    scan = SegmentScan(first, header.chain, SEGMENT_HEADER_BYTES, first - 1, {first - 1: header.chain})
    written = len(image.rstrip(b"\0"))
    seq, chain, at = first, header.chain, SEGMENT_HEADER_BYTES
    known_chain: bytes | None = header.chain
    damaged = False
    while at < written and (successor is None or seq < successor.base_seq):
        result = read_batch(image, at, header.seed, seq, known_chain)
        if isinstance(result, Fault):
            resume = _next_batch(image, written, header.seed, result)
            case = _classify(image, written, result, covered=resume is not None or successor is not None)
            scan.findings.append(Finding.of(case, path, result.offset, result.detail))
            damaged = True
            if resume is None:
                break
            at, seq = resume
            known_chain = None
            continue
        seq, chain, at = result.last_seq + 1, result.chain, result.end
        known_chain = chain
        scan.batches += 1
        scan.kinds.update(record.kind for record in result.records)
        scan.seen_seq = max(scan.seen_seq, result.last_seq)
        if not damaged:
            scan.next_seq, scan.chain, scan.end = seq, chain, at
            scan.chains[result.last_seq] = chain
    if not scan.findings:
        scan.findings.append(_end(scan, path, successor))
    return scan


def is_damage(image: bytes, seed: int, fault: Fault) -> bool:
    """Whether a fault in a segment that is still being written is damage, not a batch on its way to the disk."""
    if fault.case not in {*_TORN, "padding-damaged"}:
        return True
    # The usual end, looked at ten times a second: comparing is nine times as fast as stripping zeros.
    if image == bytes(len(image)):
        return False
    return _next_batch(image, len(image.rstrip(b"\0")), seed, fault) is not None


def _end(scan: SegmentScan, path: Path, successor: SegmentHeader | None) -> Finding:
    if successor is not None:
        if scan.next_seq < successor.base_seq:
            detail = f"records {scan.next_seq} to {successor.base_seq - 1} are missing"
            return Finding.of("segment-ends-early", path, scan.end, detail)
        if scan.next_seq > successor.base_seq:
            return Finding.of("segments-overlap", path, scan.end, f"record {successor.base_seq} is in both")
        if scan.chain != successor.chain:
            return Finding.of("chain-mismatch", path, scan.end, "the next segment continues another chain")
    return Finding.of("clean-end", path, scan.end)


def _classify(image: bytes, written: int, fault: Fault, *, covered: bool) -> str:
    if covered or fault.case not in {*_TORN, "padding-damaged"}:
        return fault.case
    if written <= fault.offset:
        return "trailer-missing"
    begun = fault.offset > fault.batch_offset or image[fault.offset] == RECORD_MARKER
    if written < fault.unit_end and fault.case in _TORN and begun and image[fault.offset]:
        return _TORN[fault.case]
    sectors = range(fault.batch_offset, written, SECTOR_BYTES)
    if any(image[at : at + SECTOR_BYTES] == _EMPTY_SECTOR for at in sectors):
        return "lost-sectors"
    return f"last-{fault.case}" if begun and fault.case in _TORN else "stray-bytes"


def _next_batch(image: bytes, written: int, seed: int, fault: Fault) -> tuple[int, int] | None:
    """Where a later batch starts and its first number: the proof that the batch at fault was durable."""
    for at in range(fault.batch_offset + SECTOR_BYTES, written, SECTOR_BYTES):
        seq = batch_start_at(image, at, seed)
        if seq is not None and seq > fault.first_seq:
            return at, seq
    at = image.find(TRAILER_MAGIC, fault.batch_offset, written)
    while at >= 0:
        stated = trailer_at(image, at, seed)
        if stated is not None and stated[3] >= fault.first_seq:
            return written, stated[2] + 1
        at = image.find(TRAILER_MAGIC, at + 1, written)
    return None

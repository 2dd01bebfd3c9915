"""The byte layout of a journal segment: pure encoding and decoding, no input or output.

The tables in this package's README.md are the specification; an independent reader is written from them alone.
All integers are little-endian. Checksums are CRC-32 (zlib), those of records and trailers seeded with the CRC-32
of the segment's epoch, so that bytes of another segment never verify here.
"""

import struct
from hashlib import blake2b
from uuid import UUID
from zlib import crc32

import msgspec

SECTOR_BYTES = 512
"""Batches start on this boundary: the unit that a disk writes either wholly or not at all."""
PAYLOAD_BYTES_MAX = 64 * 1024
BATCH_BYTES_MAX = 1024 * 1024
"""The records of one batch take at most this many bytes, unless a single record takes more on its own."""
BATCH_RECORDS_MAX = 4096
SEGMENT_BYTES_MIN = 128 * 1024
SEGMENT_HEADER_BYTES = SECTOR_BYTES
FORMAT_VERSION = 1
SEGMENT_MAGIC = b"OGJOURNL"
RECORD_MARKER = 0x52
TRAILER_MAGIC = b"TRLR"
TRAILER_MARKER = TRAILER_MAGIC[0]
# Every bit pattern a single flip away from the last byte is still not zero: a written end never looks unwritten.
TRAILER_END = b"\xa5\x5a\xc3\x3c"

_SEGMENT = struct.Struct("<8sHH4x16s16sQQQQ16s412x")
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<BBHIQI")
_TRAILER = struct.Struct("<4sIQQQ16s")
RECORD_HEADER_BYTES = _RECORD.size + _CRC.size
TRAILER_BYTES = _TRAILER.size + _CRC.size + len(TRAILER_END)


class SegmentHeader(msgspec.Struct, frozen=True):
    """The first sector of a segment. `chain` is the chain of the last batch before `base_seq`."""

    journal_id: UUID
    epoch: bytes
    number: int
    base_seq: int
    segment_bytes: int
    created_ns: int
    chain: bytes

    @property
    def seed(self) -> int:
        """The starting value of the CRCs of this segment's records and trailers."""
        return crc32(self.epoch)


class Record(msgspec.Struct, frozen=True, gc=False):
    """One journaled payload: its sequence number, its one-byte kind and its opaque bytes."""

    seq: int
    kind: int
    payload: bytes


class Batch(msgspec.Struct, frozen=True):
    """A batch that verifies. `end` is where the next batch starts, `chain` the chain after this batch."""

    offset: int
    end: int
    records: list[Record]
    last_seq: int
    chain: bytes


class Fault(msgspec.Struct, frozen=True):
    """Why no batch verifies at `batch_offset`: the case, the offset of the unit at fault and where it should end."""

    case: str
    batch_offset: int
    first_seq: int
    offset: int
    unit_end: int
    detail: str


class UnreadableHeader(Exception):
    """A segment header that cannot be used; `case` names its row of the recovery table."""

    def __init__(self, case: str, detail: str) -> None:
        """`case` is a name of `cases.RECOVERY`."""
        super().__init__(detail)
        self.case = case


def genesis_chain(journal_id: UUID) -> bytes:
    """The chain before the first batch of a journal: its identity."""
    return journal_id.bytes


def next_chain(chain: bytes, records: bytes) -> bytes:
    """The chain after a batch: BLAKE2b-128 over the chain before it and all its record bytes."""
    return blake2b(chain + records, digest_size=16).digest()


def aligned(offset: int) -> int:
    """The first sector boundary at or after an offset."""
    return -(-offset // SECTOR_BYTES) * SECTOR_BYTES


def encode_segment_header(header: SegmentHeader) -> bytes:
    """The 512 bytes of a segment's first sector."""
    body = _SEGMENT.pack(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        SEGMENT_HEADER_BYTES,
        header.journal_id.bytes,
        header.epoch,
        header.number,
        header.base_seq,
        header.segment_bytes,
        header.created_ns,
        header.chain,
    )
    return body + _CRC.pack(crc32(body))


def decode_segment_header(sector: bytes) -> SegmentHeader:
    """The header of a segment's first 512 bytes; raises `UnreadableHeader` naming the recovery case."""
    if not sector.strip(b"\0"):
        raise UnreadableHeader("blank-segment", "the file has its final name but no header")
    if len(sector) < SEGMENT_HEADER_BYTES:
        raise UnreadableHeader("segment-header-damaged", f"the file has only {len(sector)} bytes")
    body = sector[: _SEGMENT.size]
    magic, version, _, journal_id, epoch, number, base_seq, size, created_ns, chain = _SEGMENT.unpack(body)
    if magic != SEGMENT_MAGIC or _CRC.unpack_from(sector, _SEGMENT.size)[0] != crc32(body):
        raise UnreadableHeader("segment-header-damaged", "magic or checksum of the segment header is wrong")
    if version != FORMAT_VERSION:
        raise UnreadableHeader(
            "future-version", f"format version {version}; this program reads {FORMAT_VERSION}"
        )
    return SegmentHeader(UUID(bytes=journal_id), epoch, number, base_seq, size, created_ns, chain)


def encode_records(entries: list[tuple[int, bytes]], first_seq: int, seed: int) -> bytes:
    """The record bytes of one batch of (kind, payload)."""
    parts: list[bytes] = []
    pack, pack_crc = _RECORD.pack, _CRC.pack
    seq = first_seq
    for position, (kind, payload) in enumerate(entries):
        head = pack(RECORD_MARKER, kind, position, len(payload), seq, crc32(payload, seed))
        parts += (head, pack_crc(crc32(head, seed)), payload)
        seq += 1
    return b"".join(parts)


def encode_trailer(first_seq: int, last_seq: int, chain: bytes, seed: int) -> bytes:
    """The trailer that completes a batch; what came before the batch is durable, which it states."""
    body = _TRAILER.pack(TRAILER_MAGIC, last_seq - first_seq + 1, first_seq, last_seq, first_seq - 1, chain)
    return body + _CRC.pack(crc32(body, seed)) + TRAILER_END


def read_batch(image: bytes, offset: int, seed: int, first_seq: int, chain: bytes | None) -> Batch | Fault:
    """The batch that starts at `offset` and continues the sequence and the chain, or why there is none.

    `chain` is None only after damage, where the chain before the batch is no longer known.
    """
    at, seq, size = offset, first_seq, len(image)
    records: list[Record] = []

    def fault(case: str, unit_bytes: int, detail: str) -> Fault:
        return Fault(case, offset, first_seq, at, at + unit_bytes, detail)

    while True:
        marker = image[at] if at < size else 0
        if marker == TRAILER_MARKER:
            break
        if marker != RECORD_MARKER or at + RECORD_HEADER_BYTES > size:
            return fault("record-header-damaged", RECORD_HEADER_BYTES, f"no record {seq} and no trailer here")
        _, kind, position, length, record_seq, payload_crc = _RECORD.unpack_from(image, at)
        (header_crc,) = _CRC.unpack_from(image, at + _RECORD.size)
        if crc32(image[at : at + _RECORD.size], seed) != header_crc or length > PAYLOAD_BYTES_MAX:
            return fault(
                "record-header-damaged", RECORD_HEADER_BYTES, f"header checksum of record {seq} is wrong"
            )
        if record_seq != seq or position != seq - first_seq:
            case = "sequence-gap" if record_seq > seq else "sequence-repeat"
            return fault(case, RECORD_HEADER_BYTES, f"record {record_seq} stands where {seq} belongs")
        start = at + RECORD_HEADER_BYTES
        payload = image[start : start + length]
        if len(payload) != length or crc32(payload, seed) != payload_crc:
            return fault(
                "payload-damaged", RECORD_HEADER_BYTES + length, f"payload checksum of record {seq} is wrong"
            )
        records.append(Record(seq, kind, payload))
        at = start + length
        seq += 1

    if image[at + TRAILER_BYTES - len(TRAILER_END) : at + TRAILER_BYTES] != TRAILER_END:
        return fault("trailer-damaged", TRAILER_BYTES, "the trailer's end mark is wrong")
    stated = trailer_at(image, at, seed)
    if stated is None:
        return fault("trailer-damaged", TRAILER_BYTES, "the trailer's checksum is wrong")
    if not records or stated[:4] != (len(records), first_seq, seq - 1, first_seq - 1):
        return fault("trailer-mismatch", TRAILER_BYTES, "the trailer does not describe the records before it")
    if chain is not None and stated[4] != next_chain(chain, image[offset:at]):
        return fault(
            "chain-mismatch", TRAILER_BYTES, "the trailer's chain does not follow from what precedes it"
        )
    end = aligned(at + TRAILER_BYTES)
    if image[at + TRAILER_BYTES : end].strip(b"\0"):
        return fault(
            "padding-damaged", end - at, "bytes between the trailer and the sector's end are not zero"
        )
    return Batch(offset, end, records, seq - 1, stated[4])


def trailer_at(image: bytes, at: int, seed: int) -> tuple[int, int, int, int, bytes] | None:
    """(count, first_seq, last_seq, durable_through, chain) if a trailer verifies at an offset."""
    body = image[at : at + _TRAILER.size]
    if len(body) < _TRAILER.size or at + TRAILER_BYTES > len(image) or body[:4] != TRAILER_MAGIC:
        return None
    if _CRC.unpack_from(image, at + _TRAILER.size)[0] != crc32(body, seed):
        return None
    _, count, first_seq, last_seq, durable_through, chain = _TRAILER.unpack(body)
    return count, first_seq, last_seq, durable_through, chain


def batch_start_at(image: bytes, at: int, seed: int) -> int | None:
    """The first sequence number of the batch that visibly starts at an offset: its first record header verifies."""
    if at + RECORD_HEADER_BYTES > len(image) or image[at] != RECORD_MARKER:
        return None
    _, _, position, _, seq, _ = _RECORD.unpack_from(image, at)
    (crc,) = _CRC.unpack_from(image, at + _RECORD.size)
    if position != 0 or crc != crc32(image[at : at + _RECORD.size], seed):
        return None
    return int(seq)

"""The byte layout, its golden file, and the independent reader that holds the layout to its documentation."""

import shutil
import struct
import zlib
from collections import Counter
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from billing.journal import JournalReader, verify
from billing.journal.format import (
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    UnreadableHeader,
    decode_segment_header,
    encode_segment_header,
)
from deploy import journal_audit
from tests.fakes.journal_disk import write_batches

GOLDEN = Path(__file__).parent / "golden" / "segment-0000000001.journal"
HEADER = SegmentHeader(UUID(int=7), bytes(range(16)), 3, 42, 131_072, 1_764_547_200_000_000_000, b"c" * 16)


def test_segment_header_round_trips_and_fills_one_sector() -> None:
    encoded = encode_segment_header(HEADER)
    assert len(encoded) == SEGMENT_HEADER_BYTES == 512
    assert decode_segment_header(encoded) == HEADER


def test_every_flipped_bit_of_a_segment_header_is_noticed() -> None:
    encoded = encode_segment_header(HEADER)
    for bit in range(len(encoded) * 8):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnreadableHeader, match="wrong"):
            decode_segment_header(bytes(flipped))


def test_a_newer_format_is_named_as_such() -> None:
    newer = bytearray(encode_segment_header(HEADER))
    struct.pack_into("<H", newer, 8, 2)
    struct.pack_into("<I", newer, 508, zlib.crc32(newer[:508]))
    with pytest.raises(UnreadableHeader) as refused:
        decode_segment_header(bytes(newer))
    assert refused.value.case == "future-version"


def test_the_independent_reader_agrees_with_the_product(tmp_path: Path) -> None:
    write_batches(tmp_path / "w", [[(i % 3, b"x" * (i * 37 % 900)) for i in range(n)] for n in range(1, 40)])
    write_batches(tmp_path / "w", [[(7, b"after reopening")]])
    report = verify(tmp_path / "w")
    page = JournalReader(tmp_path / "w").read_after(0, 10**9)
    assert report.exit_code == 0
    assert report.segments == 4
    records = list(journal_audit.iter_payloads(tmp_path / "w"))
    assert records == [(r.seq, r.kind, r.payload) for r in page.records]
    assert Counter(kind for _seq, kind, _payload in records) == report.kinds
    assert journal_audit.last_seq(tmp_path / "w") == report.last_seq == page.last_seq == 781


def test_the_golden_segment_is_read_as_on_the_day_it_was_written(tmp_path: Path) -> None:
    assert sha256(GOLDEN.read_bytes()).hexdigest() == GOLDEN_SHA256
    shutil.copy(GOLDEN, tmp_path)
    page = JournalReader(tmp_path).read_after(0, 10**9)
    assert [(r.seq, r.kind, r.payload) for r in page.records] == [
        (1, 1, b"first"),
        (2, 2, b""),
        (3, 255, bytes(range(256)) * 3),
        (4, 1, "账单".encode()),
    ]
    assert page.chain.hex() == GOLDEN_CHAIN
    assert list(journal_audit.iter_payloads(tmp_path)) == [(r.seq, r.kind, r.payload) for r in page.records]


GOLDEN_SHA256 = "a9ecac7d5c47cdd3c8031a41f6b09a141ca759d8057dba1dbca56c939d424334"
GOLDEN_CHAIN = "410078d8f16847abab5d5a1a8d9a54e5"

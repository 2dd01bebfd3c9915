"""One test for every row of the recovery table: what lies on the disk, what it is called, what is done."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from billing.journal import CASES, RECOVERY, Action, JournalDamaged, JournalReader, prune, verify
from billing.journal.directory import SPARE_FILE, segment_name
from billing.journal.format import (
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    TRAILER_BYTES,
    SegmentHeader,
    aligned,
    decode_segment_header,
    encode_records,
    encode_segment_header,
    encode_trailer,
    next_chain,
)
from catalog.vocabulary.clock import from_ns
from tests.fakes.journal_disk import CLOCK, committer, write_batches

PAYLOAD = b"p" * 700
BATCH_BYTES = aligned(2 * (RECORD_HEADER_BYTES + len(PAYLOAD)) + TRAILER_BYTES)
FIRST, SECOND, THIRD = (SEGMENT_HEADER_BYTES + n * BATCH_BYTES for n in range(3))
LAST_PAYLOAD = THIRD + 2 * RECORD_HEADER_BYTES + len(PAYLOAD) + 10
LAST_TRAILER = THIRD + 2 * (RECORD_HEADER_BYTES + len(PAYLOAD))
WRITTEN = LAST_TRAILER + TRAILER_BYTES


def journal(directory: Path, mirror: Path | None = None) -> Path:
    """Three batches of two records in one segment; records 1 to 4 are covered by the watermark."""
    write_batches(directory, [[(1, PAYLOAD), (1, PAYLOAD)]] * 3, mirror)
    return directory / segment_name(1)


def patch(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def flip(path: Path, offset: int) -> None:
    patch(path, offset, bytes([path.read_bytes()[offset] ^ 1]))


def zero_from(path: Path, offset: int) -> None:
    patch(path, offset, bytes(path.stat().st_size - offset))


def rewrite_header(path: Path, **changes: object) -> None:
    header = decode_segment_header(path.read_bytes()[:SEGMENT_HEADER_BYTES])
    patch(path, 0, encode_segment_header(msgspec.structs.replace(header, **changes)))


def header_of(path: Path) -> SegmentHeader:
    return decode_segment_header(path.read_bytes()[:SEGMENT_HEADER_BYTES])


def forge_batch(
    path: Path, offset: int, stated_first: int, *, count: int = 1, chain: bytes | None = None
) -> None:
    """Write a batch whose checksums are right: number `stated_first`, `count` in the trailer."""
    header = header_of(path)
    records = encode_records([(1, PAYLOAD)], stated_first, header.seed)
    before = next_chain(
        header.chain, path.read_bytes()[FIRST : FIRST + 2 * (RECORD_HEADER_BYTES + len(PAYLOAD))]
    )
    linked = chain or next_chain(before, records)
    patch(path, offset, records + encode_trailer(stated_first, stated_first + count - 1, linked, header.seed))


def second_segment(directory: Path) -> Path:
    """Reopen, so that segment 2 exists and continues segment 1; returns its path."""
    write_batches(directory, [[(1, PAYLOAD), (1, PAYLOAD)]])
    return directory / segment_name(2)


# Rows that go on: the name, what makes it, and the last record that is kept.


def _nothing(_: Path) -> None:
    """The journal as it was closed."""


def _half_prepared(path: Path) -> None:
    path.with_name(SPARE_FILE).write_bytes(bytes(100))


KEPT: list[tuple[str, Callable[[Path], None], int]] = [
    ("clean-end", _nothing, 6),
    ("prepared-segment", _half_prepared, 6),
    ("torn-record-header", lambda path: zero_from(path, THIRD + 10), 4),
    ("torn-payload", lambda path: zero_from(path, LAST_PAYLOAD), 4),
    ("trailer-missing", lambda path: zero_from(path, LAST_TRAILER), 4),
    ("torn-trailer", lambda path: zero_from(path, LAST_TRAILER + 30), 4),
    ("lost-sectors", lambda path: patch(path, THIRD + 512, bytes(512)), 4),
]


@pytest.mark.parametrize(("case", "damage", "kept"), KEPT, ids=[row[0] for row in KEPT])
def test_what_a_crash_leaves_is_dropped_and_writing_goes_on(
    tmp_path: Path, case: str, damage: Callable[[Path], None], kept: int
) -> None:
    path = journal(tmp_path)
    before = path.read_bytes()
    damage(path)
    assert verify(tmp_path).cases[case] == 1
    assert verify(tmp_path).exit_code == 0
    assert CASES[case].action in (Action.CONTINUE, Action.DISCARD)
    writer = committer(tmp_path)
    assert case in {finding.case.name for finding in writer.recovered}
    assert writer.commit([(2, b"next")]) == kept + 1
    writer.close()
    page = JournalReader(tmp_path).read_after(0, 10**9)
    assert [record.seq for record in page.records] == list(range(1, kept + 2))
    assert before.startswith(path.read_bytes()), "an old segment is cut, never changed"
    assert verify(tmp_path).cases == {"clean-end": 2}


def test_an_empty_directory_begins_a_journal(tmp_path: Path) -> None:
    writer = committer(tmp_path / "new" / "journal")
    assert [finding.case.name for finding in writer.recovered] == ["empty-directory"]
    assert writer.commit([(1, b"x")]) == 1
    writer.close()


def _blank(path: Path) -> None:
    second_segment(path.parent)
    zero_from(path.with_name(segment_name(2)), 0)


def _misname(path: Path) -> None:
    path.rename(path.with_name(segment_name(2)))
    shutil.copy(path.with_name(segment_name(2)), path)


def _foreign(path: Path) -> None:
    journal(path.parent / "other")
    other = second_segment(path.parent / "other")
    second_segment(path.parent)
    other.rename(path.with_name(segment_name(2)))


def _missing(path: Path) -> None:
    second_segment(path.parent)
    second_segment(path.parent)
    path.with_name(segment_name(2)).unlink()


def _copied(path: Path) -> None:
    second = second_segment(path.parent)
    third = path.with_name(segment_name(3))
    shutil.copy(second, third)
    rewrite_header(third, number=3, base_seq=9)


def _future(path: Path) -> None:
    sector = bytearray(path.read_bytes()[:SEGMENT_HEADER_BYTES])
    struct.pack_into("<H", sector, 8, 2)
    struct.pack_into("<I", sector, 508, zlib.crc32(sector[:508]))
    patch(path, 0, bytes(sector))


def _ends_early(path: Path) -> None:
    second_segment(path.parent)
    zero_from(path, THIRD)


def _overlap(path: Path) -> None:
    rewrite_header(second_segment(path.parent), base_seq=6)


def _shorten(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(THIRD)


HALTING: list[tuple[str, Callable[[Path], None]]] = [
    ("record-header-damaged", lambda path: flip(path, SECOND + 5)),
    ("payload-damaged", lambda path: flip(path, SECOND + 100)),
    (
        "trailer-damaged",
        lambda path: flip(path, THIRD - BATCH_BYTES + 2 * (RECORD_HEADER_BYTES + len(PAYLOAD)) + 9),
    ),
    ("padding-damaged", lambda path: flip(path, THIRD - 1)),
    ("last-record-header-damaged", lambda path: flip(path, THIRD + 5)),
    ("last-payload-damaged", lambda path: flip(path, LAST_PAYLOAD)),
    ("last-trailer-damaged", lambda path: flip(path, LAST_TRAILER + 9)),
    ("stray-bytes", lambda path: flip(path, WRITTEN + 1)),
    ("sequence-gap", lambda path: forge_batch(path, SECOND, 4)),
    ("sequence-repeat", lambda path: forge_batch(path, SECOND, 2)),
    ("trailer-mismatch", lambda path: forge_batch(path, SECOND, 3, count=2)),
    ("chain-mismatch", lambda path: forge_batch(path, SECOND, 3, chain=b"z" * 16)),
    ("blank-segment", _blank),
    ("segment-header-damaged", lambda path: flip(path, 70)),
    ("segment-shortened", _shorten),
    ("future-version", _future),
    ("foreign-journal", _foreign),
    ("segment-misnamed", _misname),
    ("segment-missing", _missing),
    ("epoch-repeated", _copied),
    ("segment-ends-early", _ends_early),
    ("segments-overlap", _overlap),
]


@pytest.mark.parametrize(("case", "damage"), HALTING, ids=[row[0] for row in HALTING])
def test_damage_halts_and_names_itself_and_changes_nothing(
    tmp_path: Path, case: str, damage: Callable[[Path], None]
) -> None:
    directory = tmp_path / "w"
    damage(journal(directory))
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    with pytest.raises(JournalDamaged) as halted:
        committer(directory)
    report = verify(directory)
    assert halted.value.case == case
    assert halted.value.remedy
    assert str(halted.value.file) in str(halted.value)
    assert report.exit_code == 1
    assert case in report.cases
    assert {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()} == before


def test_a_flipped_bit_beside_unwritten_sectors_is_never_taken_for_acknowledged_data(tmp_path: Path) -> None:
    path = journal(tmp_path)
    flip(path, THIRD + 40_000)
    assert verify(tmp_path).cases == {"lost-sectors": 1}
    writer = committer(tmp_path)
    assert writer.durable_seq == 6
    writer.close()


def test_all_damaged_batches_are_counted_not_only_the_first(tmp_path: Path) -> None:
    path = journal(tmp_path)
    flip(path, FIRST + 100)
    flip(path, SECOND + 900)
    report = verify(tmp_path)
    assert report.cases == {"payload-damaged": 2}
    assert report.records == 2
    assert report.last_seq == 0


def test_a_directory_whose_segments_are_gone_but_not_its_digests_halts(tmp_path: Path) -> None:
    path = journal(tmp_path)
    second = second_segment(tmp_path)
    assert prune(tmp_path, 6, from_ns(CLOCK.now_ns() + 10**9))[0].segment == 1
    assert not path.exists()
    second.unlink()
    with pytest.raises(JournalDamaged) as halted:
        committer(tmp_path)
    assert halted.value.case == "segment-missing"


# The mirror.

COPIES: list[tuple[str, str, Callable[[Path], None]]] = [
    ("mirror-shorter", "mirror", lambda path: zero_from(path, THIRD)),
    ("mirror-longer", "primary", lambda path: zero_from(path, THIRD)),
    ("mirror-damaged", "mirror", lambda path: flip(path, SECOND + 100)),
    ("primary-damaged", "primary", lambda path: flip(path, SECOND + 100)),
    ("primary-damaged", "primary", lambda path: flip(path, LAST_PAYLOAD)),
    ("primary-damaged", "primary", lambda path: flip(path, 70)),
    ("primary-damaged", "primary", _shorten),
    ("mirror-longer", "primary", lambda path: path.unlink()),
    ("mirror-shorter", "mirror", lambda path: path.unlink()),
]


@pytest.mark.parametrize(("case", "damaged", "damage"), COPIES)
def test_the_whole_copy_repairs_the_other(
    tmp_path: Path, case: str, damaged: str, damage: Callable[[Path], None]
) -> None:
    primary, mirror = tmp_path / "primary", tmp_path / "mirror"
    intact = journal(primary, mirror).read_bytes()
    damage(tmp_path / damaged / segment_name(1))
    writer = committer(primary, mirror=mirror)
    assert case in {finding.case.name for finding in writer.recovered}
    assert writer.commit([(1, b"next")]) == 7
    writer.close()
    for directory in (primary, mirror):
        assert intact.startswith((directory / segment_name(1)).read_bytes())
        assert JournalReader(directory).read_after(0, 10**9).last_seq == 7
        assert verify(directory).exit_code == 0
    assert (primary / segment_name(2)).read_bytes() == (mirror / segment_name(2)).read_bytes()


def test_a_new_mirror_gets_what_is_there_and_the_digests_of_what_was(tmp_path: Path) -> None:
    primary, mirror = tmp_path / "primary", tmp_path / "mirror"
    journal(primary)
    second_segment(primary)
    prune(primary, 6, from_ns(CLOCK.now_ns() + 10**9))
    writer = committer(primary, mirror=mirror)
    assert writer.commit([(1, b"next")]) == 9
    writer.close()
    assert (verify(mirror).exit_code, verify(mirror).pruned, verify(mirror).last_seq) == (0, 6, 9)


def test_a_damaged_file_is_kept_beside_the_one_that_replaces_it(tmp_path: Path) -> None:
    primary, mirror = tmp_path / "primary", tmp_path / "mirror"
    path = journal(primary, mirror)
    flip(path, SECOND + 100)
    damaged = path.read_bytes()
    committer(primary, mirror=mirror).close()
    assert (primary / f"quarantined-{path.name}").read_bytes() == damaged


def test_copies_that_contradict_each_other_halt(tmp_path: Path) -> None:
    primary, mirror = tmp_path / "primary", tmp_path / "mirror"
    journal(primary)
    journal(mirror)
    with pytest.raises(JournalDamaged) as halted:
        committer(primary, mirror=mirror)
    assert halted.value.case == "mirror-diverged"


def test_two_damaged_copies_halt(tmp_path: Path) -> None:
    primary, mirror = tmp_path / "primary", tmp_path / "mirror"
    journal(primary, mirror)
    flip(primary / segment_name(1), SECOND + 100)
    flip(mirror / segment_name(1), FIRST + 100)
    with pytest.raises(JournalDamaged) as halted:
        committer(primary, mirror=mirror)
    assert halted.value.case == "payload-damaged"


def test_a_torn_mirror_does_not_repair_damage_that_it_does_not_cover(tmp_path: Path) -> None:
    primary, mirror = tmp_path / "primary", tmp_path / "mirror"
    journal(primary, mirror)
    flip(primary / segment_name(1), SECOND + 100)
    zero_from(mirror / segment_name(1), THIRD)
    with pytest.raises(JournalDamaged) as halted:
        committer(primary, mirror=mirror)
    assert halted.value.case == "payload-damaged"


def test_a_disk_rolled_back_behind_what_was_shipped_halts(tmp_path: Path) -> None:
    path = journal(tmp_path)
    zero_from(path, THIRD)
    with pytest.raises(JournalDamaged) as halted:
        JournalReader(tmp_path).read_after(6, 1000)
    assert halted.value.case == "journal-behind-shipped"


def test_every_row_of_the_table_has_its_test() -> None:
    tested = {row[0] for row in KEPT} | {row[0] for row in HALTING} | {row[0] for row in COPIES}
    tested |= {"empty-directory", "mirror-diverged", "journal-behind-shipped"}
    assert {case.name for case in RECOVERY} == tested
    assert all(case.remedy for case in RECOVERY if case.action is Action.HALT)

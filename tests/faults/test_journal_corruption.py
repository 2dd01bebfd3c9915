"""Every cut and every flipped bit of a 64-record segment: nothing false is accepted, no damage passes for a tear."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.journal.cases import Action
from billing.journal.format import SEGMENT_HEADER_BYTES, UnreadableHeader, decode_segment_header
from billing.journal.scan import SegmentScan, scan_segment
from deploy import journal_audit
from tests.fakes.journal_disk import is_torture, write_batches

BATCHES = 8
RECORDS = 64
SEED = 20261101


def payloads() -> Iterator[list[tuple[int, bytes]]]:
    source = random.Random(SEED)
    for _ in range(BATCHES):
        yield [(1, source.randbytes(source.randrange(30, 130))) for _ in range(RECORDS // BATCHES)]


class Sweep:
    """A segment of 64 records in 8 batches, with where each batch starts."""

    def __init__(self, directory: Path) -> None:
        write_batches(directory, payloads())
        self.path = directory / "segment-0000000001.journal"
        self.image = self.path.read_bytes()
        scan = self.scan(self.image)
        self.written = len(self.image.rstrip(b"\0"))
        self.records = {entry[0]: entry for entry in journal_audit.iter_payloads(directory)}
        assert (len(self.records), scan.batches, scan.next_seq) == (RECORDS, BATCHES, RECORDS + 1)
        # A cut file is filled up with zeros again; a few sectors of them behind the last batch are as good as all.
        self.image = self.image[: scan.end + 1024]
        self.last_batch = next(
            at
            for at in range(scan.end - 512, 0, -512)
            if self.image[at : at + 4].startswith(b"R\x01\x00\x00")
        )

    def scan(self, image: bytes) -> SegmentScan:
        header = decode_segment_header(image[:SEGMENT_HEADER_BYTES])
        return scan_segment(image, header, self.path, None)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep(tmp_path_factory.mktemp("journal"))


def classified(sweep: Sweep, image: bytes) -> tuple[Action, str, SegmentScan | None]:
    try:
        scan = sweep.scan(image)
    except UnreadableHeader as unreadable:
        return Action.HALT, unreadable.case, None
    finding = scan.findings[0]
    return finding.case.action, finding.case.name, scan


def test_every_cut_is_a_clean_end_or_a_torn_tail_and_keeps_all_whole_batches(sweep: Sweep) -> None:
    seen: Counter[str] = Counter()
    whole = sweep.scan(sweep.image)
    ends = {0: SEGMENT_HEADER_BYTES} | dict.fromkeys(whole.chains, 0)
    trailers = sorted(ends)
    for cut in range(SEGMENT_HEADER_BYTES, sweep.written):
        image = sweep.image[:cut] + bytes(len(sweep.image) - cut)
        action, case, scan = classified(sweep, image)
        assert scan is not None
        assert action in (Action.DISCARD, Action.CONTINUE), (cut, case)
        assert scan.next_seq - 1 in trailers
        assert scan.end <= cut + 512
        if action is Action.CONTINUE:
            assert not image[scan.end : cut].strip(b"\0")
        seen[case] += 1
    print(f"cuts: {seen.total()} seed={SEED} {dict(seen)}")
    assert set(seen) == {"clean-end", "torn-record-header", "torn-payload", "trailer-missing", "torn-trailer"}


def test_cuts_in_the_last_batch_keep_everything_before_it(sweep: Sweep) -> None:
    for cut in range(sweep.last_batch, sweep.written):
        image = sweep.image[:cut] + bytes(len(sweep.image) - cut)
        action, case, scan = classified(sweep, image)
        assert scan is not None
        assert scan.next_seq - 1 == RECORDS - RECORDS // BATCHES
        assert action is (Action.CONTINUE if cut == sweep.last_batch else Action.DISCARD), case


def bits(sweep: Sweep) -> Iterator[int]:
    everything = range(sweep.written * 8)
    if is_torture():
        return iter(everything)
    return iter(random.Random(SEED).sample(everything, 6_000))


def test_no_flipped_bit_is_accepted_or_taken_for_a_torn_tail(sweep: Sweep) -> None:
    seen: Counter[str] = Counter()
    for bit in bits(sweep):
        image = bytearray(sweep.image)
        image[bit // 8] ^= 1 << bit % 8
        action, case, scan = classified(sweep, bytes(image))
        assert action is Action.HALT, (bit, case)
        covered = bit // 8 < sweep.last_batch
        assert case.startswith(("last-", "stray-")) is not covered, (bit, case)
        if scan is not None:
            assert scan.next_seq <= RECORDS + 1
        seen[case] += 1
    print(f"flips: {seen.total()} seed={SEED} read_as_torn_tail=0 {dict(seen)}")


def test_the_independent_reader_never_returns_a_flipped_record(sweep: Sweep, tmp_path: Path) -> None:
    source = random.Random(SEED)
    target = tmp_path / sweep.path.name
    for bit in source.sample(range(sweep.written * 8), 500):
        image = bytearray(sweep.image)
        image[bit // 8] ^= 1 << bit % 8
        target.write_bytes(image)
        try:
            entries = list(journal_audit.iter_payloads(tmp_path))
        except journal_audit.AuditError:
            continue
        assert all(sweep.records[entry[0]] == entry for entry in entries)


def test_zeroed_sectors_are_damage_before_the_watermark_and_a_tear_after_it(sweep: Sweep) -> None:
    for at in range(SEGMENT_HEADER_BYTES, sweep.written, 512):
        image = sweep.image[:at] + bytes(512) + sweep.image[at + 512 :]
        action, case, _ = classified(sweep, image)
        assert action is (Action.HALT if at < sweep.last_batch else Action.DISCARD), (at, case)


def test_sectors_written_to_the_wrong_place_are_damage(sweep: Sweep) -> None:
    for at in range(SEGMENT_HEADER_BYTES, sweep.last_batch - 512, 512):
        swapped = sweep.image[at + 512 : at + 1024] + sweep.image[at : at + 512]
        image = sweep.image[:at] + swapped + sweep.image[at + 1024 :]
        action, case, _ = classified(sweep, image)
        assert action is Action.HALT, (at, case)

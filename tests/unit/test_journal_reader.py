"""The shipper's side: following a live writer, durable reads, rotation, pruning, and a disk that was rolled back."""

import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from billing.journal import Journal, JournalDamaged, JournalReader, Record, prune, read_digests, verify
from billing.journal.directory import DIGESTS_FILE, list_segments, segment_name
from catalog.vocabulary.clock import SystemClock, from_ns
from deploy import journal_audit
from tests.fakes.journal_disk import CLOCK, SMALL_SEGMENT, committer, eventually, in_child, write_batches

RECORDS = 4_000


async def test_a_reader_follows_a_writer_in_another_process_and_misses_nothing(tmp_path: Path) -> None:
    def write(pipe: int) -> None:
        async def run() -> None:
            journal = await Journal.open(
                tmp_path, clock=SystemClock(), segment_bytes=SMALL_SEGMENT, reserve_bytes=0
            )
            os.write(pipe, b"open")

            async def caller(number: int) -> None:
                for n in range(RECORDS // 8):
                    await journal.append(number, b"%d:" % n + b"x" * (n % 700))

            await asyncio.gather(*(caller(number) for number in range(8)))
            await journal.close()

        asyncio.run(run())

    finished: list[tuple[int, bytes]] = []
    writer = threading.Thread(target=lambda: finished.append(in_child(write)))
    writer.start()
    await eventually(lambda: bool(list_segments(tmp_path)))
    reader = JournalReader(tmp_path)
    records: list[Record] = []
    seq = pages = 0
    async with asyncio.timeout(60):
        while len(records) < RECORDS:
            page = reader.read_after(seq, 20_000)
            records += page.records
            pages += bool(page.records)
            seq = page.last_seq
            await asyncio.sleep(0)
    await asyncio.to_thread(writer.join)
    reader.close()
    assert finished == [(0, b"open")]
    assert [record.seq for record in records] == list(range(1, RECORDS + 1))
    for caller_number in range(8):
        own = [record.payload for record in records if record.kind == caller_number]
        assert own == [b"%d:" % n + b"x" * (n % 700) for n in range(RECORDS // 8)]
    assert pages > 10
    assert len(list_segments(tmp_path)) > 5
    assert page.chain.hex() == verify(tmp_path).chain


def test_a_batch_under_way_is_not_returned_and_is_returned_once_complete(tmp_path: Path) -> None:
    write_batches(tmp_path, [[(1, b"a" * 2_000)], [(1, b"b" * 2_000)]])
    path = tmp_path / segment_name(1)
    content = path.read_bytes()
    end = len(content.rstrip(b"\0"))
    reader = JournalReader(tmp_path)
    path.write_bytes(content[: end - 300] + bytes(len(content) - end + 300))
    assert [record.payload[:1] for record in reader.read_after(0, 10**9).records] == [b"a"]
    assert reader.read_after(1, 10**9).records == []
    path.write_bytes(content)
    assert [record.payload[:1] for record in reader.read_after(1, 10**9).records] == [b"b"]


def test_pages_hold_whole_batches_and_respect_the_limit(tmp_path: Path) -> None:
    write_batches(tmp_path, [[(1, b"x" * 1_000)] * 3 for _ in range(10)])
    reader = JournalReader(tmp_path)
    assert reader.read_after(0, 1).last_seq == 3
    assert reader.read_after(3, 3_001).last_seq == 9
    assert reader.read_after(9, 10**9).last_seq == 30
    assert reader.read_after(30, 10**9).records == []


def test_a_torn_tail_that_was_adopted_is_passed_over(tmp_path: Path) -> None:
    write_batches(tmp_path, [[(1, b"kept")], [(1, b"torn" * 500)]])
    path = tmp_path / segment_name(1)
    reader = JournalReader(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:1_600] + bytes(len(content) - 1_600))
    assert reader.read_after(0, 10**9).last_seq == 1
    write_batches(tmp_path, [[(1, b"after")]])
    assert [(r.seq, r.payload) for r in reader.read_after(1, 10**9).records] == [(2, b"after")]


def test_damage_before_the_watermark_halts_the_reader(tmp_path: Path) -> None:
    write_batches(tmp_path, [[(1, b"x" * 1_000)] for _ in range(5)])
    path = tmp_path / segment_name(1)
    content = bytearray(path.read_bytes())
    content[512 + 2 * 1_536 + 200] ^= 4
    path.write_bytes(content)
    reader = JournalReader(tmp_path)
    assert reader.read_after(0, 1_500).last_seq == 2
    with pytest.raises(JournalDamaged) as halted:
        reader.read_after(2, 1_500)
    assert (halted.value.case, halted.value.file) == ("payload-damaged", path)
    assert halted.value.offset == 512 + 2 * 1_536


def test_a_segment_that_lost_its_end_halts_the_reader(tmp_path: Path) -> None:
    write_batches(tmp_path, [[(1, b"x" * 1_000)] for _ in range(3)])
    write_batches(tmp_path, [[(1, b"next")]])
    path = tmp_path / segment_name(1)
    path.write_bytes(path.read_bytes()[: 512 + 2 * 1_536])
    with pytest.raises(JournalDamaged) as halted:
        JournalReader(tmp_path).read_after(0, 10**9)
    assert halted.value.case == "segment-ends-early"


def test_more_shipped_than_the_journal_holds_means_the_disk_was_rolled_back(tmp_path: Path) -> None:
    with pytest.raises(JournalDamaged, match="journal-behind-shipped"):
        JournalReader(tmp_path).read_after(1, 1_000)
    write_batches(tmp_path, [[(1, b"x")] * 3])
    with pytest.raises(JournalDamaged, match="record 4 was shipped, the journal ends with 3"):
        JournalReader(tmp_path).read_after(4, 1_000)
    assert JournalReader(tmp_path).read_after(3, 1_000).records == []


def test_an_empty_journal_reads_as_nothing_until_it_begins(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    assert reader.journal_id is None
    assert reader.read_after(0, 1_000).records == []
    writer = committer(tmp_path)
    writer.commit([(1, b"x")])
    assert reader.read_after(0, 1_000).last_seq == 1
    assert reader.journal_id == writer.journal_id
    writer.close()


# Pruning.


def three_segments(directory: Path) -> None:
    for _ in range(3):
        write_batches(directory, [[(1, b"x"), (2, b"y")]])


def test_pruning_keeps_what_is_not_shipped_what_is_young_and_the_last_segment(tmp_path: Path) -> None:
    three_segments(tmp_path)
    now = from_ns(CLOCK.now_ns())
    later = now + timedelta(days=35)
    assert prune(tmp_path, 6, now - timedelta(days=1)) == []
    assert prune(tmp_path, 1, later) == []
    assert [digest.segment for digest in prune(tmp_path, 3, later)] == [1]
    assert [digest.segment for digest in prune(tmp_path, 6, later)] == [2]
    assert list(list_segments(tmp_path)) == [3]
    digests = read_digests(tmp_path)
    assert [(d.base_seq, d.last_seq, d.kinds) for d in digests] == [
        (1, 2, {1: 1, 2: 1}),
        (3, 4, {1: 1, 2: 1}),
    ]
    report = verify(tmp_path)
    assert (report.exit_code, report.records, report.pruned, report.last_seq) == (0, 2, 4, 6)
    assert [record.seq for record in JournalReader(tmp_path).read_after(4, 1_000).records] == [5, 6]
    assert journal_audit.last_seq(tmp_path) == 6
    write_batches(tmp_path, [[(1, b"goes on")]])
    assert verify(tmp_path).last_seq == 7


def test_asking_for_pruned_records_says_so(tmp_path: Path) -> None:
    three_segments(tmp_path)
    prune(tmp_path, 6, from_ns(CLOCK.now_ns()) + timedelta(days=1))
    with pytest.raises(JournalDamaged, match="records 1 to 4 are asked for and were removed"):
        JournalReader(tmp_path).read_after(0, 1_000)


def test_a_damaged_segment_is_never_pruned(tmp_path: Path) -> None:
    three_segments(tmp_path)
    path = tmp_path / segment_name(1)
    content = bytearray(path.read_bytes())
    content[540] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalDamaged):
        prune(tmp_path, 6, from_ns(CLOCK.now_ns()) + timedelta(days=1))
    assert path.exists()
    assert read_digests(tmp_path) == []


def test_a_crash_between_digest_and_removal_neither_doubles_nor_loses_the_digest(tmp_path: Path) -> None:
    three_segments(tmp_path)
    first = (tmp_path / segment_name(1)).read_bytes()
    later = from_ns(CLOCK.now_ns()) + timedelta(days=1)
    prune(tmp_path, 2, later)
    (tmp_path / segment_name(1)).write_bytes(first)
    with (tmp_path / DIGESTS_FILE).open("ab") as digests:
        digests.write(b'{"journal_id": "unfinis')
    assert verify(tmp_path).exit_code == 0
    assert [digest.segment for digest in prune(tmp_path, 6, later)] == [1, 2]
    assert [digest.segment for digest in read_digests(tmp_path)] == [1, 2]
    assert verify(tmp_path).exit_code == 0


def test_a_segment_removed_without_a_digest_is_missed(tmp_path: Path) -> None:
    three_segments(tmp_path)
    (tmp_path / segment_name(1)).unlink()
    assert verify(tmp_path).cases["segment-missing"] == 1
    assert verify(tmp_path).exit_code == 1

"""Whatever is appended comes back, in order, across rotation, reopening, mirrors and any way of reading."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.journal import JournalReader, verify
from deploy import journal_audit
from tests.fakes.journal_disk import committer, memory_directory

payloads = st.one_of(
    st.binary(max_size=300),
    # Zeros and long payloads: what could be mistaken for unwritten bytes, and what makes segments rotate.
    st.builds(lambda size: bytes(size), st.integers(0, 3_000)),
    st.builds(lambda byte, size: byte * size, st.binary(min_size=1, max_size=1), st.integers(20_000, 65_536)),
    st.sampled_from([b"TRLR", b"R" * 24, b"OGJOURNL" + bytes(504), b"\xa5\x5a\xc3\x3c"]),
)
# At most what fits into the smallest segment at once; the writer never makes more.
batches = st.lists(st.tuples(st.integers(0, 255), payloads), min_size=1, max_size=6).filter(
    lambda batch: sum(len(payload) + 512 for _, payload in batch) < 127 * 1024
)
sessions = st.lists(st.lists(batches, max_size=5), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sessions=sessions, mirrored=st.booleans(), limit=st.integers(1, 200_000))
def test_what_is_appended_is_read_back_in_order(
    sessions: list[list[list[tuple[int, bytes]]]], mirrored: bool, limit: int
) -> None:
    with memory_directory() as root:
        mirror = root / "mirror" if mirrored else None
        expected: list[tuple[int, int, bytes]] = []
        for session in sessions:
            writer = committer(root / "w", mirror=mirror)
            for batch in session:
                first = writer.commit(batch)
                expected += [(first + index, kind, payload) for index, (kind, payload) in enumerate(batch)]
            writer.close()
        assert [seq for seq, _, _ in expected] == list(range(1, len(expected) + 1))
        for directory in filter(None, (root / "w", mirror)):
            assert read_in_pages(directory, limit) == expected
            assert list(journal_audit.iter_payloads(directory)) == expected
            report = verify(directory)
            assert (report.exit_code, report.records, report.last_seq) == (0, len(expected), len(expected))


def read_in_pages(directory: Path, limit: int) -> list[tuple[int, int, bytes]]:
    reader = JournalReader(directory)
    read: list[tuple[int, int, bytes]] = []
    seq = 0
    while (page := reader.read_after(seq, limit)).records:
        read += [(record.seq, record.kind, record.payload) for record in page.records]
        seq = page.last_seq
    reader.close()
    return read


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12), start=st.integers(0, 60))
def test_reading_may_begin_anywhere(sizes: list[int], start: int) -> None:
    with memory_directory() as root:
        writer = committer(root)
        for size in sizes:
            writer.commit([(1, b"p" * 100)] * size)
        writer.close()
        start = min(start, sum(sizes))
        page = JournalReader(root).read_after(start, 10**9)
        assert [record.seq for record in page.records] == list(range(start + 1, sum(sizes) + 1))
        assert page.last_seq == sum(sizes)

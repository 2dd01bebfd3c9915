"""kill -9 at every system call of writer and recovery: what was acknowledged is there, once, and nothing is torn."""

import os
import random
import shutil
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from billing.journal import JournalReader, verify
from billing.journal.disk import Disk, SystemDisk
from deploy import journal_audit
from tests.fakes.journal_disk import (
    SMALL_SEGMENT,
    committer,
    counting,
    in_child,
    is_torture,
    kill_at,
    memory_directory,
    points,
)

ROUNDS = 15 if is_torture() else 1
Workload = list[list[tuple[int, bytes]]]


def workload(seed: int) -> Workload:
    """Batches of one to four records, large enough that a few of them fill a segment."""
    source = random.Random(seed)
    return [
        [
            (1, b"%d:%d:" % (number, index) + bytes(30_000)[: source.randrange(30_000)])
            for index in range(size)
        ]
        for number, size in enumerate(source.choices(range(1, 5), k=9))
    ]


def work(batches: Workload, directory: Path, disk: Disk, mirror: Path | None, pipe: int) -> None:
    """Commit the batches; acknowledge each through the pipe, as a reply would leave, after it is durable."""
    writer = committer(directory, disk=disk, mirror=mirror)
    for entries in batches:
        first = writer.commit(entries)
        os.write(
            pipe, b"".join(b"%d %s\n" % (first + n, payload[:4]) for n, (_, payload) in enumerate(entries))
        )
    writer.close()


def calls_of(batches: Workload, directory: Path, mirror: Path | None = None) -> int:
    """How many calls an undisturbed run makes."""
    disk = counting()
    read_end, write_end = os.pipe()
    work(batches, directory, disk, mirror, write_end)
    os.close(read_end)
    os.close(write_end)
    return disk.calls


@pytest.fixture
def root() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


def acknowledged(output: bytes) -> dict[int, bytes]:
    whole = output[: output.rfind(b"\n") + 1]
    return {int(seq): mark for seq, mark in (line.split(b" ") for line in whole.splitlines())}


def assert_whole(directory: Path, batches: Workload, acks: dict[int, bytes]) -> None:
    """Every acknowledged record is there exactly once, in sequence without a gap, as it was given."""
    entries = list(journal_audit.iter_payloads(directory))
    assert [seq for seq, _, _ in entries] == list(range(1, len(entries) + 1))
    given = [entry for batch in batches for entry in batch]
    ours = [(kind, payload) for _, kind, payload in entries if kind == 1]
    assert ours == given[: len(ours)]
    assert acks.items() <= {seq: payload[:4] for seq, _, payload in entries}.items()
    assert [record.seq for record in JournalReader(directory).read_after(0, 10**9).records] == [
        e[0] for e in entries
    ]
    assert verify(directory).exit_code == 0


@pytest.mark.parametrize("mirrored", [False, True], ids=["alone", "mirrored"])
def test_a_writer_killed_at_any_call_loses_and_doubles_nothing(root: Path, *, mirrored: bool) -> None:
    def mirror(name: str) -> Path | None:
        return root / f"{name}-mirror" if mirrored else None

    kills = 0
    for seed in range(ROUNDS):
        batches = workload(seed)
        sizes = {len(batch) for batch in batches} | {0}
        for call in points(calls_of(batches, root / f"count-{seed}", mirror(f"count-{seed}")), 20):
            name = f"{seed}-{call}"
            status, output = in_child(partial(work, batches, root / name, kill_at(call), mirror(name)))
            kills += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            acks = acknowledged(output)
            adopted = committer(root / name, mirror=mirror(name))
            assert adopted.durable_seq - len(acks) in sizes, "at most the batch in flight is extra"
            assert adopted.commit([(2, b"adopted")]) == adopted.durable_seq
            adopted.close()
            for directory in (root / name, mirror(name)):
                if directory:
                    assert_whole(directory, batches, acks)
                    shutil.rmtree(directory)
    print(f"kill points: {kills}; acknowledged lost=0 doubled=0")
    assert kills > (800 if is_torture() else 15)


@pytest.mark.parametrize("mirrored", [False, True], ids=["alone", "mirrored"])
def test_a_recovery_killed_at_any_call_any_number_of_times_ends_the_same(
    root: Path, *, mirrored: bool
) -> None:
    source, source_mirror = root / "source", root / "source-mirror"
    batches = workload(0)
    total = calls_of(batches, root / "count", root / "count-mirror" if mirrored else None)
    used_mirror = source_mirror if mirrored else None
    status, output = in_child(partial(work, batches, source, kill_at(total * 2 // 3), used_mirror))
    assert os.WTERMSIG(status) == signal.SIGKILL
    acks = acknowledged(output)
    if mirrored:
        # One copy is torn, so that recovery has copying to do, too.
        last = max(source_mirror.glob("segment-*.journal"))
        content = last.read_bytes().rstrip(b"\0")
        last.write_bytes(content[: max(512, len(content) // 512 * 512 - 512)].ljust(SMALL_SEGMENT, b"\0"))

    def lay_out(name: str) -> tuple[Path, Path | None]:
        shutil.copytree(source, root / name)
        if not mirrored:
            return root / name, None
        shutil.copytree(source_mirror, root / f"{name}-mirror")
        return root / name, root / f"{name}-mirror"

    def recover(directory: Path, mirror: Path | None, disk: Disk, _pipe: int = -1) -> None:
        committer(directory, disk=disk, mirror=mirror).close()

    undisturbed = counting()
    recover(*lay_out("plain"), undisturbed)
    for call in points(undisturbed.calls, 10):
        directory, mirror = lay_out(str(call))
        for _ in range(3):
            in_child(partial(recover, directory, mirror, kill_at(call)))
        committer(directory, mirror=mirror).close()
        for copy in (directory, mirror):
            if copy:
                assert_whole(copy, batches, acks)
                shutil.rmtree(copy)


class HalfWritten(SystemDisk):
    """Writes half of the third batch and dies."""

    batches = 0

    def pwritev(self, fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
        """See `Disk`."""
        # Only a batch is written as two buffers: records and trailer.
        self.batches += len(buffers) == 2
        if self.batches == 3:
            super().pwritev(fd, [b"".join(buffers)[: len(buffers[0]) // 2]], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().pwritev(fd, buffers, offset)


def test_a_batch_cut_by_the_kill_is_dropped_and_those_before_kept(root: Path) -> None:
    batches = [[(1, b"%d:0:" % number + b"x" * 20_000)] for number in range(4)]
    status, output = in_child(partial(work, batches, root / "w", HalfWritten(), None))
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert sorted(acknowledged(output)) == [1, 2]
    writer = committer(root / "w")
    assert [finding.case.name for finding in writer.recovered if finding.offset] == ["torn-payload"]
    assert writer.commit([(1, b"next")]) == 3
    writer.close()

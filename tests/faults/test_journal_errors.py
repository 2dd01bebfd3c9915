"""The disk fails at every call in turn: nothing is acknowledged after it, and nothing acknowledged is lost."""

import asyncio
import errno
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from billing.journal import Journal, JournalUnavailable, verify
from billing.journal.disk import SystemDisk, write_fully
from deploy import journal_audit
from tests.fakes.journal_disk import (
    CLOCK,
    SMALL_SEGMENT,
    ScriptedDisk,
    committer,
    counting,
    eventually,
    fail_at,
    is_torture,
    memory_directory,
    points,
)

ERRORS = [
    pytest.param(errno.EIO, False, id="EIO"),
    pytest.param(errno.ENOSPC, False, id="ENOSPC"),
    pytest.param(errno.ENOSPC, True, id="short-write-then-ENOSPC"),
    pytest.param(errno.EROFS, False, id="EROFS"),
    pytest.param(errno.EINTR, False, id="EINTR"),
]


@pytest.fixture
def root() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


async def served(directory: Path, disk: ScriptedDisk, mirror: Path | None) -> tuple[list[int], str | None]:
    """Three callers at a time append until the journal fails; returns what was acknowledged and the failure."""
    try:
        journal = await Journal.open(
            directory, clock=CLOCK, segment_bytes=SMALL_SEGMENT, reserve_bytes=0, mirror=mirror, disk=disk
        )
    except OSError as error:
        return [], str(error)
    acknowledged: list[int] = []
    for _ in range(6):
        calls = (journal.append(1, b"e" * 20_000) for _ in range(3))
        try:
            results = await asyncio.gather(*calls, return_exceptions=True)
        except JournalUnavailable:
            results = []
        if any(isinstance(result, BaseException) for result in results) or not results:
            break
        acknowledged += [result for result in results if isinstance(result, int)]
    failure = journal.failure
    if failure is not None:
        with pytest.raises(JournalUnavailable, match="io-error"):
            await journal.append(1, b"after the failure")
        assert not journal.healthy
    await journal.close()
    return acknowledged, failure


@pytest.mark.parametrize("mirrored", [False, True], ids=["alone", "mirrored"])
@pytest.mark.parametrize(("error", "short"), ERRORS)
def test_after_the_first_io_error_nothing_is_acknowledged(
    root: Path, error: int, *, short: bool, mirrored: bool
) -> None:
    undisturbed = counting()
    mirror = root / "count-mirror" if mirrored else None
    everything, _ = asyncio.run(served(root / "count", undisturbed, mirror))
    assert len(everything) == 18
    failures = 0
    for call in points(undisturbed.calls, 100 if is_torture() else 8):
        disk = fail_at(call, error, short=short)
        mirror = root / f"{call}-mirror" if mirrored else None
        acknowledged, failure = asyncio.run(served(root / str(call), disk, mirror))
        failures += failure is not None
        # The disk works again; what it holds is what was acknowledged and at most the batch that failed.
        adopted = committer(root / str(call), mirror=mirror)
        assert adopted.durable_seq - len(acknowledged) in (0, 3)
        adopted.close()
        held = [seq for seq, _, _ in journal_audit.iter_payloads(root / str(call))]
        assert held == list(range(1, len(held) + 1))
        assert acknowledged == held[: len(acknowledged)]
        assert verify(root / str(call)).exit_code == 0
    assert failures > 0


async def test_a_failed_sync_is_never_repeated(tmp_path: Path) -> None:
    syncs_after_failure: list[str] = []
    failing = False

    def act(n: int, name: str) -> int | None:
        if name == "fdatasync" and failing:
            syncs_after_failure.append(name)
            raise OSError(errno.EIO, "the disk is gone")
        return None

    journal = await Journal.open(
        tmp_path, clock=CLOCK, segment_bytes=SMALL_SEGMENT, reserve_bytes=2**60, disk=ScriptedDisk(act)
    )
    await journal.close()
    journal = await Journal.open(
        tmp_path, clock=CLOCK, segment_bytes=SMALL_SEGMENT, reserve_bytes=0, disk=ScriptedDisk(act)
    )
    assert await journal.append(1, b"before") == 1
    await asyncio.sleep(0.05)
    failing = True
    with pytest.raises(JournalUnavailable, match="the disk is gone"):
        await journal.append(1, b"lost")
    await journal.close()
    assert len(syncs_after_failure) == 1


def test_short_writes_are_continued(tmp_path: Path) -> None:
    class Stingy(SystemDisk):
        """Takes at most 1,000 bytes a call."""

        def pwritev(self, fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
            """See `Disk`."""
            return super().pwritev(fd, [b"".join(buffers)[:1_000]], offset)

    writer = committer(tmp_path / "w", disk=Stingy())
    writer.commit([(1, b"s" * 5_000), (2, b"t" * 700)])
    writer.close()
    assert [payload for _, _, payload in journal_audit.iter_payloads(tmp_path / "w")] == [
        b"s" * 5_000,
        b"t" * 700,
    ]


def test_a_disk_that_takes_no_bytes_is_an_error(tmp_path: Path) -> None:
    class Full(SystemDisk):
        """Accepts nothing and says nothing."""

        def pwritev(self, fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
            """See `Disk`."""
            return 0

    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    with pytest.raises(OSError, match="accepted no bytes"):
        write_fully(Full(), fd, [b"x"], 0)
    os.close(fd)


def test_more_buffers_than_the_kernel_takes_at_once_are_written_in_order(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    buffers = [b"%06d" % n for n in range(3_000)]
    write_fully(SystemDisk(), fd, buffers, 0)
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"".join(buffers)


class Statless(SystemDisk):
    """A disk whose `statvfs` fails once it is armed, and only when it is let go."""

    def __init__(self) -> None:
        self.armed, self.asked, self.go = threading.Event(), threading.Event(), threading.Event()

    def free_bytes(self, path: Path) -> int:
        """See `Disk`."""
        if not self.armed.is_set():
            return super().free_bytes(path)
        self.asked.set()
        assert self.go.wait(10)
        raise OSError(errno.EIO, "no answer")


async def test_an_append_handed_over_while_the_disk_fails_between_batches_is_answered(tmp_path: Path) -> None:
    disk = Statless()
    journal = await Journal.open(
        tmp_path, clock=CLOCK, segment_bytes=SMALL_SEGMENT, reserve_bytes=0, disk=disk
    )
    assert await journal.append(1, b"before") == 1
    disk.armed.set()
    CLOCK.advance(2)
    await eventually(disk.asked.is_set)
    waiting = journal.append(1, b"handed over to a thread that is about to end")
    await asyncio.sleep(0)
    disk.go.set()
    with pytest.raises(JournalUnavailable, match="no answer"):
        await asyncio.wait_for(waiting, 10)
    await journal.close()


class Gauge(SystemDisk):
    """A real disk whose free space the test sets."""

    free = 2**40

    def free_bytes(self, path: Path) -> int:
        """See `Disk`."""
        return self.free


async def test_a_filling_disk_is_refused_before_it_is_full_and_accepted_appends_complete(
    tmp_path: Path,
) -> None:
    disk = Gauge()
    journal = await Journal.open(
        tmp_path, clock=CLOCK, segment_bytes=SMALL_SEGMENT, reserve_bytes=1_000_000, disk=disk
    )
    accepted = [journal.append(1, b"a" * 60_000) for _ in range(10)]
    disk.free = 900_000
    assert await asyncio.gather(*accepted) == list(range(1, 11))
    CLOCK.advance(2)
    await eventually(lambda: not journal.healthy)
    with pytest.raises(JournalUnavailable) as refused:
        journal.append(1, b"one more")
    assert refused.value.reason == "disk-reserve"
    disk.free = 2**40
    CLOCK.advance(2)
    await eventually(lambda: journal.healthy)
    assert await journal.append(1, b"welcome again") == 11
    await journal.close()

"""Disks that fail or die at a chosen call, and journals built by hand for the journal's tests."""

import asyncio
import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from billing.journal.commit import BatchCommitter
from billing.journal.disk import Disk, SystemDisk
from catalog.vocabulary.clock import ManualClock

SMALL_SEGMENT = 128 * 1024
CLOCK = ManualClock(datetime(2026, 11, 1, tzinfo=UTC))


class ScriptedDisk:
    """A real disk whose n-th changing call is handed to `at_call` first, which may raise or kill the process."""

    def __init__(self, at_call: Callable[[int, str], int | None]) -> None:
        """`at_call(n, name)` is called before every call; an int it returns cuts a write to that many bytes."""
        self._disk = SystemDisk()
        self._at_call = at_call
        self.calls = 0

    def _count(self, name: str) -> int | None:
        self.calls += 1
        return self._at_call(self.calls, name)

    def open(self, path: Path, flags: int) -> int:
        """See `Disk`."""
        self._count("open")
        return self._disk.open(path, flags)

    def close(self, fd: int) -> None:
        """Never fails: closing is not part of any promise."""
        self._disk.close(fd)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """See `Disk`."""
        self._count("pread")
        return self._disk.pread(fd, length, offset)

    def pwritev(self, fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
        """See `Disk`."""
        cut = self._count("pwritev")
        if cut is None:
            return self._disk.pwritev(fd, buffers, offset)
        return self._disk.pwritev(fd, [b"".join(buffers)[:cut]], offset)

    def fdatasync(self, fd: int) -> None:
        """See `Disk`."""
        self._count("fdatasync")
        self._disk.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """See `Disk`."""
        self._count("fsync")
        self._disk.fsync(fd)

    def ftruncate(self, fd: int, length: int) -> None:
        """See `Disk`."""
        self._count("ftruncate")
        self._disk.ftruncate(fd, length)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        self._count("rename")
        self._disk.rename(source, target)

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        self._count("unlink")
        self._disk.unlink(path)

    def free_bytes(self, path: Path) -> int:
        """See `Disk`."""
        self._count("free_bytes")
        return self._disk.free_bytes(path)


def counting() -> ScriptedDisk:
    """A disk that only counts its calls."""
    return ScriptedDisk(lambda *_: None)


def kill_at(call: int) -> ScriptedDisk:
    """A disk that ends the process with SIGKILL before a call."""

    def act(n: int, name: str) -> int | None:
        if n == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    return ScriptedDisk(act)


def fail_at(call: int, error: int, *, short: bool = False) -> ScriptedDisk:
    """A disk that raises OSError(error) from a call on; with `short` that call, if a write, first writes a part."""
    state = {"failing": False}

    def act(n: int, name: str) -> int | None:
        if n == call and short and name == "pwritev":
            state["failing"] = True
            return 100
        if n == call or state["failing"]:
            state["failing"] = True
            raise OSError(error, os.strerror(error))
        return None

    return ScriptedDisk(act)


def committer(
    directory: Path,
    *,
    disk: Disk | None = None,
    mirror: Path | None = None,
    segment_bytes: int = SMALL_SEGMENT,
    reserve_bytes: int = 0,
) -> BatchCommitter:
    """Open a journal for synchronous batches."""
    return BatchCommitter(
        directory,
        clock=CLOCK,
        disk=disk or SystemDisk(),
        segment_bytes=segment_bytes,
        reserve_bytes=reserve_bytes,
        mirror=mirror,
    )


def write_batches(
    directory: Path, batches: Iterable[list[tuple[int, bytes]]], mirror: Path | None = None
) -> None:
    """Open, commit the batches, close."""
    writer = committer(directory, mirror=mirror)
    for batch in batches:
        writer.commit(batch)
    writer.close()


def in_child(work: Callable[[int], None]) -> tuple[int, bytes]:
    """Run `work(pipe)` in a forked child; returns its wait status and what it wrote to the pipe."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of forking beside threads; the child starts its own and touches no other's.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(read_end)
        status = 1
        try:
            work(write_end)
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        output = pipe.read()
    _, status = os.waitpid(pid, 0)
    return status, output


def is_torture() -> bool:
    """Whether `make torture` runs: everything instead of a sample."""
    return os.environ.get("ORDERGATE_TORTURE") == "full"


def points(calls: int, quick: int) -> range:
    """Which of `calls` kill or fault points to try: all of them under `make torture`, else about `quick`, spread."""
    return range(1, calls + 1, 1 if is_torture() else max(1, calls // quick))


@contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory that outlives a killed process but not the machine: enough, and fast, for kill -9."""
    shared_memory = Path("/dev/shm")
    with TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as name:
        yield Path(name)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fails after ten seconds."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about within ten seconds")

"""The system calls through which a journal touches its disk: one port, so that tests can fail or kill any of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

_BUFFERS_MAX = 1024


class Disk(Protocol):
    """The calls a writer and its recovery make. Each raises OSError as the system call does."""

    def open(self, path: Path, flags: int) -> int:
        """`open(2)` with mode 0600, close-on-exec."""

    def close(self, fd: int) -> None:
        """`close(2)`."""

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """`pread(2)`: at most `length` bytes, empty at the end of the file."""

    def pwritev(self, fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
        """`pwritev(2)`: the number of bytes written, which may be fewer than asked."""

    def fdatasync(self, fd: int) -> None:
        """`fdatasync(2)`."""

    def fsync(self, fd: int) -> None:
        """`fsync(2)`."""

    def ftruncate(self, fd: int, length: int) -> None:
        """`ftruncate(2)`."""

    def rename(self, source: Path, target: Path) -> None:
        """`rename(2)`: replaces the target."""

    def unlink(self, path: Path) -> None:
        """`unlink(2)`."""

    def free_bytes(self, path: Path) -> int:
        """Bytes that an unprivileged process may still write on the file system of `path` (`statvfs(3)`)."""


class SystemDisk:
    """The machine's own file systems."""

    __slots__ = ()

    def open(self, path: Path, flags: int) -> int:
        """See `Disk.open`."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def close(self, fd: int) -> None:
        """See `Disk.close`."""
        os.close(fd)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """See `Disk.pread`."""
        return os.pread(fd, length, offset)

    def pwritev(self, fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> int:
        """See `Disk.pwritev`."""
        return os.pwritev(fd, buffers, offset)

    def fdatasync(self, fd: int) -> None:
        """See `Disk.fdatasync`."""
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """See `Disk.fsync`."""
        os.fsync(fd)

    def ftruncate(self, fd: int, length: int) -> None:
        """See `Disk.ftruncate`."""
        os.ftruncate(fd, length)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk.rename`."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """See `Disk.unlink`."""
        path.unlink()

    def free_bytes(self, path: Path) -> int:
        """See `Disk.free_bytes`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize


def write_fully(disk: Disk, fd: int, buffers: Sequence[bytes], offset: int) -> None:
    """Write every byte, continuing after short writes; OSError when the disk takes no more.

    A full disk shows itself as a short write first and as ENOSPC on the next call.
    """
    pending: list[bytes | memoryview] = [buffer for buffer in buffers if buffer]
    while pending:
        written = disk.pwritev(fd, pending[:_BUFFERS_MAX], offset)
        if written <= 0:
            raise OSError("the disk accepted no bytes")
        offset += written
        while written:
            size = len(pending[0])
            if written < size:
                pending[0] = memoryview(pending[0])[written:]
                break
            written -= size
            del pending[0]


def read_fully(disk: Disk, fd: int, length: int, offset: int) -> bytes:
    """Read `length` bytes, or fewer where the file ends before."""
    parts: list[bytes] = []
    while length > 0 and (part := disk.pread(fd, length, offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)

"""A journal's directory: names, the one-writer lock, listing, and what file system it lies on."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from billing.journal.disk import Disk

LOCK_FILE = "lock"
DIGESTS_FILE = "digests.jsonl"
SPARE_FILE = "next-segment.tmp"
_SEGMENT_NAME = re.compile(r"segment-(\d{10})\.journal")
_UNSAFE_FILESYSTEMS = {
    "tmpfs": "is kept in memory and lost when the machine stops",
    "ramfs": "is kept in memory and lost when the machine stops",
    "overlay": "is a container's own layer and lost with the container",
    "nfs": "acknowledges writes that the server may lose, and its locks are advisory at best",
    "nfs4": "acknowledges writes that the server may lose, and its locks are advisory at best",
    "btrfs": "copies on write, so that zero-filled segments reserve no space",
}


class JournalInUse(Exception):
    """Another process holds this journal's lock; a journal has one writer."""


def segment_name(number: int) -> str:
    """`segment-0000000001.journal`."""
    return f"segment-{number:010d}.journal"


def list_segments(directory: Path) -> dict[int, Path]:
    """The segment files by number, ascending; everything else in the directory is left out."""
    found = ((_SEGMENT_NAME.fullmatch(path.name), path) for path in directory.iterdir())
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def list_temporaries(directory: Path) -> list[Path]:
    """Files that were being prepared and never got their final name."""
    return sorted(directory.glob("*.tmp"))


def journal_directories(root: Path) -> list[Path]:
    """The journals under a root, one directory per worker, by name."""
    return sorted(path for path in root.iterdir() if path.is_dir() and (path / LOCK_FILE).exists())


def lock(directory: Path) -> int:
    """Take the one-writer lock; returns its descriptor, `JournalInUse` if somebody holds it."""
    fd = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise JournalInUse(f"{directory} has a writer already") from None
    return fd


@contextmanager
def listing_held(directory: Path, *, exclusive: bool) -> Iterator[None]:
    """Keep the set of old segments as it is: shared while they are read, exclusive while they are pruned."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def sync_directory(disk: Disk, directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = disk.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.fsync(fd)
    finally:
        disk.close(fd)


def filesystem_warning(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Why the file system of `path` is a bad place for a journal, or None."""
    resolved = path.resolve()
    best, kind = Path(), ""
    for line in mounts.read_text().splitlines():
        _, mount_text, filesystem, *_ = line.split(" ")
        mount = Path(mount_text.encode().decode("unicode_escape"))
        if resolved.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, kind = mount, filesystem
    reason = _UNSAFE_FILESYSTEMS.get(kind)
    return (
        None
        if reason is None
        else f"{path} is on {kind} ({best}), which {reason}; put the journal on ext4 or xfs"
    )

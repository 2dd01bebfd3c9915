"""What is kept of segments that were removed: one durable line each in `digests.jsonl`."""

import os
from pathlib import Path
from uuid import UUID

import msgspec

from billing.journal.directory import DIGESTS_FILE, sync_directory
from billing.journal.disk import Disk, read_fully, write_fully


class Digest(msgspec.Struct, frozen=True):
    """What a removed segment held. `kinds` counts records by kind; `chain` (hex) is where the next segment begins."""

    journal_id: UUID
    segment: int
    base_seq: int
    last_seq: int
    kinds: dict[int, int]
    chain: str


def read_digests(directory: Path) -> list[Digest]:
    """The digests of the removed segments, in their order."""
    path = directory / DIGESTS_FILE
    if not path.exists():
        return []
    # A crash can leave the last line unfinished; its segment is still there and gets a new line.
    lines = path.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=Digest) for line in lines]


def append_digests(disk: Disk, directory: Path, digests: list[Digest]) -> None:
    """Add lines, durably; an unfinished last line is replaced."""
    fd = disk.open(directory / DIGESTS_FILE, os.O_RDWR | os.O_CREAT)
    try:
        content = read_fully(disk, fd, os.fstat(fd).st_size, 0)
        end = content.rfind(b"\n") + 1
        disk.ftruncate(fd, end)
        write_fully(disk, fd, [msgspec.json.encode(digest) + b"\n" for digest in digests], end)
        disk.fsync(fd)
    finally:
        disk.close(fd)
    sync_directory(disk, directory)

"""The writer on the event loop: order, group commit, shedding, one writer, orderly close."""

import asyncio
import contextlib
import os
import threading
from pathlib import Path

import pytest

from billing.journal import (
    Journal,
    JournalInUse,
    JournalReader,
    JournalUnavailable,
    filesystem_warning,
    journal_directories,
    verify,
)
from billing.journal.directory import list_temporaries
from billing.journal.disk import SystemDisk
from billing.journal.writer import QUEUE_BYTES_MAX
from catalog.vocabulary.clock import SystemClock
from tests.fakes.journal_disk import SMALL_SEGMENT, in_child


async def opened(directory: Path, disk: SystemDisk | None = None) -> Journal:
    return await Journal.open(
        directory, clock=SystemClock(), segment_bytes=SMALL_SEGMENT, reserve_bytes=0, disk=disk
    )


class Gate(SystemDisk):
    """A disk whose syncs wait until they are let through."""

    def __init__(self) -> None:
        self.open_gate = threading.Event()
        self.open_gate.set()

    def fdatasync(self, fd: int) -> None:
        """See `Disk`."""
        assert self.open_gate.wait(20)
        super().fdatasync(fd)


async def test_appends_are_numbered_in_order_from_one_and_go_on_after_reopening(tmp_path: Path) -> None:
    journal = await opened(tmp_path)
    assert await asyncio.gather(*(journal.append(1, b"%d" % n) for n in range(5))) == [1, 2, 3, 4, 5]
    assert journal.durable_seq == 5
    identity = journal.journal_id
    await journal.close()
    journal = await opened(tmp_path)
    assert (journal.journal_id, journal.durable_seq) == (identity, 5)
    assert await journal.append(2, b"again") == 6
    await journal.close()


async def test_nothing_is_acknowledged_before_its_sync_returned(tmp_path: Path) -> None:
    disk = Gate()
    journal = await opened(tmp_path, disk)
    await journal.append(1, b"warm")
    disk.open_gate.clear()
    waiting = journal.append(1, b"held")
    await asyncio.sleep(0.1)
    assert not waiting.done()
    disk.open_gate.set()
    assert await waiting == 2
    await journal.close()


async def test_what_is_appended_during_a_commit_shares_the_next_one(tmp_path: Path) -> None:
    disk = Gate()
    journal = await opened(tmp_path, disk)
    await journal.append(1, b"warm")
    disk.open_gate.clear()
    first = journal.append(1, b"first")
    await asyncio.sleep(0.05)
    later = [journal.append(1, b"later") for _ in range(100)]
    disk.open_gate.set()
    assert await asyncio.gather(first, *later) == list(range(2, 103))
    await journal.close()
    assert verify(tmp_path).batches == 3


async def test_what_was_accepted_before_a_close_is_durable_after_it(tmp_path: Path) -> None:
    journal = await opened(tmp_path)
    accepted = [journal.append(9, b"counter") for _ in range(2)]
    await journal.close()
    assert [future.result() for future in accepted] == [1, 2]
    assert verify(tmp_path).kinds == {9: 2}


async def test_many_large_appends_rotate_and_stay_in_order(tmp_path: Path) -> None:
    journal = await opened(tmp_path)
    numbers = await asyncio.gather(*(journal.append(1, b"%03d" % n + b"x" * 60_000) for n in range(40)))
    await journal.close()
    assert numbers == list(range(1, 41))
    page = JournalReader(tmp_path).read_after(0, 10**9)
    assert [record.payload[:3] for record in page.records] == [b"%03d" % n for n in range(40)]
    assert verify(tmp_path).segments >= 20


def accepted_until_full(journal: Journal) -> "list[asyncio.Future[int]]":
    accepted: list[asyncio.Future[int]] = []
    with contextlib.suppress(JournalUnavailable):
        while True:
            accepted.append(journal.append(1, b"q" * 60_000))
    return accepted


async def test_a_full_queue_sheds_and_recovers(tmp_path: Path) -> None:
    disk = Gate()
    journal = await opened(tmp_path, disk)
    await journal.append(1, b"warm")
    disk.open_gate.clear()
    accepted = accepted_until_full(journal)
    with pytest.raises(JournalUnavailable) as refused:
        journal.append(1, b"one too many")
    assert refused.value.reason == "queue-full"
    assert journal.healthy
    assert len(accepted) * 60_000 < QUEUE_BYTES_MAX + 2 * 1024 * 1024
    disk.open_gate.set()
    assert await asyncio.gather(*accepted) == list(range(2, len(accepted) + 2))
    assert await journal.append(1, b"welcome again") == len(accepted) + 2
    await journal.close()


async def test_a_caller_that_gave_up_does_not_disturb_the_others(tmp_path: Path) -> None:
    journal = await opened(tmp_path)
    given_up, kept = journal.append(1, b"a"), journal.append(1, b"b")
    given_up.cancel()
    assert await kept == 2
    await journal.close()
    assert verify(tmp_path).records == 2


@pytest.mark.parametrize(("kind", "size"), [(256, 1), (-1, 1), (1, 65_537)])
async def test_what_the_format_cannot_hold_is_a_mistake_of_the_caller(
    tmp_path: Path, kind: int, size: int
) -> None:
    journal = await opened(tmp_path)
    with pytest.raises(ValueError, match="at most 64 KiB"):
        journal.append(kind, bytes(size))
    assert await journal.append(255, bytes(65_536)) == 1
    await journal.close()


async def test_closing_completes_what_was_accepted_and_refuses_the_rest(tmp_path: Path) -> None:
    journal = await opened(tmp_path)
    accepted = [journal.append(1, b"x") for _ in range(3)]
    await journal.close()
    assert [future.result() for future in accepted] == [1, 2, 3]
    with pytest.raises(JournalUnavailable) as refused:
        journal.append(1, b"late")
    assert refused.value.reason == "closed"
    assert journal.failure == "closed: this journal was closed"
    await journal.close()
    assert list_temporaries(tmp_path) == []


async def test_a_second_writer_is_refused_in_this_and_in_another_process(tmp_path: Path) -> None:
    journal = await opened(tmp_path)
    with pytest.raises(JournalInUse):
        await opened(tmp_path)

    def second(pipe: int) -> None:
        try:
            asyncio.run(opened(tmp_path))
        except JournalInUse:
            os.write(pipe, b"refused")

    assert await asyncio.to_thread(in_child, second) == (0, b"refused")
    assert await journal.append(1, b"still the one") == 1
    await journal.close()
    await (await opened(tmp_path)).close()


async def test_workers_take_free_journals_and_adopt_those_of_the_dead(tmp_path: Path) -> None:
    async def take() -> Journal:
        return await Journal.open_free(
            tmp_path, clock=SystemClock(), segment_bytes=SMALL_SEGMENT, reserve_bytes=0
        )

    first, second = await take(), await take()
    assert [path.name for path in journal_directories(tmp_path)] == ["worker-000", "worker-001"]
    assert await first.append(1, b"x") == 1
    await first.close()
    third = await take()
    assert (third.journal_id, third.durable_seq) == (first.journal_id, 1)
    await second.close()
    await third.close()


@pytest.mark.parametrize("size", [64 * 1024, SMALL_SEGMENT + 1])
async def test_a_segment_size_that_cannot_work_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 512"):
        await Journal.open(tmp_path, clock=SystemClock(), segment_bytes=size, reserve_bytes=0)


def test_file_systems_that_lose_journals_are_named(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\noverlay /box overlay rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n"
        "/dev/sdb1 /box/my\\040disk xfs rw 0 0\nserver:/x /net nfs4 rw 0 0\n"
    )
    assert filesystem_warning(Path("/var/lib"), mounts) is None
    assert filesystem_warning(Path("/box/my disk/journal"), mounts) is None
    assert "overlay" in (filesystem_warning(Path("/box/journal"), mounts) or "")
    assert "kept in memory" in (filesystem_warning(Path("/dev/shm/journal"), mounts) or "")
    assert "nfs4" in (filesystem_warning(Path("/net/journal"), mounts) or "")

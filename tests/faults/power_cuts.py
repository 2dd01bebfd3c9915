"""Cut the power under the journal's writer, again and again; what was acknowledged is on the disk every time.

    python -m tests.faults.power_cuts --cuts 2000 --seed 1

The real writer appends through a disk that counts its I/O calls. At a call that the seed chooses, during recovery,
preparation of a segment, a batch or a rotation, the kernel brings some of what was written to the disk, perhaps only a
part of one write, and the power is cut. After the next mount the independent reader says what is durable, then the
writer recovers the journal and goes on. Prints one JSON line; exit status 1 with the difference, 3 with the reason
where this machine cannot do it.
"""

import argparse
import asyncio
import json
import random
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from billing.journal import Journal, JournalUnavailable, verify
from catalog.vocabulary.clock import SystemClock
from deploy.journal_audit import iter_payloads
from tests.fakes.journal_disk import SMALL_SEGMENT, ScriptedDisk, memory_directory
from tests.faults.cut_disk import CutDisk, cut_disk, leave_mounts_to_this_process, why_not

CANNOT = 3
# A start takes some 25 calls; beyond it most cuts fall between a batch's write and its sync, some into a rotation.
_CALLS_MAX = 90
_PAYLOAD_MAX = 6_000
_ROUNDS_OF_ONE_JOURNAL = 25


class Outlet:
    """Where the power is cut: before the I/O call of a number, with some of what is in memory brought to the disk first."""

    def __init__(self, disk: CutDisk, journal: Path, chance: random.Random) -> None:
        self._disk = disk
        self._journal = journal
        self._chance = chance
        self._at = chance.randrange(1, _CALLS_MAX)
        self._torn = chance.random() < 0.5
        self._written_back = chance.random() < 0.5
        # Batches and the next segment are written by threads of their own.
        self._lock = threading.Lock()
        self.is_off = False

    def __call__(self, number: int, name: str) -> int | None:
        """As `ScriptedDisk` asks it: at the chosen write only a part is taken, and the power goes at the next call."""
        with self._lock:
            return None if self.is_off or number < self._at else self._cut(name)

    def _cut(self, name: str) -> int | None:
        if self._torn and name == "pwritev":
            self._torn = False
            return self._chance.randrange(1, 2_000)
        if self._written_back:
            for path in self._journal.glob("*.*"):
                start = self._chance.randrange(0, SMALL_SEGMENT, 4096)
                self._disk.write_back(path, start, self._chance.randrange(4096, SMALL_SEGMENT))
        self.is_off = True
        self._disk.cut()
        return None


class Unsynced(ScriptedDisk):
    """A disk that is never told to make a batch durable: what the cuts must find."""

    def fdatasync(self, fd: int) -> None:
        """Says that it is done."""
        self._count("fdatasync")


class Book:
    """What was handed to a journal, in order, and up to where it was acknowledged."""

    def __init__(self) -> None:
        self.submitted: list[bytes] = []
        self.acknowledged = 0


async def _write_until_cut(
    directory: Path, disk: ScriptedDisk, outlet: Outlet, book: Book, chance: random.Random
) -> None:
    """Append batches of a few records until the journal fails, noting what it acknowledges."""
    try:
        journal = await Journal.open(
            directory, clock=SystemClock(), segment_bytes=SMALL_SEGMENT, reserve_bytes=0, disk=disk
        )
    except OSError:
        assert outlet.is_off, "nothing but the cut may fail"
        return
    try:
        while True:
            payloads = [
                chance.randbytes(chance.randrange(_PAYLOAD_MAX)) for _ in range(chance.randrange(1, 6))
            ]
            book.submitted += payloads
            numbers = await asyncio.gather(*[journal.append(1, payload) for payload in payloads])
            assert numbers[0] == len(book.submitted) - len(payloads) + 1
            book.acknowledged = numbers[-1]
    except JournalUnavailable as refused:
        assert refused.reason == "io-error", refused
        assert outlet.is_off, "nothing but the cut may fail"
    finally:
        await journal.close()


def _durable(directory: Path) -> list[bytes]:
    return [payload for _, _, payload in iter_payloads(directory)] if directory.exists() else []


def cut_power(
    folder: Path, cuts: int, seed: int, written_through: type[ScriptedDisk] = ScriptedDisk
) -> dict[str, int]:
    """Cut it so often; AssertionError with the round if an acknowledged record is not on the disk or another one is."""
    chance = random.Random(seed)
    acknowledged = unacknowledged = 0
    with cut_disk(folder) as disk:
        for number in range(cuts):
            disk.power_on()
            directory = disk.folder / "worker-000"
            if number % _ROUNDS_OF_ONE_JOURNAL == 0:
                shutil.rmtree(directory, ignore_errors=True)
                book = Book()
            outlet = Outlet(disk, directory, chance)
            before = book.acknowledged
            asyncio.run(_write_until_cut(directory, written_through(outlet), outlet, book, chance))
            disk.power_off()
            disk.power_on()
            durable = _durable(directory)
            where = f"seed {seed}, cut {number}"
            assert len(durable) >= book.acknowledged, (
                f"{where}: acknowledged {book.acknowledged}, durable {len(durable)}"
            )
            assert durable == book.submitted[: len(durable)], f"{where}: other records than were appended"
            assert not directory.exists() or verify(directory).is_sound, f"{where}: the journal is damaged"
            acknowledged += book.acknowledged - before
            unacknowledged += len(durable) - book.acknowledged
            # What is on the disk is what the writer goes on from.
            book.submitted, book.acknowledged = durable, len(durable)
            disk.power_off()
    return {
        "cuts": cuts,
        "seed": seed,
        "acknowledged": acknowledged,
        "durable_unacknowledged": unacknowledged,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--unsynced", action="store_true", help="with a writer that never syncs, to see it found"
    )
    wanted = parser.parse_args(arguments)
    reason = why_not()
    if reason is None:
        try:
            leave_mounts_to_this_process()
            with memory_directory() as folder:
                disk = Unsynced if wanted.unsynced else ScriptedDisk
                print(json.dumps(cut_power(folder, wanted.cuts, wanted.seed, disk)))
        except PermissionError as refused:
            reason = f"this machine does not let root mount ({refused})"
    if reason is not None:
        print(f"SKIPPED power cuts: {reason}")
        return CANNOT
    return 0


if __name__ == "__main__":
    sys.exit(main())

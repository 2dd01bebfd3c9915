"""Kill everything, again and again, while calls come in; then compare every book with every other.

    python -m tests.faults.storm --calls 200000 --kills 120 --seed 1

`ordergate up` runs with two workers; a load generator in a process of its own calls both paths and keeps its own
book. Each time the book has grown to a random size, one process of the product is ended with SIGKILL: a gateway
worker, billing, PostgreSQL's postmaster, or the supervisor itself, which is then started again. The seed decides the
calls, the victims and the sizes.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tests.faults.product import Part, Product
from tests.faults.three_books import compare_with_book
from tests.load.plan import Credential

Victim = Part | Literal["supervisor"]

_WEIGHTS: Mapping[Victim, int] = {"gateway": 50, "billing": 20, "postgres": 30}
_MIX = "address=0.6,stock=0.4"
_POLL_S = 0.05
_LOAD_S_MAX = 6 * 3600
_CATCH_UP_S_MAX = 900
_LATE = "not in the books after a minute"


class StormReport(msgspec.Struct, frozen=True):
    """What a storm was and what the books came to: `reconciled` are the lines of `ordergate reconcile`, live last.

    Of the attempts that were never answered some are recorded, for the answer was lost; the others left nothing.
    """

    seed: int
    kills: Mapping[str, int]
    seconds: float
    load: Mapping[str, Any]
    reconciled: tuple[str, ...]
    ambiguous_recorded: int
    ambiguous_absent: int


def victims(source: random.Random, kills: int) -> list[Victim]:
    """The processes to kill, in order; the supervisor once in forty kills, and at least once."""
    parts: tuple[Victim, ...] = tuple(_WEIGHTS)
    chosen = source.choices(parts, weights=tuple(_WEIGHTS.values()), k=kills)
    for place in source.sample(range(kills), max(1, kills // 40)):
        chosen[place] = "supervisor"
    return chosen


def storm(folder: Path, *, calls: int, kills: int, seed: int, concurrency: int = 16) -> StormReport:
    """Run it in `folder`; AssertionError with the difference if any call, unit of stock or cent is lost or doubled."""
    source = random.Random(seed)
    begin = time.monotonic()
    product = Product(folder)
    credentials = product.prepare("storm-a", "storm-b")
    try:
        product.start()
        book = folder / "book.jsonl"
        load = _start_load(product, folder, credentials, book, calls, seed, concurrency)
        try:
            done = _kill_on_the_way(product, load, book, source, calls, kills)
            summary = json.loads(load.communicate(timeout=_LOAD_S_MAX)[0])
        finally:
            load.kill()
            load.communicate()
        assert load.returncode == 0, summary
        assert summary["calls"] == calls
        assert summary["failures"] == 0, f"calls were answered with status 500: {summary}\n{product.said()}"
        reconciled = _reconcile(product, book)
        assert all(line.endswith("diff=0 money_diff=0") for line in reconciled), reconciled
        ambiguous = compare_with_book(product.home, book)
        assert product.run("rebuild", "--verify").strip() == "equal"
        assert product.stop() == 0
    finally:
        product.end()
    return StormReport(
        seed,
        Counter(done),
        round(time.monotonic() - begin, 1),
        summary,
        tuple(reconciled),
        ambiguous.recorded,
        ambiguous.absent,
    )


def _reconcile(product: Product, book: Path) -> list[str]:
    """The lines of `ordergate reconcile`. It waits a minute for what is on its way; a long storm leaves more behind."""
    deadline = time.monotonic() + _CATCH_UP_S_MAX
    while True:
        try:
            return product.run("reconcile", "--book", str(book)).splitlines()
        except AssertionError as failure:
            if _LATE not in str(failure) or time.monotonic() > deadline:
                raise


def _start_load(
    product: Product,
    folder: Path,
    credentials: tuple[Credential, ...],
    book: Path,
    calls: int,
    seed: int,
    concurrency: int,
) -> "subprocess.Popen[bytes]":
    keys = folder / "keys.jsonl"
    keys.write_bytes(b"\n".join(msgspec.json.encode(credential) for credential in credentials))
    arguments = {
        "--url": product.url,
        "--keys": keys,
        "--book": book,
        "--calls": calls,
        "--concurrency": concurrency,
        "--mix": _MIX,
        "--seed": seed,
        "--seconds-max": _LOAD_S_MAX,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    return subprocess.Popen([sys.executable, "-m", "tests.load", *words], stdout=subprocess.PIPE)


def _kill_on_the_way(
    product: Product,
    load: "subprocess.Popen[bytes]",
    book: Path,
    source: random.Random,
    calls: int,
    kills: int,
) -> list[Victim]:
    """Kill one victim each time the book has grown to the next of some random sizes; those that were killed."""
    chosen = victims(source, kills)
    killed: list[Victim] = []
    lines = _grown(book)
    for victim, due in zip(chosen, sorted(source.sample(range(1, calls), kills)), strict=True):
        while next(lines) < due and load.poll() is None:
            time.sleep(_POLL_S)
        if load.poll() is not None:
            break
        if victim == "supervisor":
            product.kill_supervisor()
            product.start()
        else:
            product.kill(victim, source.randrange(2))
        killed.append(victim)
    return killed


def _grown(book: Path) -> Iterator[int]:
    """How many lines the book has now, each time it is asked."""
    lines = 0
    while not book.exists():
        yield 0
    with book.open("rb") as file:
        while True:
            lines += file.read().count(b"\n")
            yield lines


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm")
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ordergate-storm-") as folder:
        # The database runs as an unprivileged user, who has to pass through here.
        Path(folder).chmod(0o711)
        report = storm(Path(folder), **vars(arguments))
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


if __name__ == "__main__":
    main()

"""A hot SKU: everybody reserves the same article at once:  python -m tests.performance.bench_stock

With combining, calls that meet share a transaction and its commit; beside it, one transaction for each call, as many
at once as the worker has connections, which then wait for each other at the row. Each with one worker and with two.
Rounds alternate between the four; figures are medians over the rounds, ratios are medians of the ratios within each
round. The bar is 3 times the calls that were granted. Exit status 1 when it is missed.

The load generator shares the machine with the workers and the database, so these are not a server's own figures.
"""

import argparse
import asyncio
import itertools
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import asyncpg
import msgspec

from gateway.pipeline import BATCH_MAX
from tests.performance.installation import Installation, answers, environment_of, installed
from tests.performance.load import Load, call_once_with, hindrance, run_wrk
from tests.performance.provenance import provenance

BAR = 3.0
_WORKERS = (1, 2)
_WARM_UP_S = 2
_START_S = 30.0
_UNITS = 1_000_000_000
_RUN = itertools.count()


class Setup(msgspec.Struct, frozen=True):
    """What is measured: how many workers, and how many calls one transaction may hold."""

    workers: int
    batch_max: int

    def __str__(self) -> str:
        combined = f"combined, up to {self.batch_max}" if self.batch_max > 1 else "one by one"
        return f"{self.workers} worker{'s' if self.workers > 1 else ''}, {combined}"


def main() -> int:
    """Measure and print; 0 when the bar is met with one worker and with two."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (reason := hindrance()) is not None:
        print(f"SKIPPED: {reason}")
        return 0
    print(
        provenance(
            seed=arguments.seed,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            connections=arguments.connections,
        )
    )
    setups = [Setup(workers, batch_max) for workers in _WORKERS for batch_max in (1, BATCH_MAX)]
    loads: dict[Setup, list[Load]] = {setup: [] for setup in setups}
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="ordergate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with installed(folder) as installation:
            for _ in range(arguments.rounds):
                for setup in draw.sample(setups, len(setups)):
                    loads[setup].append(_measure(installation, folder, setup, arguments))
            granted = sum(load.calls - load.refused for of_setup in loads.values() for load in of_setup)
            reserved = asyncio.run(_books(installation))
            assert reserved >= granted, f"{granted} calls granted and {reserved} units reserved"
    print(_table(loads))
    print(
        f"\n{granted:,} calls granted while measured; every reserved unit has its usage row and its reply\n"
    )
    passed = [_meets_the_bar(loads, workers) for workers in _WORKERS]
    return 0 if all(passed) else 1


def granted_per_s(load: Load) -> float:
    """Calls that got their unit, a second."""
    return (load.calls - load.refused) / load.duration_us * 1e6


def _meets_the_bar(loads: dict[Setup, list[Load]], workers: int) -> bool:
    pairs = zip(loads[Setup(workers, BATCH_MAX)], loads[Setup(workers, 1)], strict=True)
    ratio = median(granted_per_s(combined) / granted_per_s(single) for combined, single in pairs)
    passed = ratio >= BAR
    print(f"{'PASS' if passed else 'FAIL'}  {ratio:.2f}x one by one with {workers} (bar >= {BAR}x)")
    return passed


def _table(loads: dict[Setup, list[Load]]) -> str:
    lines = [f"{'':32}{'granted/s':>11}{'refused':>9}{'p50 ms':>9}{'p99 ms':>9}"]
    for setup, of_setup in loads.items():
        rate = median(map(granted_per_s, of_setup))
        refused = sum(load.refused for load in of_setup)
        p50_ms = median(load.p50_us for load in of_setup) / 1_000
        p99_ms = median(load.p99_us for load in of_setup) / 1_000
        lines.append(f"{setup!s:32}{rate:11,.0f}{refused:9,}{p50_ms:9.1f}{p99_ms:9.1f}")
    return "\n".join(lines)


def _measure(installation: Installation, folder: Path, setup: Setup, arguments: argparse.Namespace) -> Load:
    with _workers(installation, folder, setup) as port:
        _stock_up(installation, port)
        address = f"http://127.0.0.1:{port}/v1/stock/reserve"
        for seconds in (_WARM_UP_S, arguments.seconds):
            variables = {"BENCH_KEY": installation.key, "BENCH_RUN": f"run-{next(_RUN)}"}
            load = run_wrk("reserve.lua", variables, address, seconds, arguments.connections)
    assert load.broken == 0, load
    return load


@contextmanager
def _workers(installation: Installation, folder: Path, setup: Setup) -> Iterator[int]:
    """Running workers that share a port, which is yielded."""
    environment = {**environment_of(installation), "BENCH_BATCH_MAX": str(setup.batch_max)}
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        port = int(listener.getsockname()[1])
        log = stack.enter_context((folder / "gateway.log").open("ab"))
        for _ in range(setup.workers):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.performance.batch_worker", "--fd", str(listener.fileno())],
                env=environment,
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        deadline = time.monotonic() + _START_S
        while not answers(port):
            assert time.monotonic() < deadline, (folder / "gateway.log").read_text("utf-8", "replace")[-2000:]
            time.sleep(0.02)
        yield port


def _stock_up(installation: Installation, port: int) -> None:
    """The article is there, in one warehouse; a repetition is answered from the record."""
    body = msgspec.json.encode({"sku": "HOT", "warehouse": "W1", "quantity": _UNITS, "reason": "receipt"})
    status, answer = call_once_with(port, "/v1/stock/adjust", installation.key, body, "receipt")
    assert status == 200, answer


async def _books(installation: Installation) -> int:
    """Units that are reserved, after making sure that each call behind them is on record."""
    admin = await asyncpg.connect(**installation.database.admin())
    try:
        reserved = await admin.fetchval("SELECT reserved FROM stock.level WHERE sku = 'HOT'")
        recorded = await admin.fetchval(
            "SELECT count(*) FROM billing.usage_event WHERE operation = 'stock/reserve' AND class = 'ok' "
            "AND recorded_by = 'transaction'"
        )
        kept = await admin.fetchval(
            "SELECT count(*) FROM gateway.stored_reply WHERE operation = 'stock/reserve' AND status = 200"
        )
    finally:
        await admin.close()
    assert reserved == recorded == kept, (reserved, recorded, kept)
    return int(reserved)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_stock")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="length of one run")
    parser.add_argument("--connections", type=int, default=128, help="callers, each with one call under way")
    parser.add_argument("--seed", type=int, default=1, help="draws the order of the four in each round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

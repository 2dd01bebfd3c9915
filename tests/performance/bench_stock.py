"""A hot SKU: everybody reserves the same article at once:  python -m tests.performance.bench_stock

Ours, where calls that meet share a transaction and its commit, with one worker and with two, and ours with one transaction
for each call; beside it a server of nothing but one conditional UPDATE and two INSERTs in a transaction for each call,
and the same as one statement, which is the most that a transaction for each call can do. Each of these with several
sizes of its pool, of which the one with the best median counts. All on the same PostgreSQL and under the same load.

Rounds alternate in an order drawn from the seed; figures are medians over the rounds, ratios are medians of the ratios
within each round. The bar is 3 times the calls of one UPDATE in a transaction for each call. Exit status 1 when it is missed.

The load generator shares the machine with the servers and the database, so these are not a server's own figures.
"""

import argparse
import asyncio
import itertools
import random
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

import asyncpg

from tests.performance.installation import Installation, installed
from tests.performance.load import Load, hindrance, run_wrk
from tests.performance.provenance import provenance
from tests.performance.stock_contenders import Contender, Ours, Plain

BAR = 3.0
OURS = (Ours(1), Ours(2), Ours(1, batch_max=1))
POOLS = (4, 8, 16)
SEPARATE = tuple(Plain(1, pool, "separate") for pool in POOLS)
SINGLE = tuple(Plain(1, pool, "single") for pool in POOLS)
_WARM_UP_S = 2
_RUN = itertools.count()
Loads = Mapping[Contender, list[Load]]


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
    contenders: list[Contender] = [*OURS, *SEPARATE, *SINGLE]
    loads: dict[Contender, list[Load]] = {contender: [] for contender in contenders}
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="ordergate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with installed(folder) as installation:
            for _ in range(arguments.rounds):
                for contender in draw.sample(contenders, len(contenders)):
                    loads[contender].append(_measure(installation, folder, contender, arguments))
            granted = sum(load.calls - load.refused for one in OURS for load in loads[one])
            reserved = asyncio.run(_books(installation))
            assert reserved >= granted, f"{granted} calls granted and {reserved} units reserved"
    print(_table(loads))
    print(
        f"\n{granted:,} calls granted while measured; every reserved unit has its usage row and its reply\n"
    )
    for one in OURS[:2]:
        print(
            f"      {ratio(loads, one, best_of(loads, SINGLE)):.2f}x all of it as one statement a call: {one}"
        )
    passed = [_meets_the_bar(loads, one) for one in OURS[:2]]
    return 0 if all(passed) else 1


def granted_per_s(load: Load) -> float:
    """Calls that got their unit, a second."""
    return (load.calls - load.refused) / load.duration_us * 1e6


def best_of(loads: Loads, others: Iterable[Contender]) -> Contender:
    """The one whose median is the highest: a pool is chosen once, and not anew by each round's luck."""
    return max(others, key=lambda other: median(map(granted_per_s, loads[other])))


def ratio(loads: Loads, ours: Contender, other: Contender) -> float:
    """Our granted calls as a multiple of another's: the median of the ratios within each round."""
    pairs = zip(loads[ours], loads[other], strict=True)
    return median(granted_per_s(first) / granted_per_s(second) for first, second in pairs)


def _meets_the_bar(loads: Loads, ours: Ours) -> bool:
    reached = ratio(loads, ours, best_of(loads, SEPARATE))
    passed = reached >= BAR
    print(
        f"{'PASS' if passed else 'FAIL'}  {reached:.2f}x one UPDATE in a transaction a call: {ours} (bar >= {BAR}x)"
    )
    return passed


def _table(loads: Loads) -> str:
    lines = [f"{'':50}{'granted/s':>11}{'refused':>9}{'p50 ms':>9}{'p99 ms':>9}"]
    for contender, of_contender in loads.items():
        rate = median(map(granted_per_s, of_contender))
        refused = sum(load.refused for load in of_contender)
        p50_ms = median(load.p50_us for load in of_contender) / 1_000
        p99_ms = median(load.p99_us for load in of_contender) / 1_000
        lines.append(f"{contender!s:50}{rate:11,.0f}{refused:9,}{p50_ms:9.1f}{p99_ms:9.1f}")
    return "\n".join(lines)


def _measure(
    installation: Installation, folder: Path, contender: Contender, arguments: argparse.Namespace
) -> Load:
    with contender.running(installation, folder / "servers.log") as (port, path):
        for seconds in (_WARM_UP_S, arguments.seconds):
            variables = {"BENCH_KEY": installation.key, "BENCH_RUN": f"run-{next(_RUN)}"}
            address = f"http://127.0.0.1:{port}{path}"
            load = run_wrk("reserve.lua", variables, address, seconds, arguments.connections)
    assert load.broken == 0, load
    return load


async def _books(installation: Installation) -> int:
    """Units that are reserved, after making sure that each call behind them is on record, with us and with the others."""
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
        plainly = await admin.fetchrow(
            "SELECT (SELECT reserved FROM plain.level) AS reserved, (SELECT count(*) FROM plain.reservation) AS held, "
            "(SELECT count(*) FROM plain.usage) AS used"
        )
    finally:
        await admin.close()
    assert reserved == recorded == kept, (reserved, recorded, kept)
    assert plainly is not None
    assert len(set(plainly.values())) == 1, plainly
    return int(reserved)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_stock")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="length of one run")
    parser.add_argument("--connections", type=int, default=128, help="callers, each with one call under way")
    parser.add_argument("--seed", type=int, default=1, help="draws the order in each round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

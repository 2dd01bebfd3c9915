"""Calls per CPU second of our gateway beside Envoy and nginx with Lua, each with a hop and without:  python -m tests.performance.bench_gateway

Each server has core 0 for itself while it is measured, wrk has core 1. Rounds alternate between the servers in an
order drawn from the seed; figures are medians over the rounds, ratios are medians of the ratios within each round,
because a shared machine drifts by a factor of two within minutes. CPU is the kernel's own count for the server's
processes, the upstream's included where there is a hop. Exit status 1 when a bar is missed.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from billing.journal import verify
from tests.performance import contenders, stages
from tests.performance.comparison import Bar, Comparison, Sample, met
from tests.performance.contenders import Contender
from tests.performance.installation import Installation, installed
from tests.performance.load import LOAD_CORE, call_again_and_again, hindrance
from tests.performance.provenance import provenance

BARS = (Bar(contenders.ENVOY, 1.2), Bar(contenders.NGINX, 0.5))
_WARM_UP_S = 2


def main() -> int:
    """Measure and print; 0 when every bar that could be measured is met."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (reason := hindrance()) is not None:
        print(f"SKIPPED: {reason}")
        return 0
    # What is started here and not measured - the database, above all - leaves the measured core alone.
    os.sched_setaffinity(0, {LOAD_CORE})
    comparison = Comparison(contenders.OURS)
    with tempfile.TemporaryDirectory(prefix="ordergate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with installed(folder) as installation:
            answered = _measure(installation, folder, comparison, arguments)
            recorded = sum(verify(path).records for path in sorted((installation.home.journals).iterdir()))
            assert recorded >= answered, f"{answered} calls answered and {recorded} recorded"
            costs = stages.measure(installation, arguments.calls)
    print(provenance(seed=arguments.seed, rounds=arguments.rounds, seconds=arguments.seconds))
    print(comparison.table())
    print(f"\n{answered:,} calls of ours answered, {recorded:,} records in the journal\n")
    print(stages.table(costs, comparison.cpu_us(contenders.OURS)))
    for peer, remedy in contenders.missing_peers().items():
        print(f"SKIPPED {peer}: {remedy}")
    return 0 if met(comparison, BARS) else 1


def _measure(
    installation: Installation, folder: Path, comparison: Comparison, arguments: argparse.Namespace
) -> int:
    """Run all rounds; answers how many calls our gateway answered."""
    missing = contenders.missing_peers()
    with ExitStack() as stack:
        measured = stack.enter_context(contenders.ours(installation, folder))
        if contenders.NGINX not in missing:
            peers, upstream, pids = stack.enter_context(contenders.nginx(installation.key, folder))
            measured += peers
            if contenders.ENVOY not in missing:
                measured += stack.enter_context(contenders.envoy(installation.key, folder, upstream, pids))
        answered = 0
        draw = random.Random(arguments.seed)
        progress = stack.enter_context(
            Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
        )
        task = progress.add_task("warm-up", total=len(measured) * (arguments.rounds + 1))
        for number in range(arguments.rounds + 1):
            for contender in draw.sample(measured, len(measured)):
                progress.update(
                    task, description=f"round {number}: {contender.name}" if number else "warm-up"
                )
                if number == 0:
                    contenders.check_equal(contender)
                sample = _sample(contender, arguments.seconds if number else _WARM_UP_S)
                if contender.name in (contenders.OURS, contenders.OURS_ADDRESS):
                    answered += sample.load.calls
                if number:
                    comparison.add(contender.name, sample)
                progress.advance(task)
    return answered


def _sample(contender: Contender, seconds: int) -> Sample:
    before_ns = contender.cpu_ns()
    load = call_again_and_again(contender.address, contender.key, seconds)
    return Sample(load, contender.cpu_ns() - before_ns)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_gateway")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="length of one run")
    parser.add_argument("--calls", type=int, default=20_000, help="calls of each stage's own measurement")
    parser.add_argument("--seed", type=int, default=1, help="draws the order of the servers in each round")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 2 seconds")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds, arguments.calls = 3, 2, 5_000
    return arguments


if __name__ == "__main__":
    sys.exit(main())

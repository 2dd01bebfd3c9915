"""What limits in money cost a call:  python -m tests.performance.bench_limits

One worker and three accounts with the same plan: one falls under no limit but its rate, one pays in advance, so that
every call reserves and takes of a lease, and one has a hard budget as well: two leases a call. Rounds alternate between
them in an order drawn from the seed; ratios are medians of the ratios within each round. The bar is 0.9 times the calls
per second of CPU with one limit. Afterwards every call must be in the books of the leases. Exit status 1 when either is missed.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import asyncpg

from atomic_services.registry import built_in_passport
from billing.flow import Flow
from catalog.accounts.open import OpenedAccount, open_account
from catalog.passport import check_passport, document_of
from catalog.registry.publish import publish
from catalog.vocabulary.clock import SystemClock, from_ns
from deploy.roles import BILLING
from gateway.stores.keys import create_key
from gateway.stores.peppers import load_peppers
from tests.allowances import budget, grant
from tests.performance.comparison import Bar, Comparison, Sample, met
from tests.performance.installation import Installation, acting, installed, worker
from tests.performance.load import LOAD_CORE, call_again_and_again, hindrance
from tests.performance.provenance import provenance
from tests.performance.servers import cpu_ns

FREE, LIMITED, TWICE = "no limits", "prepaid", "prepaid and a hard budget"
BARS = (Bar(FREE, 0.9),)
_PRICE = Decimal("0.001")
_RATE = {"kind": "rate", "per": "application", "q": 1_000_000, "w": 1}
_WARM_UP_S = 2


def main() -> int:
    """Measure and print; 0 when the bar is met and the books agree."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (reason := hindrance()) is not None:
        print(f"SKIPPED: {reason}")
        return 0
    # What is started here and not measured - the database, above all - leaves the measured core alone.
    os.sched_setaffinity(0, {LOAD_CORE})
    comparison = Comparison(LIMITED)
    with tempfile.TemporaryDirectory(prefix="ordergate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with installed(folder) as installation:
            keys = asyncio.run(_accounts(installation))
            answered = _measure(installation, folder, keys, comparison, arguments)
            used, charged, leases = asyncio.run(_books(installation))
    print(provenance(seed=arguments.seed, rounds=arguments.rounds, seconds=arguments.seconds))
    print(comparison.table())
    print(f"\n{answered:,} limited calls answered, {charged:,} charged to {leases:,} leases\n")
    assert charged >= answered, "an answered call is missing in the books"
    assert used == charged * _PRICE, f"{used} taken of the credit for {charged} calls"
    return 0 if met(comparison, BARS) else 1


def _measure(
    installation: Installation,
    folder: Path,
    keys: dict[str, str],
    comparison: Comparison,
    arguments: argparse.Namespace,
) -> int:
    """Run all rounds; how many calls of limited accounts were answered."""
    answered = 0
    draw = random.Random(arguments.seed)
    with worker(installation, folder / "gateway.log") as (pid, port):
        address = f"http://127.0.0.1:{port}/v1/bench/echo"
        for number in range(arguments.rounds + 1):
            for name in draw.sample(list(keys), len(keys)):
                before_ns = cpu_ns(pid)
                load = call_again_and_again(address, keys[name], arguments.seconds if number else _WARM_UP_S)
                if name != FREE:
                    answered += load.calls
                if number:
                    comparison.add(name, Sample(load, cpu_ns(pid) - before_ns))
    return answered


async def _accounts(installation: Installation) -> dict[str, str]:
    """The key of each account by its name here."""
    now = from_ns(SystemClock().now_ns())
    own = built_in_passport("bench")
    assert own is not None
    document = document_of(own)
    priced = {**document["plans"][0], "id": "bench-priced"}
    priced["prices"] = [
        {"operation": "echo", "currency": "CNY", "model": "per_unit", "price": {"unit_price": str(_PRICE)}}
    ]
    document = {**document, "limits": [_RATE], "plans": [*document["plans"], priced]}
    keys: dict[str, str] = {}
    opened: dict[str, OpenedAccount] = {}
    async with acting(installation.database) as operator:
        await publish(operator, check_passport(document), own, "benchmark", now)
        for name in (FREE, LIMITED, TWICE):
            opened[name] = await open_account(
                operator,
                name=name.replace(" ", "-"),
                kind="internal",
                currency="CNY",
                timezone="Asia/Shanghai",
                actor="benchmark",
                now=now,
                plans={"bench": "bench-priced"},
            )
            account, application = opened[name].account, opened[name].application
            _, keys[name] = await create_key(
                operator,
                account,
                application,
                "live",
                ("*",),
                load_peppers(installation.home.path),
                actor="benchmark",
                now=now,
            )
    for name in (LIMITED, TWICE):
        await grant(installation.database, opened[name].account, "100000000", now)
    await budget(installation.database, opened[TWICE].account, "100000000", now)
    return keys


async def _books(installation: Installation) -> tuple[Decimal, int, int]:
    """What was taken of the credit, the calls that say so, and how many leases there were; all stored and settled."""
    pool = await asyncpg.create_pool(**installation.database.as_role(BILLING, {"ordergate.account": "*"}))
    flow = Flow(pool, installation.home.journals, None, SystemClock())
    try:
        while (await flow.ship()).records:
            pass
        await flow.settle_leases()
        used = await pool.fetchval("SELECT sum(used) FROM billing.allowance WHERE kind = 'credit'")
        charged = await pool.fetchval("SELECT count(*) FROM billing.usage_event WHERE lease_ids IS NOT NULL")
        leases = await pool.fetchval("SELECT count(*) FROM billing.lease WHERE used > 0")
        assert await pool.fetchval("SELECT sum(leased) FROM billing.allowance") == 0, (
            "nothing is held any more"
        )
    finally:
        flow.close()
        await pool.close()
    return used, charged, leases


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_limits")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument(
        "--seconds",
        type=int,
        default=1,
        help="length of one run: many short ones even out what else the machine does",
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the order of the three in each round")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""How fast journals become usage rows, and usage rows hourly sums: `python -m tests.performance.bench_shipping`.

Writes journals of synthetic calls, then ships and rolls up all of them on a fresh embedded PostgreSQL whose data lies
on the disk of `--home`; prints one JSON line. The bar is 20,000 events/s shipped on an idle machine of two cores; a miss
is exit status 1.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import asyncpg

from billing.flow import Flow
from billing.journal import Journal
from billing.store.connection import billing_pool
from catalog.vocabulary.clock import Clock, SystemClock, from_ns
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.migrate import migrate
from deploy.roles import BILLING
from tests.usage_calls import add_account, append_events, usage_event

_BAR_PER_S = 20_000
_ACCOUNTS = 38
_APPEND = 2_000


async def _write(root: Path, journals: int, events: int, seed: int, clock: Clock) -> None:
    chance = random.Random(seed)
    now = from_ns(clock.now_ns())
    for number in range(journals):
        journal = await Journal.open(root / f"worker-{number:03d}", clock=clock, reserve_bytes=0)
        for start in range(0, events // journals, _APPEND):
            await append_events(
                journal,
                [
                    usage_event(
                        now + timedelta(milliseconds=start + offset),
                        account_id=f"acct_{chance.randrange(_ACCOUNTS)}",
                        application_id=f"app_{chance.randrange(60)}",
                        operation=chance.choice(("address/validate", "address/parse", "customs/check")),
                        latency_us=chance.randrange(200, 50_000),
                    )
                    for offset in range(_APPEND)
                ],
            )
        await journal.close()


async def _measure(database: Database, root: Path, clock: Clock) -> dict[str, float]:
    pool = await billing_pool(database.as_role(BILLING))
    flow = Flow(pool, root, None, clock)
    await flow.prepare_days()
    started_ns, shipped = clock.monotonic_ns(), 0
    done = await flow.ship()
    while done.records or done.more:
        shipped += done.events
        done = await flow.ship()
    shipped_ns, rolled_up = clock.monotonic_ns(), 0
    batch = await flow.roll_up()
    while batch.events:
        rolled_up += batch.events
        batch = await flow.roll_up()
    rolled_up_ns = clock.monotonic_ns()
    flow.close()
    await pool.close()
    assert rolled_up == shipped
    return {
        "events": shipped,
        "shipped_per_s": round(shipped * 1e9 / (shipped_ns - started_ns)),
        "rolled_up_per_s": round(shipped * 1e9 / (rolled_up_ns - shipped_ns)),
    }


async def _run(
    database: Database, root: Path, arguments: argparse.Namespace, clock: Clock
) -> dict[str, float]:
    await migrate(database)
    admin = await asyncpg.connect(**database.admin())
    for number in range(_ACCOUNTS):
        await add_account(admin, f"acct_{number}", "Asia/Shanghai")
    await admin.close()
    await _write(root, arguments.journals, arguments.events, arguments.seed, clock)
    return await _measure(database, root, clock)


def main() -> int:
    """Measure once and print; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--journals", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bar", type=int, default=_BAR_PER_S, help="events/s")
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    clock = SystemClock()
    with tempfile.TemporaryDirectory(dir=arguments.home) as folder:
        home = Path(folder)
        home.chmod(0o711)
        with EmbeddedPostgres(home) as postgres:
            database = Database(socket_dir=postgres.socket_dir)
            figures = asyncio.run(_run(database, home / "journals", arguments, clock))
    load = os.getloadavg()[0]
    print(json.dumps({**figures, "bar_per_s": arguments.bar, "seed": arguments.seed, "load": load}))
    return int(figures["shipped_per_s"] < arguments.bar)


if __name__ == "__main__":
    sys.exit(main())

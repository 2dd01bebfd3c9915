"""Stock operations on PostgreSQL, without the gateway:  python -m tests.performance.bench_stock_operations

Prints calls a second and p50 and p99 in milliseconds of each operation alone, and of reserves of one article in groups
of 1, 10 and 100 in one transaction each. Bar: a hundred reserves together are at least five times as fast as one by
one, a ratio within this run. One connection; the database's files are in memory where the machine has room.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from catalog.vocabulary.clock import ManualClock
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.databases import DatabaseServer
from tests.stock_calls import START, StockCalls, create_account

CALLS = 1_000
GROUPS = (1, 10, 100)
BAR = 5.0


def _order(id_: str, sku: str) -> dict[str, Any]:
    return {"reservation_id": id_, "lines": [{"sku": sku, "quantity": 1}], "ttl_s": 600}


async def _measured(name: str, times: int, run: Callable[[int], Awaitable[object]]) -> float:
    """Run it so often; print and answer how many a second."""
    seconds = []
    for number in range(times):
        begin = time.perf_counter()
        await run(number)
        seconds.append(time.perf_counter() - begin)
    seconds.sort()
    rate = times / sum(seconds)
    p50, p99 = seconds[times // 2] * 1e3, seconds[times * 99 // 100] * 1e3
    print(f"{name:26} {rate:7.0f}/s  p50 {p50:7.2f} ms  p99 {p99:7.2f} ms")
    return rate


async def _bench(database: Database) -> float:
    """How many times faster the largest groups of reserves are than single ones."""
    admin = await asyncpg.connect(**database.admin())
    await create_account(admin, "acct_a")
    await admin.close()
    async with asyncpg.create_pool(**database.as_role(GATEWAY), min_size=1, max_size=1) as pool:
        call = StockCalls(pool, ManualClock(START))
        for sku in ("ENDS", *(f"G{size}" for size in GROUPS)):
            await call.stock(sku, "N", CALLS)
        await _measured("adjust", CALLS, lambda _: call.stock("OTHER", "N", 1))
        await _measured("reserve", CALLS, lambda n: call("reserve", **_order(f"r{n}", "ENDS")))
        await _measured("availability", CALLS, lambda _: call("availability", skus=["ENDS", "OTHER"]))
        await _measured("extend", CALLS, lambda n: call("extend", reservation_id=f"r{n}", ttl_s=900))
        await _measured("confirm", CALLS, lambda n: call("confirm", reservation_id=f"r{n}"))
        await _measured("movements, a page of 100", CALLS // 10, lambda _: call("movements", sku="ENDS"))
        rates = []
        for size in GROUPS:

            async def group(number: int, size: int = size) -> None:
                names = (f"g{size}-{number}-{one}" for one in range(size))
                await call.together("reserve", *(_order(name, f"G{size}") for name in names))

            rates.append(size * await _measured(f"groups of {size} reserves", CALLS // size, group))
    return rates[-1] / rates[0]


async def _on_fresh(server: DatabaseServer) -> float:
    database = await server.create()
    try:
        return await _bench(database)
    finally:
        await server.drop(database)


def main() -> int:
    """Exit status 1 if the bar is missed."""
    server = DatabaseServer()
    try:
        server.start()
        asyncio.run(server.prepare())
        faster = asyncio.run(_on_fresh(server))
    finally:
        server.remove()
    verdict = "PASS" if faster >= BAR else "FAIL"
    print(
        f"{verdict}  groups of {GROUPS[-1]} reserves are {faster:.1f} times as fast as one by one, bar {BAR:.0f}"
    )
    return 0 if faster >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())

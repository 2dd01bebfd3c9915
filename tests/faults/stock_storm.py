"""Everybody wants the same article while workers are killed: nothing is sold twice and no unit is lost.

    python -m tests.faults.stock_storm --attempts 1000000 --concurrency 1000 --kill-every-s 5

`ordergate up` runs with two workers. Each attempt reserves one unit of one SKU and then confirms it, releases it or
keeps it; an attempt whose answer was lost is repeated under its id until it is answered. There are units for a fifth
of them. Every few seconds a worker is ended with SIGKILL. All the while a watcher compares the level with what is held
of it, in one snapshot each; at the end every answer is compared with the database.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import asyncpg
import msgspec
import uvloop

from deploy.database import Database
from tests.faults.product import Product
from tests.load.connection import Answer, Connection, Lost, NotSent
from tests.stock_calls import unexplained

End = Literal["kept", "confirmed", "released", "refused"]

_SKU = "HOT"
_PAUSE_S = 0.05
_WATCH_S = 0.2
# What becomes of a unit that an attempt got, by the attempt's number.
_DEEDS: tuple[str | None, ...] = ("confirm", "release", "release", None)
_ENDS: dict[str | None, End] = {"confirm": "confirmed", "release": "released", None: "kept"}
_LEVEL = """
    SELECT on_hand, available, reserved, quarantined,
           (SELECT coalesce(sum(quantity), 0)::bigint FROM stock.reservation_line WHERE state = 'held') AS held,
           (SELECT coalesce(sum(confirmed), 0)::bigint FROM stock.reservation_line) AS sold
    FROM stock.level
"""


class StockStormReport(msgspec.Struct, frozen=True):
    """What a storm was: how attempts ended, how often a worker was killed, and how often the level was compared."""

    attempts: int
    concurrency: int
    stocked: int
    ends: dict[str, int]
    kills: int
    answers_lost: int
    snapshots: int
    seconds: float
    attempts_per_s: int


class _Callers:
    """The clients, and their book of what each attempt was answered last."""

    def __init__(self, product: Product, key: str, attempts: int) -> None:
        self._port = product.port
        self._key = key
        self._numbers = iter(range(attempts))
        self.ends: dict[int, End] = {}
        self.lost = 0

    async def call_all(self, concurrency: int) -> None:
        """Make every attempt, so many at a time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._client(self._numbers))

    async def _client(self, numbers: Iterator[int]) -> None:
        connection = Connection("127.0.0.1", self._port)
        try:
            for number in numbers:
                self.ends[number] = await self._attempt(connection, number)
        finally:
            connection.close()

    async def _attempt(self, connection: Connection, number: int) -> End:
        name = {"reservation_id": f"r{number}"}
        order = {**name, "lines": [{"sku": _SKU, "quantity": 1}], "ttl_s": 86_400}
        answer = await self._answered(connection, "reserve", order)
        if answer.status == 409:
            assert json.loads(answer.body)["type"].endswith("/insufficient-stock"), answer.body
            return "refused"
        deed = _DEEDS[number % len(_DEEDS)]
        if deed is not None:
            answer = await self._answered(connection, deed, name)
            assert answer.status == 200, answer.body
        return _ENDS[deed]

    async def _answered(self, connection: Connection, operation: str, body: object) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        content = msgspec.json.encode(body)
        while True:
            try:
                answer = await connection.post(f"/v1/stock/{operation}", headers, content)
            except (Lost, NotSent) as error:
                self.lost += isinstance(error, Lost)
            else:
                if answer.status in (200, 409):
                    return answer
                assert answer.status in (429, 503, 504), answer.body
            await asyncio.sleep(_PAUSE_S)


def stock_storm(folder: Path, *, attempts: int, concurrency: int, kill_every_s: float) -> StockStormReport:
    """Run it in `folder`; AssertionError if a unit is sold twice or lost, or an answer was not the truth."""
    product = Product(folder)
    (credential, *_) = product.prepare("stock-storm")
    stocked = attempts // 5
    try:
        product.start()
        stock = {"sku": _SKU, "warehouse": "N", "quantity": stocked, "reason": "receipt"}
        assert product.call(credential.key, "stock/adjust", stock, "stock")[0] == 200
        callers = _Callers(product, credential.key, attempts)
        begin = time.monotonic()
        kills, snapshots = uvloop.run(_run(product, callers, concurrency, kill_every_s))
        seconds = time.monotonic() - begin
        asyncio.run(_compare(product, callers.ends, stocked))
        assert product.stop() == 0
    finally:
        product.end()
    assert len(callers.ends) == attempts
    return StockStormReport(
        attempts,
        concurrency,
        stocked,
        dict(Counter(callers.ends.values())),
        kills,
        callers.lost,
        snapshots,
        round(seconds, 1),
        round(attempts / seconds),
    )


async def _run(product: Product, callers: _Callers, concurrency: int, kill_every_s: float) -> tuple[int, int]:
    """How many kills there were, and how many snapshots."""
    counts: Counter[str] = Counter()
    watching = [
        asyncio.create_task(_kill(product, callers, concurrency, kill_every_s, counts)),
        asyncio.create_task(_watch(product, counts)),
    ]
    try:
        calling = asyncio.create_task(callers.call_all(concurrency))
        await asyncio.wait([calling, *watching], return_when=asyncio.FIRST_COMPLETED)
        # A watcher ends only by finding something wrong.
        for task in (*watching, calling):
            if task.done():
                task.result()
        await calling
    finally:
        for task in watching:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*watching)
    return counts["kills"], counts["snapshots"]


async def _kill(
    product: Product, callers: _Callers, concurrency: int, every_s: float, counts: Counter[str]
) -> None:
    """End a worker every few seconds, as long as they get on: one that only ever starts would prove nothing."""
    while True:
        due = len(callers.ends) + 10 * concurrency
        await asyncio.sleep(every_s)
        while len(callers.ends) < due:
            await asyncio.sleep(_PAUSE_S)
        await asyncio.to_thread(product.kill, "gateway", counts["kills"])
        counts["kills"] += 1


async def _watch(product: Product, counts: Counter[str]) -> None:
    connection = await _connect(product)
    try:
        stocked = await connection.fetchval("SELECT on_hand FROM stock.level")
        while True:
            (row,) = await connection.fetch(_LEVEL)
            assert row["on_hand"] == row["available"] + row["reserved"] + row["quarantined"], row
            assert row["reserved"] == row["held"], row
            assert row["on_hand"] + row["sold"] == stocked, row
            counts["snapshots"] += 1
            await asyncio.sleep(_WATCH_S)
    finally:
        connection.terminate()


async def _compare(product: Product, ends: dict[int, End], stocked: int) -> None:
    """Every answer against the row of its reservation, and the units against each other."""
    connection = await _connect(product)
    try:
        states: dict[str, End] = {"reserved": "kept", "confirmed": "confirmed", "released": "released"}
        rows = await connection.fetch("SELECT reservation_id, state FROM stock.reservation")
        stored = {int(row["reservation_id"][1:]): states[row["state"]] for row in rows}
        assert stored == {number: end for number, end in ends.items() if end != "refused"}
        counts = Counter(ends.values())
        (level,) = await connection.fetch(_LEVEL)
        assert (level["on_hand"], level["reserved"]) == (stocked - counts["confirmed"], counts["kept"])
        assert counts["confirmed"] + counts["kept"] <= stocked, "oversold"
        assert await unexplained(connection) == []
    finally:
        await connection.close()


async def _connect(product: Product) -> asyncpg.Connection:
    running = product.home.running()
    assert running is not None
    return await asyncpg.connect(**Database(socket_dir=Path(running.socket_dir)).admin())


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.stock_storm")
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--concurrency", type=int, default=1_000)
    parser.add_argument("--kill-every-s", type=float, default=5.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ordergate-stock-storm-") as folder:
        # The database runs as an unprivileged user, who has to pass through here.
        Path(folder).chmod(0o711)
        report = stock_storm(Path(folder), **vars(arguments))
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


if __name__ == "__main__":
    main()

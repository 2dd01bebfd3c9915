"""A call with an effect is all or nothing at every statement: effect, usage row and stored reply, or none of them.

So is each call of a batch. Whatever breaks, the caller's repetition under the same Idempotency-Key ends with exactly
one effect and one receipt.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from deploy.database import Database
from tests.fakes.journal_disk import memory_directory, points
from tests.faults.database_proxy import LAST, DatabaseProxy
from tests.faults.workers_to_kill import workers_to_kill
from tests.gateways import RunningGateway, running_gateway

# The first and the last statement of a call's transaction.
_TRANSACTION = (b"SET LOCAL ordergate.account = 'acct_", b"COMMIT")
# Beginning, claim, effect, usage row, reply, commit: a statement each at least, or the sweep has missed some.
_STATEMENTS_MIN = 6
_RECEIVED: dict[str, Any] = {"sku": "A", "warehouse": "W1", "quantity": 10, "reason": "count"}
# Everything that a call leaves behind in PostgreSQL, by its id.
_TRACES = """
    SELECT (SELECT count(*) FROM billing.usage_event WHERE recorded_by = 'transaction') AS recorded,
           (SELECT count(DISTINCT call_id) FROM stock.movement WHERE call_id IS NOT NULL) AS effects,
           (SELECT count(*) FROM gateway.stored_reply) AS replies
"""
_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"


def reservation(number: int) -> dict[str, Any]:
    return {"reservation_id": f"R-{number}", "lines": [{"sku": "A", "quantity": 1}], "ttl_s": 3600}


@pytest.fixture
async def proxy(database: Database, tmp_path: Path) -> AsyncIterator[DatabaseProxy]:
    assert database.socket_dir is not None
    async with DatabaseProxy(tmp_path, database.socket_dir) as proxy:
        proxy.counts_between = _TRANSACTION
        yield proxy


@pytest.fixture
async def gateway(
    proxy: DatabaseProxy, database: Database, tmp_path: Path, admin: asyncpg.Connection
) -> AsyncIterator[RunningGateway]:
    through_proxy = Database(socket_dir=tmp_path, name=database.name)
    # Each worker begins a journal segment of 64 MiB, which costs more than everything else here on a disk.
    with memory_directory() as folder:
        async with running_gateway(through_proxy, folder / "home", admin) as running:
            yield running


async def traces(admin: asyncpg.Connection) -> tuple[int, int, int]:
    """Usage rows, effects and stored replies, once no transaction is open any more."""
    while await admin.fetchval(_OPEN):
        pass
    row = await admin.fetchrow(_TRACES)
    assert row is not None
    return row["recorded"], row["effects"], row["replies"]


@pytest.mark.parametrize("operation", ["stock/adjust", "stock/reserve"])
@pytest.mark.parametrize("says_goodbye", [False, True], ids=["lost", "shut-down"])
async def test_a_connection_that_ends_at_any_statement_leaves_all_or_nothing_and_the_repetition_resolves_it(
    gateway: RunningGateway,
    proxy: DatabaseProxy,
    admin: asyncpg.Connection,
    operation: str,
    *,
    says_goodbye: bool,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.call(key, "stock/adjust", {**_RECEIVED, "quantity": 1000}, Idempotency_Key="first")
    proxy.says_goodbye = says_goodbye
    # The first statement opens the transaction; the test after this one is about that.
    done, statement, recorded = 1, 2, False
    while not recorded:
        body = _RECEIVED if operation == "stock/adjust" else reservation(done)
        proxy.break_at(statement)
        reply = await gateway.call(key, operation, body, Idempotency_Key=f"key-{done}")
        # A connection that knows the types already needs fewer statements; then the last one is still to be tried.
        statement = statement + 1 if proxy.broken else LAST
        if proxy.broken:
            await proxy.over()
            left = await traces(admin)
            recorded = left[0] > done
            assert left == (done + recorded,) * 3, f"statement {statement}"
            # A server that is shut down has answered the commit before it says so.
            assert reply.status_code == (200 if recorded and says_goodbye else 503), reply.text
        proxy.break_at(0)
        again = await _resolve(gateway, key, operation, body, f"key-{done}")
        assert again.status_code == 200, again.text
        assert ("idempotent-replayed" in again.headers) == (reply.status_code == 200 or recorded)
        done += 1
        assert await traces(admin) == (done, done, done)
        receipt = again.headers["ordergate-call-id"].removeprefix("call_")
        assert await admin.fetchval("SELECT class FROM billing.usage_event WHERE id = $1", receipt) == "ok"
    assert done >= _STATEMENTS_MIN
    async with asyncio.timeout(10):
        while gateway.gateway.directory.age_s > 1:
            await asyncio.sleep(0.05)


async def test_a_connection_that_is_found_lost_when_a_call_begins_costs_it_nothing(
    gateway: RunningGateway, proxy: DatabaseProxy, admin: asyncpg.Connection
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    for number in range(2):
        proxy.break_at(number)
        reply = await gateway.call(key, "stock/adjust", _RECEIVED, Idempotency_Key=f"key-{number}")
        assert reply.status_code == 200, reply.text
    assert proxy.broken
    assert await traces(admin) == (2, 2, 2)


async def _resolve(gateway: RunningGateway, key: str, operation: str, body: Any, name: str) -> httpx.Response:
    """Repeat a call until PostgreSQL has noticed the end of the transaction that held its Idempotency-Key."""
    reply = await gateway.call(key, operation, body, Idempotency_Key=name)
    while reply.status_code == 409:
        reply = await gateway.call(key, operation, body, Idempotency_Key=name)
    return reply


async def test_a_worker_killed_at_any_statement_leaves_all_or_nothing_and_the_repetition_resolves_it(
    gateway: RunningGateway,
    proxy: DatabaseProxy,
    admin: asyncpg.Connection,
    database: Database,
    tmp_path: Path,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    async with workers_to_kill(gateway.home.path, tmp_path, database) as workers:
        proxy.break_at(0)
        assert (await workers.call(key, "stock/adjust", _RECEIVED, "first")).status_code == 200
        done, commit = 1, proxy.statements
        await workers.kill()
        await workers.ended()
        await workers.start()
        proxy.on_break = workers.kill
        for statement in (*points(commit - 1, 3), LAST):
            proxy.break_at(statement)
            try:
                await workers.call(key, "stock/adjust", _RECEIVED, f"key-{done}")
            except httpx.TransportError:
                await workers.ended()
            if not proxy.broken:
                # A sweep has taught the connection the types before, and the transaction was some statements shorter.
                done += 1
                continue
            survived = proxy.broke_last
            assert await traces(admin) == (done + survived,) * 3, f"statement {statement}"
            proxy.break_at(0)
            await workers.start()
            again = await workers.call(key, "stock/adjust", _RECEIVED, f"key-{done}")
            assert again.status_code == 200, again.text
            assert ("idempotent-replayed" in again.headers) == survived
            done += 1
            assert again.json()["on_hand"] == done * _RECEIVED["quantity"]
            assert await traces(admin) == (done, done, done)
    assert commit >= _STATEMENTS_MIN


# Units asked for by the calls of a batch; there are not so many as the third one wants.
_TOGETHER = (1, 1, 10_000, 1, 1)
_REFUSED = 3
_BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
_LARGEST = (
    "SELECT max(calls) FROM (SELECT count(*) AS calls FROM billing.usage_event GROUP BY stored_xid) AS one"
)
_ARRIVAL_S = 0.3
_Send = Callable[[Any, str], Awaitable[httpx.Response]]


class _Batch:
    """Calls that come while one before them waits for a lock, and then are a batch."""

    def __init__(self, admin: asyncpg.Connection, proxy: DatabaseProxy, send: _Send, number: int) -> None:
        self._admin, self._proxy, self._send = admin, proxy, send
        quantities = (1, *_TOGETHER)
        self._calls = [
            (
                {
                    "reservation_id": f"R-{number}-{place}",
                    "lines": [{"sku": "A", "quantity": quantity}],
                    "ttl_s": 3600,
                },
                f"batch-{number}-{place}",
            )
            for place, quantity in enumerate(quantities)
        ]

    async def run(self, break_at: int) -> list[httpx.Response | BaseException]:
        """Break the batch at a statement; each call's reply, or the error of a caller who got none."""
        in_the_way = self._admin.transaction()
        await in_the_way.start()
        await self._admin.execute("LOCK TABLE billing.usage_event IN SHARE MODE")
        self._proxy.break_at(0)
        tasks = [asyncio.ensure_future(self._send(*self._calls[0]))]
        while not await self._admin.fetchval(_BLOCKED):
            if tasks[0].done():
                # A machine that is busy otherwise gave it no connection in time: nothing has happened yet.
                assert tasks[0].result().status_code == 503, f"it waits for no lock: {tasks[0].result().text}"
                tasks[0] = asyncio.ensure_future(self._send(*self._calls[0]))
            await asyncio.sleep(0.005)
        tasks += [asyncio.ensure_future(self._send(*call)) for call in self._calls[1:]]
        await asyncio.sleep(_ARRIVAL_S)
        self._proxy.break_at(break_at)
        await in_the_way.rollback()
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def resolve(self) -> list[httpx.Response]:
        """Repeat each call until it is known how it ended."""
        replies = []
        for body, key in self._calls:
            while _is_in_flight(reply := await self._send(body, key)):
                await asyncio.sleep(0.01)
            replies.append(reply)
        return replies


def _is_in_flight(reply: httpx.Response) -> bool:
    return reply.status_code == 409 and reply.json()["type"] == "/problems/idempotency-in-flight"


def _are_resolved(replies: list[httpx.Response]) -> bool:
    return all(
        reply.status_code == (409 if place == _REFUSED else 200) for place, reply in enumerate(replies)
    )


async def test_a_connection_that_ends_at_any_statement_of_a_batch_harms_none_of_its_calls(
    gateway: RunningGateway, proxy: DatabaseProxy, admin: asyncpg.Connection
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.call(key, "stock/adjust", {**_RECEIVED, "quantity": 1000}, Idempotency_Key="first")

    async def send(body: Any, name: str) -> httpx.Response:
        return await gateway.call(key, "stock/reserve", body, Idempotency_Key=name)

    for number in count(1):
        batch = _Batch(admin, proxy, send, number)
        replies = await batch.run(number)
        assert proxy.broken, "the batch has at least this statement to break, for its last was not broken yet"
        await proxy.over()
        for place, reply in enumerate(replies):
            assert isinstance(reply, httpx.Response)
            # Before the commit nothing has happened, and each is run alone; at the commit nobody knows.
            expected = 503 if proxy.broke_last and place else 409 if place == _REFUSED else 200
            assert reply.status_code == expected or _is_in_flight(reply), f"{number}: {reply.text}"
        again = await batch.resolve()
        assert _are_resolved(again)
        assert all("idempotent-replayed" in reply.headers for reply in again)
        calls = 1 + number * (1 + len(_TOGETHER))
        assert await traces(admin) == (calls, calls - number, calls)
        if proxy.broke_last:
            break
    assert number >= _STATEMENTS_MIN
    assert await admin.fetchval(_LARGEST) == len(_TOGETHER)


async def test_a_worker_killed_at_any_statement_of_a_batch_leaves_all_or_nothing_of_each_of_its_calls(
    gateway: RunningGateway,
    proxy: DatabaseProxy,
    admin: asyncpg.Connection,
    database: Database,
    tmp_path: Path,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    async with workers_to_kill(gateway.home.path, tmp_path, database) as workers:

        async def send(body: Any, name: str) -> httpx.Response:
            return await workers.call(key, "stock/reserve", body, name)

        await workers.call(key, "stock/adjust", {**_RECEIVED, "quantity": 1000}, "first")
        measured = _Batch(admin, proxy, send, 0)
        assert _are_resolved([reply for reply in await measured.run(0) if isinstance(reply, httpx.Response)])
        statements = proxy.statements
        proxy.on_break = workers.kill
        for number, statement in enumerate((*points(statements - 1, 3), LAST), start=1):
            batch = _Batch(admin, proxy, send, number)
            await batch.run(statement)
            await workers.ended()
            await proxy.over()
            before = 1 + number * (1 + len(_TOGETHER))
            survived = len(_TOGETHER) if proxy.broke_last else 0
            assert await traces(admin) == (
                before + 1 + survived,
                before + 1 + survived - number - bool(survived),
                before + 1 + survived,
            ), f"statement {statement}"
            proxy.break_at(0)
            await workers.start()
            again = await batch.resolve()
            assert _are_resolved(again)
            replayed = ["idempotent-replayed" in reply.headers for reply in again]
            assert replayed == [True] + [bool(survived)] * len(_TOGETHER)
    assert statements >= _STATEMENTS_MIN
    assert await admin.fetchval(_LARGEST) == len(_TOGETHER)

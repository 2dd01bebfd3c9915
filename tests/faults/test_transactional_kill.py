"""A call with an effect is all or nothing at every statement: effect, usage row and stored reply, or none of them.

Whatever breaks, the caller's repetition under the same Idempotency-Key ends with exactly one effect and one receipt.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest

from deploy.database import Database
from tests.fakes.journal_disk import memory_directory, points
from tests.faults.database_proxy import LAST, DatabaseProxy
from tests.gateways import RunningGateway, running_gateway

# The first and the last statement of a call's transaction.
_TRANSACTION = (b"SET LOCAL ordergate.account = 'acct_", b"COMMIT")
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
    assert done > 8
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


class _Workers:
    """The maker of gateway workers on one port, and the worker that runs now."""

    def __init__(self, maker: asyncio.subprocess.Process, port: int) -> None:
        assert maker.stdin is not None
        assert maker.stdout is not None
        self._stdin, self._stdout = maker.stdin, maker.stdout
        self._url = f"http://127.0.0.1:{port}"
        self._pid = 0

    async def start(self) -> None:
        """A worker, which takes the calls that wait for one."""
        self._stdin.write(b"go\n")
        self._pid = int(await self._stdout.readline())

    async def kill(self) -> None:
        """kill -9."""
        os.kill(self._pid, signal.SIGKILL)

    async def ended(self) -> None:
        """Returns when the worker that was killed has ended."""
        assert int(await self._stdout.readline()) == signal.SIGKILL

    async def call(self, key: str, operation: str, body: Any, idempotency_key: str) -> httpx.Response:
        """A call on a connection of its own."""
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key}
        async with httpx.AsyncClient(base_url=self._url, timeout=20) as client:
            return await client.post(f"/v1/{operation}", json=body, headers=headers)


@asynccontextmanager
async def _workers(home: Path, socket_dir: Path, database: Database) -> AsyncIterator[_Workers]:
    url = f"postgresql://postgres@/{database.name}?host={quote(str(socket_dir), safe='/')}&port=5432"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        maker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.gateway_process",
            "--fd",
            str(listener.fileno()),
            env={**os.environ, "ORDERGATE_HOME": str(home), "ORDERGATE_DATABASE_URL": url},
            pass_fds=(listener.fileno(),),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        workers = _Workers(maker, listener.getsockname()[1])
        try:
            await workers.start()
            yield workers
        finally:
            await workers.kill()
            await workers.ended()
            assert maker.stdin is not None
            maker.stdin.close()
            await maker.wait()


async def test_a_worker_killed_at_any_statement_leaves_all_or_nothing_and_the_repetition_resolves_it(
    gateway: RunningGateway,
    proxy: DatabaseProxy,
    admin: asyncpg.Connection,
    database: Database,
    tmp_path: Path,
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    async with _workers(gateway.home.path, tmp_path, database) as workers:
        proxy.break_at(0)
        assert (await workers.call(key, "stock/adjust", _RECEIVED, "first")).status_code == 200
        done, commit = 1, proxy.statements
        await workers.kill()
        await workers.ended()
        await workers.start()
        proxy.on_break = workers.kill
        for statement in (*points(commit - 1, 3), LAST):
            proxy.break_at(statement)
            with pytest.raises(httpx.TransportError):
                await workers.call(key, "stock/adjust", _RECEIVED, f"key-{done}")
            await workers.ended()
            survived = statement == LAST
            assert await traces(admin) == (done + survived,) * 3, f"statement {statement}"
            proxy.break_at(0)
            await workers.start()
            again = await workers.call(key, "stock/adjust", _RECEIVED, f"key-{done}")
            assert again.status_code == 200, again.text
            assert ("idempotent-replayed" in again.headers) == survived
            done += 1
            assert again.json()["on_hand"] == done * _RECEIVED["quantity"]
            assert await traces(admin) == (done, done, done)
    assert commit > 8

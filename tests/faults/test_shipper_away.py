"""The billing process outlives its database: whatever was journaled meanwhile arrives once it is back."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from catalog.usage_event import Refusal
from catalog.vocabulary.clock import SystemClock
from deploy.database import Database
from tests.databases import DatabaseServer
from tests.usage_books import add_account, add_price
from tests.usage_calls import append_events, append_refusals, open_journal, usage_event

_PATIENCE_S = 20


@asynccontextmanager
async def _worker(database: Database, home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m billing.worker` on the test's database, reached as a foreign server is; its log is in `home/log`."""
    url = f"postgresql:///{database.name}?host={database.socket_dir}&user=postgres"
    with (home / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "billing.worker",
            env={"PATH": os.environ["PATH"], "ORDERGATE_HOME": str(home), "ORDERGATE_DATABASE_URL": url},
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _sell(database: Database) -> None:
    """The account and the price of the calls below."""
    connection = await asyncpg.connect(**database.admin())
    try:
        await add_account(connection, "acct_a")
        await add_price(connection, "price_a")
    finally:
        await connection.close()


def _log(home: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (home / "log").read_text().splitlines()]


async def _figure(database: Database, query: str) -> int:
    connection = await asyncpg.connect(**database.admin())
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def _until_rolled_up(database: Database, calls: int) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while await _figure(database, "SELECT coalesce(sum(calls), 0) FROM billing.usage_hour") < calls:
            await asyncio.sleep(0.02)


async def test_everything_arrives_after_postgresql_was_away(
    database_server: DatabaseServer, database: Database, tmp_path: Path
) -> None:
    await _sell(database)
    async with (
        open_journal(tmp_path / "journals" / "worker-000") as journal,
        _worker(database, tmp_path) as worker,
    ):
        await append_events(journal, [usage_event() for _ in range(100)])
        await _until_rolled_up(database, 100)

        database_server.stop()
        await append_events(journal, [usage_event() for _ in range(200)])
        await asyncio.sleep(1)
        assert worker.returncode is None
        database_server.start()
        await append_events(journal, [usage_event() for _ in range(50)])
        await _until_rolled_up(database, 350)

        assert await _figure(database, "SELECT count(*) FROM billing.usage_event") == 350
        worker.send_signal(signal.SIGTERM)
        assert await worker.wait() == 0

    assert any(line["message"] == "the database is away" for line in _log(tmp_path))


async def test_what_the_gateway_wrote_last_is_taken_through_before_the_process_ends(
    database: Database, tmp_path: Path
) -> None:
    await _sell(database)
    async with _worker(database, tmp_path) as worker:
        async with open_journal(tmp_path / "journals" / "worker-000") as journal:
            await append_events(journal, [usage_event()])
            await _until_rolled_up(database, 1)
            await append_events(journal, [usage_event() for _ in range(500)])
            await append_refusals(
                journal, Refusal("acct_a", "live", "address/validate", "2026-11-21", "replayed", 2)
            )
        worker.send_signal(signal.SIGTERM)
        assert await worker.wait() == 0

    assert await _figure(database, "SELECT sum(calls) FROM billing.usage_hour") == 501
    assert await _figure(database, "SELECT sum(calls) FROM billing.refusal_count") == 2
    assert _log(tmp_path)[-1]["message"] == "stopped"


@pytest.mark.timed
async def test_usage_can_be_read_within_two_seconds_of_its_call(database: Database, tmp_path: Path) -> None:
    await _sell(database)
    clock = SystemClock()
    async with (
        open_journal(tmp_path / "journals" / "worker-000") as journal,
        _worker(database, tmp_path),
    ):
        await append_events(journal, [usage_event()])
        await _until_rolled_up(database, 1)
        for calls in (2, 3):
            started_ns = clock.monotonic_ns()
            await append_events(journal, [usage_event()])
            await _until_rolled_up(database, calls)
            assert clock.monotonic_ns() - started_ns < 2_000_000_000


async def test_a_step_that_needs_a_person_keeps_no_other_step_waiting(
    database: Database, tmp_path: Path
) -> None:
    await _sell(database)
    async with (
        open_journal(tmp_path / "journals" / "worker-000") as journal,
        _worker(database, tmp_path),
        asyncio.timeout(_PATIENCE_S),
    ):
        await append_events(journal, [usage_event(payer="acct_nobody")])
        while not any("acct_nobody" in str(line.get("reason")) for line in _log(tmp_path)):
            await asyncio.sleep(0.05)
        await append_events(journal, [usage_event() for _ in range(10)])
        while await _figure(database, "SELECT count(*) FROM billing.usage_event") < 11:
            await asyncio.sleep(0.02)

    assert await _figure(database, "SELECT count(*) FROM billing.usage_hour") == 0

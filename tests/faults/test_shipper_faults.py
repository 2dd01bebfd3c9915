"""Shipping and rolling up survive their own death and their database's at every statement: each event exactly once."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from billing.flow import Flow
from billing.journal import Journal
from billing.rollup.recompute import differences, recompute
from billing.store.connection import billing_pool as open_pool
from catalog.usage_event import Refusal
from catalog.vocabulary.clock import SystemClock
from deploy.database import Database
from deploy.roles import BILLING
from tests.faults.database_proxy import DatabaseProxy
from tests.usage_calls import add_account, append_events, append_refusals, open_journal, usage_event

_EVENTS = 5
_REFUSAL = Refusal("acct_a", "live", "address/validate", "2026-11-21", "rate-limited", 1)


async def _some_calls(journal: Journal) -> None:
    await append_events(journal, [usage_event() for _ in range(_EVENTS)])
    await append_refusals(journal, _REFUSAL)


async def _ship_and_roll_up(flow: Flow) -> None:
    done = await flow.ship()
    while done.records or done.more:
        done = await flow.ship()
    while (await flow.roll_up()).events:
        pass


async def _assert_books_agree(admin: asyncpg.Connection, rounds: int) -> None:
    figures = await admin.fetchrow(
        "SELECT (SELECT count(*) FROM billing.usage_event) AS stored, "
        "(SELECT sum(calls)::bigint FROM billing.usage_hour) AS rolled_up, "
        "(SELECT sum(calls)::bigint FROM billing.refusal_count) AS refused, "
        "(SELECT last_seq FROM billing.ship_offset) AS shipped"
    )
    assert figures is not None
    assert tuple(figures) == (rounds * _EVENTS, rounds * _EVENTS, rounds, rounds * (_EVENTS + 1))
    async with admin.transaction(isolation="repeatable_read"):
        await admin.execute("SELECT set_config('ordergate.account', '*', true)")
        await recompute(admin)
        assert await differences(admin) == []


class _Processes:
    """The maker of shipping processes, and the one that runs now."""

    def __init__(self, maker: asyncio.subprocess.Process) -> None:
        assert maker.stdin is not None
        assert maker.stdout is not None
        self._stdin = maker.stdin
        self._stdout = maker.stdout
        self._pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def ship(self) -> int:
        """Start a process and wait for its end: its wait status."""
        self._pid = asyncio.get_running_loop().create_future()
        self._stdin.write(b"go\n")
        self._pid.set_result(int(await self._stdout.readline()))
        return int(await self._stdout.readline())

    async def kill(self) -> None:
        """Called at the break, perhaps before the pid was read."""
        os.kill(await self._pid, signal.SIGKILL)


@asynccontextmanager
async def _processes(socket_dir: Path, database: Database, journals: Path) -> AsyncIterator[_Processes]:
    maker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.shipping_process",
        str(socket_dir),
        database.name,
        str(journals),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield _Processes(maker)
    finally:
        assert maker.stdin is not None
        maker.stdin.close()
        await maker.wait()


async def test_a_shipping_process_killed_at_any_statement_leaves_every_event_exactly_once(
    database: Database, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    await add_account(admin)
    assert database.socket_dir is not None
    journals = tmp_path / "journals"
    proxy = DatabaseProxy(tmp_path, database.socket_dir)
    rounds = 0
    async with (
        open_journal(journals / "worker-000") as journal,
        _processes(tmp_path, database, journals) as processes,
        proxy,
    ):
        proxy.on_break = processes.kill
        killed = True
        while killed:
            rounds += 1
            await _some_calls(journal)
            proxy.break_at(rounds)
            status = await processes.ship()
            killed = proxy.broken
            assert status == (signal.SIGKILL if killed else 0)
            proxy.break_at(0)
            assert await processes.ship() == 0
            await _assert_books_agree(admin, rounds)
    assert rounds > 20


async def test_a_connection_lost_at_any_statement_even_with_the_reply_to_commit_loses_and_doubles_nothing(
    database: Database, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    await add_account(admin)
    assert database.socket_dir is not None
    journals = tmp_path / "journals"
    proxy = DatabaseProxy(tmp_path, database.socket_dir)
    rounds = 0
    async with open_journal(journals / "worker-000") as journal, proxy:
        pool = await open_pool(Database(socket_dir=tmp_path, name=database.name).as_role(BILLING))
        flow = Flow(pool, journals, None, SystemClock())
        while rounds == 0 or proxy.broken:
            rounds += 1
            await _some_calls(journal)
            proxy.break_at(rounds)
            for attempt in range(3):
                with suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError):
                    await _ship_and_roll_up(flow)
                    break
                assert proxy.broken, attempt
            await _assert_books_agree(admin, rounds)
        flow.close()
        await pool.close()
    assert rounds > 20

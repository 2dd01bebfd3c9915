"""`reconcile` while calls go on: the books agree at one point, and what is lost, doubled or changed is found there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from billing.flow import Flow
from billing.reconcile import Report, reconcile
from billing.settings import Settings
from billing.store.connection import billing_pool
from billing.worker import Worker
from catalog.vocabulary.clock import SystemClock
from catalog.vocabulary.ids import new_event_id
from deploy.roles import BILLING
from deploy.served import served_by_journals
from tests.gateways import RunningGateway
from tests.load.book import Book
from tests.load.plan import Credential, plan
from tests.load.run import Load

_RATE = {"kind": "rate", "per": "application", "q": 1_000_000, "w": 1}
_ENDLESS = 10_000_000
_CLIENTS = 6


class Traffic:
    """A gateway with its billing worker, clients that never stop, and the book that they write."""

    def __init__(self, gateway: RunningGateway, pool: asyncpg.Pool, book: Path) -> None:
        self.gateway = gateway
        self.pool = pool
        self.book = book
        self.calls = 0

    async def more_calls(self, count: int) -> None:
        """Wait until so many more calls have ended."""
        wanted = self.calls + count
        async with asyncio.timeout(30):
            while self.calls < wanted:
                await asyncio.sleep(0.01)

    async def reconcile(self, *books: Path) -> tuple[Report, Report]:
        journals = self.gateway.home.journals
        test, live = await reconcile(
            self.pool,
            lambda until: served_by_journals(journals, until),
            journals,
            books,
            clock=SystemClock(),
            sleep=asyncio.sleep,
        )
        return test, live


@pytest.fixture
async def traffic(gateway: RunningGateway, tmp_path: Path) -> AsyncIterator[Traffic]:
    for service in ("address", "stock"):
        await gateway.publish(service, lambda document: document.update(limits=[_RATE]))
    opened = await gateway.open_account()
    credentials = [
        Credential(opened.account.id, await gateway.create_key(opened, environment))
        for environment in ("live", "test")
    ]
    pool = await billing_pool(gateway.database.as_role(BILLING))
    traffic = Traffic(gateway, pool, tmp_path / "book.jsonl")
    async with _worker(gateway, pool), _clients(traffic, credentials):
        await traffic.more_calls(80)
        yield traffic
    await pool.close()


@asynccontextmanager
async def _worker(gateway: RunningGateway, pool: asyncpg.Pool) -> AsyncIterator[None]:
    settings = Settings(gateway.home.path, None, gateway.database.socket_dir, None)
    flow = Flow(pool, gateway.home.journals, None, SystemClock())
    stop = asyncio.Event()
    running = asyncio.create_task(Worker(flow, settings, SystemClock()).run(stop))
    try:
        yield
    finally:
        stop.set()
        await running
        flow.close()


@asynccontextmanager
async def _clients(traffic: Traffic, credentials: Sequence[Credential]) -> AsyncIterator[None]:
    def on_call() -> None:
        traffic.calls += 1

    book = Book(traffic.book)
    load = Load("127.0.0.1", traffic.gateway.port, book, on_call)
    units = plan(1, _ENDLESS, {"address": 0.6, "stock": 0.4}, tuple(credentials))
    calling = asyncio.create_task(load.run(units, _CLIENTS, 600))
    try:
        yield
    finally:
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        book.close()


async def _a_journaled_call(admin: asyncpg.Connection) -> UUID:
    call_id: UUID = await admin.fetchval(
        "SELECT id FROM billing.usage_event WHERE recorded_by = 'journal' AND environment = 'live' AND billable "
        "AND stored_xid < (SELECT xid FROM billing.watermark WHERE step = 'rollup') ORDER BY id LIMIT 1"
    )
    return call_id


async def _double(admin: asyncpg.Connection, call_id: UUID) -> None:
    columns = ", ".join(
        row["attname"]
        for row in await admin.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'billing.usage_event'::regclass AND attnum > 0 "
            "AND attname NOT IN ('id', 'stored_at', 'stored_xid')"
        )
    )
    await admin.execute(
        f"INSERT INTO billing.usage_event (id, {columns}) "  # noqa: S608 - the table's own columns
        f"SELECT $1, {columns} FROM billing.usage_event WHERE id = $2",
        new_event_id(SystemClock().now_ns()),
        call_id,
    )


async def test_the_books_agree_every_time_while_calls_go_on_and_a_clients_book_grows(
    traffic: Traffic,
) -> None:
    seen: list[tuple[int, int]] = []
    for books in ((), (traffic.book,), (traffic.book,)):
        test, live = await traffic.reconcile(*books)
        assert test.agrees, test
        assert live.agrees, live
        assert live.served == live.metered == live.stored == live.rated == live.posted == live.invoiced
        assert (live.differences, live.lag) == ((), "")
        seen.append((test.served, live.served))
        await traffic.more_calls(50)
    assert seen[0] < seen[1] < seen[2]
    assert all(test > 0 for test, _ in seen)


async def test_what_is_changed_lost_or_doubled_is_found_while_calls_go_on(
    traffic: Traffic, admin: asyncpg.Connection
) -> None:
    await traffic.reconcile()
    async with admin.transaction():
        await admin.execute("SET LOCAL session_replication_role = replica")
        await admin.execute(
            "UPDATE billing.rated_line SET amount = amount + 0.01 WHERE id = "
            "(SELECT min(id) FROM billing.rated_line WHERE environment = 'live' AND amount > 0)"
        )
    _, live = await traffic.reconcile()
    assert (live.diff, live.metered - live.stored) == (0, 0)
    assert live.money_diff > 0
    assert any("money stored" in text for text in live.differences)

    lost = await _a_journaled_call(admin)
    await admin.execute("DELETE FROM billing.usage_event WHERE id = $1", lost)
    _, live = await traffic.reconcile(traffic.book)
    assert live.metered - live.stored == 1
    assert any(f"call_{lost.hex} " in text and "is not stored" in text for text in live.differences)

    await _double(admin, await _a_journaled_call(admin))
    _, live = await traffic.reconcile()
    assert (live.metered, live.diff > 0) == (live.stored, True), "a lost and a doubled call do not cancel"

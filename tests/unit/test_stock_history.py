"""What an owner reads back: its history and its channels, page by page and however much of them there is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from atomic_services.stock import movements
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.databases import DatabaseServer
from tests.stock_calls import START, StockCalls, create_account


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(scope="module")
def shared_database(database_server: DatabaseServer) -> Iterator[Database]:
    """One database for all tests of this file: each has accounts of its own."""
    database = asyncio.run(database_server.create())
    yield database
    asyncio.run(database_server.drop(database))


@pytest.fixture
async def admin(shared_database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**shared_database.admin())
    yield connection
    await connection.close()


@pytest.fixture
async def pool(shared_database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(**shared_database.as_role(GATEWAY), min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture
async def account(admin: asyncpg.Connection) -> str:
    account = new_id("acct")
    await create_account(admin, account)
    return account


@pytest.fixture
async def call(pool: asyncpg.Pool, clock: ManualClock, account: str) -> StockCalls:
    """Calls of an account with 10 of A in N."""
    calls = StockCalls(pool, clock, account)
    await calls.stock("A", "N", 10)
    return calls


async def _reserve(call: StockCalls, id_: str) -> Any:
    lines = [{"sku": "A", "quantity": 1, "warehouse": "N"}]
    return await call("reserve", reservation_id=id_, lines=lines, ttl_s=60)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"kind": "confirm"}, ["s3", "s1"]),
        ({"sku": "A", "kind": "reserve", "warehouse": "N"}, ["s3", "s2", "s1", "s0"]),
        ({"reservation_id": "s1", "kind": "confirm"}, ["s1"]),
        ({"until": "2026-11-02T08:00:02Z", "kind": "reserve"}, ["s1", "s0"]),
        ({"kind": "expire"}, []),
    ],
)
async def test_a_search_goes_on_behind_what_was_looked_at_for_a_page(
    call: StockCalls,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    filters: dict[str, Any],
    found: list[str],
) -> None:
    for n in range(4):
        await _reserve(call, f"s{n}")
        if n % 2:
            await call("confirm", reservation_id=f"s{n}")
        clock.advance(1)
    monkeypatch.setattr(movements, "SCANNED_MAX", 3)
    pages, after = [], None
    while True:
        page = await call("movements", limit=2, **filters, **({"after": after} if after else {}))
        pages.append([one.reservation_id for one in page.data])
        after = page.next
        if after is None:
            break
    assert [one for page in pages for one in page] == found


async def test_a_search_ends_where_movements_are_older_than_what_is_asked_for(
    call: StockCalls, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movements, "SCANNED_MAX", 2)
    clock.advance(3600)
    await _reserve(call, "r1")
    since = from_ns(clock.now_ns()).isoformat()
    page = await call("movements", since=since, kind="confirm")
    assert (page.data, page.next) == ((), None)
    assert (await call("movements", kind="confirm")).next is not None


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("SELECT FROM stock.movement WHERE account_id = $1 AND environment = 'live' AND reservation_id = 'r' "
         "ORDER BY id DESC LIMIT 9", "movement_reservation"),
        ("SELECT FROM stock.movement WHERE account_id = 'acct_x' AND environment = 'live' AND party_id = $1 "
         "ORDER BY id DESC LIMIT 9", "movement_party"),
        ("SELECT FROM stock.movement WHERE account_id = $1 AND environment = 'live' AND sku = 'A' ORDER BY id DESC LIMIT 9",
         "movement_sku"),
        ("SELECT sum(on_hand_change) FROM stock.movement WHERE account_id = $1 AND environment = 'live' AND sku = 'A' "
         "AND warehouse = 'N' AND kind = 'confirm' AND occurred_at > now() - interval '28 days'", "movement_sold"),
    ],
)  # fmt: skip
async def test_every_question_about_the_past_has_an_index(
    pool: asyncpg.Pool, admin: asyncpg.Connection, account: str, statement: str, index: str
) -> None:
    await admin.execute(
        "INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, reserved_change, reservation_id, "
        "call_id, party_id, occurred_at) SELECT 'acct_' || n % 3, 'live', 'S' || n % 50, 'N', "
        "CASE WHEN n % 2 = 0 THEN 'reserve' ELSE 'confirm' END, 1, 'r' || n % 500, gen_random_uuid(), "
        "CASE WHEN n % 9 = 0 THEN 'acct_p' || n % 5 END, now() - n * interval '1 hour' FROM generate_series(1, 5000) AS n"
    )
    await admin.execute("ANALYZE stock.movement")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', $1, true)", account)
        plan = await connection.fetch(f"EXPLAIN {statement.replace('$1', repr(account))}")
    assert any(index in row[0] for row in plan), [row[0] for row in plan]


async def test_channels_are_read_page_by_page_each_once(
    call: StockCalls, pool: asyncpg.Pool, clock: ManualClock, account: str, admin: asyncpg.Connection
) -> None:
    """What a call sets is in its reply whichever page it asks for."""

    def rules(first: int, count: int) -> list[dict[str, Any]]:
        return [
            {"channel": f"c{n:03}", "grantee": "acct_b", "skus": "*", "quota": n}
            for n in range(first, first + count)
        ]

    for first in (0, 100):
        reply = await call("configure", channels=rules(first, 100))
        assert {f"c{n:03}" for n in range(first, first + 100)} <= {one.channel for one in reply.granted}
    owner = new_id("acct")
    await create_account(admin, owner)
    await StockCalls(pool, clock, owner)(
        "configure", channels=[{"channel": "lent", "grantee": account, "skus": "*", "quota": 5}]
    )
    pages, after = [], None
    while True:
        reply = await call("configure", **({"channels_after": after} if after else {}))
        pages.append([one.channel for one in (*reply.granted, *reply.received)])
        after = reply.channels_next
        if after is None:
            break
    assert [len(page) for page in pages] == [100, 100, 1]
    assert [name for page in pages for name in page] == [*(f"c{n:03}" for n in range(200)), "lent"]
    late = await call("configure", channels=rules(0, 1), channels_after=f"{account} c198")
    assert [one.channel for one in late.granted] == ["c000", "c199"]


async def test_a_place_in_the_channels_that_no_reply_gave_is_the_callers_mistake(call: StockCalls) -> None:
    with pytest.raises(Problem) as fault:
        await call("configure", channels_after="nowhere")
    assert [error.pointer for error in fault.value.errors] == ["/channels_after"]

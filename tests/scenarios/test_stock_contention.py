"""Many callers at once: never oversold, never deadlocked, every unit accounted for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.problem import BusinessRefusal, Problem
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.stock_calls import START, StockCalls, create_account, unexplained

CONNECTIONS = 12


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    """More connections than the machine has cores, so that calls really wait for each other's locks."""
    async with asyncpg.create_pool(
        **database.as_role(GATEWAY), min_size=CONNECTIONS, max_size=CONNECTIONS
    ) as pool:
        yield pool


@pytest.fixture
async def call(admin: asyncpg.Connection, pool: asyncpg.Pool) -> StockCalls:
    """Calls of one account at one moment."""
    await create_account(admin, "acct_a")
    return StockCalls(pool, ManualClock(START))


async def _end(call: Awaitable[Any]) -> str:
    """`ok`, or the name of the refusal; anything else, such as a deadlock, is raised."""
    try:
        await call
    except BusinessRefusal as refusal:
        return refusal.type.name
    return "ok"


async def _ends(calls: list[Awaitable[Any]]) -> Counter[str]:
    return Counter(await asyncio.gather(*(_end(call) for call in calls)))


def _lines(*skus: str) -> list[dict[str, Any]]:
    return [{"sku": sku, "quantity": 1} for sku in skus]


async def test_of_two_hundred_callers_for_fifty_units_exactly_fifty_get_one(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    await call.stock("HOT", "N", 50)
    ends = await _ends(
        [call("reserve", reservation_id=f"r{n}", lines=_lines("HOT"), ttl_s=60) for n in range(200)]
    )
    assert ends == {"ok": 50, "insufficient-stock": 150}
    assert await admin.fetchval("SELECT reserved FROM stock.level") == 50
    assert await unexplained(admin) == []


async def test_orders_that_name_the_same_articles_in_opposite_order_never_deadlock(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    skus = ["A", "B", "C", "D", "E"]
    for sku in skus:
        for warehouse in ("N", "S"):
            await call.stock(sku, warehouse, 30)

    async def order(n: int) -> None:
        lines = _lines(*(skus if n % 2 else reversed(skus)))
        await call("reserve", reservation_id=f"r{n}", lines=lines, ttl_s=60)
        await call(
            "extend" if n % 3 == 0 else "confirm",
            reservation_id=f"r{n}",
            **({"ttl_s": 90} if n % 3 == 0 else {}),
        )
        if n % 3 == 0:
            await call("release", reservation_id=f"r{n}")

    assert await _ends([order(n) for n in range(60)]) == {"ok": 60}
    left = await admin.fetch("SELECT on_hand, reserved FROM stock.level")
    assert (sum(row["on_hand"] for row in left), sum(row["reserved"] for row in left)) == (100, 0)
    assert await unexplained(admin) == []


async def test_groups_of_orders_in_opposite_order_never_deadlock_and_lose_no_unit(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    """Groups of reserves, confirmations, releases and receipts of the same articles, each group in another order."""
    skus = ["A", "B", "C"]
    for sku in skus:
        await call.stock(sku, "N", 200)

    async def group(n: int) -> None:
        ids = [f"g{n}-{one}" for one in range(6)]
        order = skus if n % 2 else skus[::-1]
        orders = [{"reservation_id": id_, "lines": _lines(*order), "ttl_s": 60} for id_ in ids]
        held = await call.together("reserve", *(orders if n % 3 else reversed(orders)))
        assert {reply.state for reply in held} == {"reserved"}
        ended = [{"reservation_id": id_} for id_ in ids]
        await call.together("confirm" if n % 2 else "release", *reversed(ended))
        receipt = {"warehouse": "N", "quantity": 1, "reason": "receipt"}
        await call.together("adjust", *({"sku": sku, **receipt} for sku in order))

    await asyncio.gather(*(group(n) for n in range(24)))
    rows = await admin.fetch("SELECT on_hand, reserved FROM stock.level")
    assert {tuple(row) for row in rows} == {(200 - 12 * 6 + 24, 0)}
    assert await unexplained(admin) == []


async def test_two_that_take_one_id_for_different_articles_at_once_get_one_reservation(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    """They meet at no level, so that the id itself has to decide; a group that loses it keeps its other orders."""
    for sku in ("A", "B"):
        await call.stock(sku, "N", 50)

    async def order(n: int) -> list[Any]:
        mine = {"reservation_id": f"r{n // 2}", "lines": _lines("AB"[n % 2]), "ttl_s": 60}
        other = {"reservation_id": f"own{n}", "lines": _lines("AB"[n % 2]), "ttl_s": 60}
        return await call.together("reserve", mine, other)

    answers = await asyncio.gather(*(order(n) for n in range(20)))
    shared = Counter(
        answer.type.name if isinstance(answer, Problem) else answer.state for answer, _ in answers
    )
    assert shared == {"reserved": 10, "reservation-exists": 10}
    assert {answer.state for _, answer in answers} == {"reserved"}
    assert await admin.fetchval("SELECT sum(reserved)::bigint FROM stock.level") == 30
    assert await unexplained(admin) == []


async def test_one_reservation_sent_many_times_at_once_holds_once(call: StockCalls) -> None:
    await call.stock("A", "N", 50)
    same: dict[str, Any] = {"reservation_id": "r1", "lines": _lines("A"), "ttl_s": 60}
    replies = await asyncio.gather(*(call("reserve", **same) for _ in range(50)))
    assert all(reply == replies[0] for reply in replies)
    assert await call.available("A") == 49


async def test_confirming_and_releasing_at_once_ends_a_reservation_one_way(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    await call.stock("A", "N", 20)
    for n in range(20):
        await call("reserve", reservation_id=f"r{n}", lines=_lines("A"), ttl_s=60)
    ends = await _ends(
        [call(operation, reservation_id=f"r{n}") for n in range(20) for operation in ("confirm", "release")]
    )
    assert ends == {"ok": 20, "reservation-closed": 20}
    confirmed = await admin.fetchval("SELECT count(*) FROM stock.reservation WHERE state = 'confirmed'")
    assert await admin.fetchval("SELECT (on_hand, reserved) FROM stock.level") == (20 - confirmed, 0)
    assert await unexplained(admin) == []


async def test_at_the_moment_of_expiry_a_unit_goes_to_the_old_holder_or_to_a_new_one(
    call: StockCalls, pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    """Half of the callers see a clock just before the expiry, half at it; sweeps run in between."""
    await call.stock("A", "N", 30)
    for n in range(30):
        await call("reserve", reservation_id=f"old{n}", lines=_lines("A"), ttl_s=60)
    before = StockCalls(pool, ManualClock(START + timedelta(seconds=59)))
    after = StockCalls(pool, ManualClock(START + timedelta(seconds=60)))
    calls: list[Awaitable[Any]] = []
    for n in range(30):
        old = f"old{n}"
        calls.append(
            before("extend", reservation_id=old, ttl_s=60) if n % 3 else before("confirm", reservation_id=old)
        )
        calls.append(after("reserve", reservation_id=f"new{n}", lines=_lines("A"), ttl_s=60))
        if n % 5 == 0:
            calls.append(after.sweep())
    await _ends(calls)
    sold = await admin.fetchval(
        "SELECT coalesce(sum(quantity), 0)::bigint FROM stock.reservation_line WHERE state IN ('held', 'confirmed')"
    )
    assert sold <= 30
    assert await unexplained(admin) == []


async def test_sweeps_and_orders_over_the_same_articles_do_not_deadlock(
    call: StockCalls, pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    skus = ["A", "B", "C"]
    for sku in skus:
        await call.stock(sku, "N", 40)
    for n in range(40):
        await call("reserve", reservation_id=f"old{n}", lines=_lines(*skus), ttl_s=60)
    later = StockCalls(pool, ManualClock(START + timedelta(seconds=60)))
    ends = await _ends(
        [
            later.sweep()
            if n % 5 == 0
            else later("reserve", reservation_id=f"new{n}", lines=_lines(*reversed(skus)), ttl_s=60)
            for n in range(45)
        ]
    )
    assert ends == {"ok": 45}
    assert {row["reserved"] for row in await admin.fetch("SELECT reserved FROM stock.level")} == {36}
    assert await unexplained(admin) == []


async def test_what_is_held_of_a_hot_article_is_not_read_again_with_each_call(
    admin: asyncpg.Connection, database: Database
) -> None:
    """Else each call would be slower than the one before it, with the article locked meanwhile."""
    await create_account(admin, "acct_a")
    async with asyncpg.create_pool(**database.as_role(GATEWAY), min_size=1, max_size=1) as pool:
        call = StockCalls(pool, ManualClock(START))
        await call.stock("HOT", "N", 100_000)
        await call("reserve", reservation_id="first", lines=_lines("HOT"), ttl_s=600)
        for table in ("reservation", "reservation_line"):
            await admin.execute(
                f"INSERT INTO stock.{table} SELECT (jsonb_populate_record(made, jsonb_build_object("  # noqa: S608
                f"'reservation_id', 'held-' || n))).* FROM stock.{table} AS made, generate_series(1, 20000) AS n"
            )
        await admin.execute("UPDATE stock.level SET reserved = 20001")
        await admin.execute("ANALYZE stock.reservation_line, stock.reservation, stock.level")
        before = await _lines_read(pool, admin)
        for n in range(20):
            await call("reserve", reservation_id=f"r{n}", lines=_lines("HOT"), ttl_s=600)
        assert await _lines_read(pool, admin) - before < 20_000


async def _lines_read(pool: asyncpg.Pool, admin: asyncpg.Connection) -> int:
    """Lines of reservations that were read one after the other, without an index, since the server started."""
    await pool.execute("SELECT pg_stat_force_next_flush()")
    await pool.execute("SELECT 1")
    return int(
        await admin.fetchval(
            "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = 'stock.reservation_line'::regclass"
        )
    )

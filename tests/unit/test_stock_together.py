"""Several calls in one transaction end as if they had been run one after the other, each in a transaction of its own."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from atomic_services.contract import CallContext
from atomic_services.stock import SERVICE
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.problem import Problem
from catalog.vocabulary.strict_json import convert
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.stock_calls import START, StockCalls, create_account, unexplained


@pytest.fixture
def clock() -> ManualClock:
    """Stands still until a test moves it."""
    return ManualClock(START)


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(**database.as_role(GATEWAY), min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture
async def call(admin: asyncpg.Connection, pool: asyncpg.Pool, clock: ManualClock) -> StockCalls:
    """Calls of an account with 10 of A in N."""
    await create_account(admin, "acct_a")
    calls = StockCalls(pool, clock)
    await calls.stock("A", "N", 10)
    return calls


def _order(id_: str, quantity: int, sku: str = "A", **fields: Any) -> dict[str, Any]:
    return {"reservation_id": id_, "lines": [{"sku": sku, "quantity": quantity}], "ttl_s": 60, **fields}


def _ends(answers: list[Any]) -> list[str]:
    return [answer.type.name if isinstance(answer, Problem) else answer.state for answer in answers]


async def test_of_many_reserves_together_those_that_come_first_get_the_units(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    answers = await call.together("reserve", *(_order(f"r{n}", 3) for n in range(5)))
    assert _ends(answers) == ["reserved"] * 3 + ["insufficient-stock"] * 2
    assert answers[3].extra["lines"][0]["available"] == 1
    assert await call.available("A") == 1
    assert await admin.fetchval("SELECT count(*) FROM stock.reservation") == 3
    assert await unexplained(admin) == []


async def test_a_smaller_order_after_one_that_was_refused_still_gets_what_is_left(call: StockCalls) -> None:
    answers = await call.together("reserve", _order("r1", 8), _order("r2", 3), _order("r3", 2))
    assert _ends(answers) == ["reserved", "insufficient-stock", "reserved"]


class _Counting:
    """A transaction that counts its statements."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        self.statements += 1
        return getattr(self._connection, name)


async def test_a_hundred_reserves_of_one_article_take_as_many_statements_as_one(
    call: StockCalls, pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await call.stock("A", "N", 91)
    counts = []
    for size in (1, 100):
        operation = SERVICE.operations["reserve"]
        assert operation.run_together is not None
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
            counting = _Counting(connection)
            contexts = [
                CallContext(new_event_id(n), "live", "acct_a", "app_a", START, counting) for n in range(size)
            ]
            requests = [convert(_order(f"{size}-{n}", 1), operation.request) for n in range(size)]
            assert _ends(list(await operation.run_together(requests, contexts))) == ["reserved"] * size
        counts.append(counting.statements)
    assert counts == [4, 4]
    assert await call.available("A") == 0
    assert await unexplained(admin) == []


async def test_an_id_twice_in_a_group_holds_once_and_not_for_other_lines(call: StockCalls) -> None:
    answers = await call.together("reserve", _order("r1", 4), _order("r1", 4), _order("r1", 5))
    assert _ends(answers) == ["reserved", "reserved", "reservation-exists"]
    assert answers[0] == answers[1]
    assert await call.available("A") == 6


async def test_an_id_whose_first_request_was_refused_is_free_for_the_next_of_the_group(
    call: StockCalls,
) -> None:
    assert _ends(await call.together("reserve", _order("r1", 11), _order("r1", 10))) == [
        "insufficient-stock",
        "reserved",
    ]


async def test_a_group_frees_what_has_expired_before_it_decides(call: StockCalls, clock: ManualClock) -> None:
    await call.together("reserve", _order("old1", 5), _order("old2", 5))
    clock.advance(60)
    assert _ends(await call.together("reserve", _order("new1", 9), _order("old1", 1))) == [
        "reserved",
        "reservation-exists",
    ]


async def test_holds_end_once_in_a_group_of_confirmations_and_in_one_of_releases(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    await call.together("reserve", *(_order(f"r{n}", 2) for n in range(4)))
    some = {"lines": [{"sku": "A", "quantity": 1}]}
    confirmed = await call.together(
        "confirm",
        {"reservation_id": "r0"},
        {"reservation_id": "r0"},
        {"reservation_id": "r0", **some},
        {"reservation_id": "r1", **some},
        {"reservation_id": "none"},
        {"reservation_id": "r2", "lines": [{"sku": "A", "quantity": 3}]},
    )
    assert _ends(confirmed) == [
        "confirmed",
        "confirmed",
        "reservation-closed",
        "confirmed",
        "reservation-not-found",
        "invalid-input",
    ]
    released = await call.together("release", *({"reservation_id": f"r{n}"} for n in (0, 2, 2)))
    assert _ends(released) == ["reservation-closed", "released", "released"]
    level = (await call("availability", skus=["A"])).skus[0]
    assert (level.on_hand, level.reserved) == (7, 2)
    assert await unexplained(admin) == []


async def test_extensions_of_a_group_never_shorten_each_other(call: StockCalls, clock: ManualClock) -> None:
    await call("reserve", **_order("r1", 1))
    answers = await call.together(
        "extend", *({"reservation_id": "r1", "ttl_s": ttl_s} for ttl_s in (90, 300, 30))
    )
    assert answers[1].expires_at == answers[2].expires_at > answers[0].expires_at
    clock.advance(299)
    assert await call.available("A") == 9


async def test_adjustments_of_a_group_see_what_the_ones_before_them_did(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    def change(quantity: int, sku: str = "A") -> dict[str, Any]:
        return {"sku": sku, "warehouse": "N", "quantity": quantity, "reason": "count"}

    answers = await call.together(
        "adjust", change(-10), change(-1), change(3), change(-2), change(-1, "never")
    )
    assert [answer.type.name if isinstance(answer, Problem) else answer.on_hand for answer in answers] == [
        0, "insufficient-stock", 3, 1, "insufficient-stock"]  # fmt: skip
    assert (await call("availability", skus=["never"])).levels == ()
    assert await admin.fetchval("SELECT count(*) FROM stock.movement") == 4
    assert await unexplained(admin) == []


async def test_refused_calls_of_a_group_leave_nothing(call: StockCalls, admin: asyncpg.Connection) -> None:
    before = await admin.fetch("SELECT * FROM stock.level")
    assert (
        _ends(await call.together("reserve", _order("r1", 11), _order("r2", 1, "B")))
        == ["insufficient-stock"] * 2
    )
    assert await admin.fetch("SELECT * FROM stock.level") == before
    assert await admin.fetchval("SELECT count(*) FROM stock.reservation") == 0

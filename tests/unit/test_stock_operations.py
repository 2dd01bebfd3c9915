"""What the stock operations promise, call by call."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from atomic_services.stock import sweep
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import BusinessRefusal, CallerFault
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.databases import DatabaseServer
from tests.stock_calls import START, StockCalls, create_account, unexplained


@pytest.fixture
def clock() -> ManualClock:
    """Stands still until a test moves it."""
    return ManualClock(START)


@pytest.fixture(scope="module")
def shared_database(database_server: DatabaseServer) -> Iterator[Database]:
    """One database for all tests of this file: each has an account, and therefore stock, of its own."""
    database = asyncio.run(database_server.create())
    yield database
    asyncio.run(database_server.drop(database))


@pytest.fixture
async def admin(shared_database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, which no row policy binds."""
    connection = await asyncpg.connect(**shared_database.admin())
    yield connection
    await connection.close()


@pytest.fixture
async def pool(shared_database: Database) -> AsyncIterator[asyncpg.Pool]:
    """The gateway's role."""
    async with asyncpg.create_pool(**shared_database.as_role(GATEWAY), min_size=1, max_size=1) as pool:
        yield pool


@pytest.fixture
def account() -> str:
    """The test's own account."""
    return new_id("acct")


@pytest.fixture
async def call(admin: asyncpg.Connection, pool: asyncpg.Pool, clock: ManualClock, account: str) -> StockCalls:
    """Calls of an account with 10 of A in N and 6 of A and 5 of B in S."""
    await create_account(admin, account)
    calls = StockCalls(pool, clock, account)
    for sku, warehouse, quantity in (("A", "N", 10), ("A", "S", 6), ("B", "S", 5)):
        await calls.stock(sku, warehouse, quantity)
    return calls


def _line(sku: str, quantity: int, warehouse: str | None = None) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity, "warehouse": warehouse}


async def _reserve(call: StockCalls, id_: str, *lines: dict[str, Any], **fields: Any) -> Any:
    return await call("reserve", **{"reservation_id": id_, "lines": list(lines), "ttl_s": 60, **fields})


async def test_an_adjustment_answers_the_new_level(call: StockCalls) -> None:
    level = await call("adjust", sku="A", warehouse="N", quantity=-4, reason="count")
    assert (level.on_hand, level.reserved, level.available) == (6, 0, 6)


async def test_an_adjustment_cannot_take_reserved_units(call: StockCalls) -> None:
    await _reserve(call, "r1", _line("A", 7, "N"))
    with pytest.raises(BusinessRefusal) as refused:
        await call("adjust", sku="A", warehouse="N", quantity=-4, reason="count")
    assert refused.value.type.name == "insufficient-stock"
    assert refused.value.extra["lines"] == [{"sku": "A", "warehouse": "N", "quantity": 4, "available": 3}]
    assert refused.value.detail == (
        "Only 3 good units of A in N can be taken out: 10 are on hand, 7 of them reserved and 0 quarantined."
    )
    remedy = refused.value.type.remedy
    for told in (remedy.en, remedy.chinese()):
        assert {"stock/adjust", "stock/release", "stock/confirm"} <= set(re.findall(r"stock/[a-z]+", told))
    assert (await call("adjust", sku="A", warehouse="N", quantity=-3, reason="count")).available == 0


async def test_an_adjustment_can_take_units_whose_reservation_has_expired(
    call: StockCalls, clock: ManualClock
) -> None:
    await _reserve(call, "r1", _line("A", 10, "N"))
    clock.advance(60)
    assert (await call("adjust", sku="A", warehouse="N", quantity=-10, reason="count")).on_hand == 0


async def test_nothing_can_be_taken_from_a_place_that_never_had_stock(
    call: StockCalls,
) -> None:
    with pytest.raises(BusinessRefusal, match="Only 0 good units"):
        await call("adjust", sku="C", warehouse="N", quantity=-1, reason="count")
    assert (await call("availability", skus=["C"])).levels == ()


async def test_an_adjustment_by_zero_is_the_callers_mistake(call: StockCalls) -> None:
    with pytest.raises(CallerFault) as fault:
        await call("adjust", sku="A", warehouse="N", quantity=0, reason="count")
    assert [error.pointer for error in fault.value.errors] == ["/quantity"]


async def test_quarantined_units_are_on_hand_but_not_available(call: StockCalls) -> None:
    level = await call(
        "adjust", sku="B", warehouse="S", quantity=2, reason="returned", condition="quarantined"
    )
    assert (level.on_hand, level.quarantined, level.available) == (7, 2, 5)
    with pytest.raises(BusinessRefusal):
        await _reserve(call, "r1", _line("B", 6))
    with pytest.raises(BusinessRefusal, match="Only 2 quarantined units"):
        await call("adjust", sku="B", warehouse="S", quantity=-3, reason="scrapped", condition="quarantined")


async def test_units_that_are_reserved_cannot_change_their_condition(call: StockCalls) -> None:
    await _reserve(call, "r1", _line("A", 7, "N"))
    move = {"sku": "A", "warehouse": "N", "quantity": 4, "reason": "broken", "moved": True}
    with pytest.raises(BusinessRefusal, match="Only 3 good units of A in N can be moved: 10 are on hand"):
        await call("adjust", condition="quarantined", **move)
    with pytest.raises(BusinessRefusal, match="Only 0 quarantined units of A in N can be moved"):
        await call("adjust", condition="good", **move)


async def test_availability_is_per_article_and_warehouse_and_zero_for_the_unknown(call: StockCalls) -> None:
    await _reserve(call, "r1", _line("A", 4, "N"))
    reply = await call("availability", skus=["B", "A", "nothing", "A"])
    assert [(one.sku, one.on_hand, one.reserved, one.available) for one in reply.skus] == [
        ("B", 5, 0, 5), ("A", 16, 4, 12), ("nothing", 0, 0, 0)]  # fmt: skip
    assert [(one.sku, one.warehouse, one.available) for one in reply.levels] == [
        ("A", "N", 6), ("A", "S", 6), ("B", "S", 5)]  # fmt: skip


async def test_a_reservation_is_all_or_nothing(call: StockCalls) -> None:
    with pytest.raises(BusinessRefusal) as refused:
        await _reserve(call, "r1", _line("A", 16), _line("B", 6))
    assert refused.value.type.name == "insufficient-stock"
    assert refused.value.extra["lines"] == [
        {"sku": "A", "warehouse": None, "quantity": 16, "available": 16},
        {"sku": "B", "warehouse": None, "quantity": 6, "available": 5},
    ]
    assert (await call.available("A"), await call.available("B")) == (16, 5)


async def test_an_id_whose_reservation_was_refused_is_free(call: StockCalls) -> None:
    with pytest.raises(BusinessRefusal):
        await _reserve(call, "r1", _line("B", 6))
    assert (await _reserve(call, "r1", _line("B", 5))).state == "reserved"


async def test_a_partial_reservation_holds_what_there_is(call: StockCalls) -> None:
    reply = await _reserve(call, "r1", _line("A", 2), _line("B", 9), _line("C", 1), partial=True)
    assert [line.reserved for line in reply.lines] == [2, 5, 0]
    with pytest.raises(BusinessRefusal):
        await _reserve(call, "r2", _line("B", 1), partial=True)


async def test_a_reservation_answers_when_it_expires_and_who_serves_it(call: StockCalls) -> None:
    reply = await _reserve(call, "r1", _line("A", 12), _line("B", 1, "S"))
    assert reply.state == "reserved"
    assert reply.expires_at == START + timedelta(seconds=60)
    assert [[(part.warehouse, part.reserved) for part in line.allocations] for line in reply.lines] == [
        [("N", 10), ("S", 2)], [("S", 1)]]  # fmt: skip


async def test_the_same_request_again_has_the_same_answer_and_no_effect(
    call: StockCalls, clock: ManualClock
) -> None:
    first = await _reserve(call, "r1", _line("A", 12), _line("B", 1))
    clock.advance(10)
    assert await _reserve(call, "r1", _line("B", 1), _line("A", 12), ttl_s=900) == first
    assert await call.available("A") == 4


@pytest.mark.parametrize(
    "other", [{"lines": [_line("A", 2)]}, {"lines": [_line("A", 1, "N")]}, {"partial": True}]
)
async def test_an_id_in_use_for_something_else_is_refused(call: StockCalls, other: dict[str, Any]) -> None:
    await _reserve(call, "r1", _line("A", 1))
    with pytest.raises(BusinessRefusal) as refused:
        await _reserve(call, "r1", **{"lines": [_line("A", 1)], **other})
    assert refused.value.type.name == "reservation-exists"


@pytest.mark.parametrize("ending", ["confirm", "release", "expiry"])
async def test_repeating_a_reservation_that_has_ended_does_not_pretend_to_hold(
    call: StockCalls, clock: ManualClock, ending: str
) -> None:
    await _reserve(call, "r1", _line("A", 1))
    if ending == "expiry":
        clock.advance(60)
    else:
        await call(ending, reservation_id="r1")
    with pytest.raises(BusinessRefusal) as refused:
        await _reserve(call, "r1", _line("A", 1))
    assert refused.value.type.name == "reservation-closed"
    assert (
        refused.value.extra["state"]
        == {"confirm": "confirmed", "release": "released", "expiry": "expired"}[ending]
    )


async def test_expired_units_are_available_in_the_very_call_that_needs_them(
    call: StockCalls, clock: ManualClock, admin: asyncpg.Connection
) -> None:
    await _reserve(call, "r1", _line("A", 16))
    clock.advance(59)
    with pytest.raises(BusinessRefusal):
        await _reserve(call, "r2", _line("A", 1))
    clock.advance(1)
    assert await call.available("A") == 16
    assert (await _reserve(call, "r2", _line("A", 16))).state == "reserved"
    assert await unexplained(admin) == []


async def test_a_confirmation_takes_the_units_out_once(call: StockCalls) -> None:
    await _reserve(call, "r1", _line("A", 12))
    first = await call("confirm", reservation_id="r1")
    assert (first.state, first.lines[0].reserved, first.lines[0].confirmed) == ("confirmed", 0, 12)
    assert await call("confirm", reservation_id="r1") == first
    (total,) = (await call("availability", skus=["A"])).skus
    assert (total.on_hand, total.reserved, total.available) == (4, 0, 4)


async def test_a_partial_confirmation_releases_the_rest(call: StockCalls) -> None:
    await _reserve(call, "r1", _line("A", 8), _line("B", 2))
    some = {"reservation_id": "r1", "lines": [_line("A", 5)]}
    first = await call("confirm", **some)
    assert [(line.reserved, line.confirmed) for line in first.lines] == [(0, 5), (0, 0)]
    assert await call("confirm", **some) == first
    with pytest.raises(BusinessRefusal):
        await call("confirm", reservation_id="r1")
    reply = await call("availability", skus=["A", "B"])
    assert [(one.on_hand, one.reserved) for one in reply.skus] == [(11, 0), (5, 0)]


async def test_no_more_than_is_held_can_be_confirmed(call: StockCalls) -> None:
    await _reserve(call, "r1", _line("A", 3), _line("B", 2))
    with pytest.raises(CallerFault) as fault:
        await call("confirm", reservation_id="r1", lines=[_line("A", 3), _line("B", 3)])
    assert [error.pointer for error in fault.value.errors] == ["/lines/1"]
    assert await call.available("A") == 13


async def test_a_release_gives_the_units_back_once(call: StockCalls) -> None:
    await _reserve(call, "r1", _line("A", 12))
    first = await call("release", reservation_id="r1")
    assert (first.state, first.lines[0].reserved) == ("released", 0)
    assert await call("release", reservation_id="r1") == first
    assert await call.available("A") == 16


async def test_releasing_an_expired_reservation_says_so(call: StockCalls, clock: ManualClock) -> None:
    await _reserve(call, "r1", _line("A", 12))
    clock.advance(60)
    assert (await call("release", reservation_id="r1")).state == "expired"


async def test_what_was_confirmed_cannot_be_released_nor_what_was_released_confirmed(
    call: StockCalls,
) -> None:
    await _reserve(call, "r1", _line("A", 1))
    await call("confirm", reservation_id="r1")
    await _reserve(call, "r2", _line("A", 1))
    await call("release", reservation_id="r2")
    for operation, id_ in (("release", "r1"), ("confirm", "r2")):
        with pytest.raises(BusinessRefusal) as refused:
            await call(operation, reservation_id=id_)
        assert refused.value.type.name == "reservation-closed"


async def test_an_extension_moves_the_expiry_and_never_shortens_it(
    call: StockCalls, clock: ManualClock
) -> None:
    await _reserve(call, "r1", _line("A", 16), ttl_s=60)
    clock.advance(59)
    assert (await call("extend", reservation_id="r1", ttl_s=60)).expires_at == START + timedelta(seconds=119)
    assert (await call("extend", reservation_id="r1", ttl_s=1)).expires_at == START + timedelta(seconds=119)
    clock.advance(59)
    assert await call.available("A") == 0
    clock.advance(1)
    assert await call.available("A") == 16


@pytest.mark.parametrize(("operation", "fields"), [("confirm", {}), ("extend", {"ttl_s": 60})])
async def test_an_expired_reservation_cannot_be_used(
    call: StockCalls, clock: ManualClock, operation: str, fields: dict[str, Any]
) -> None:
    await _reserve(call, "r1", _line("A", 1))
    clock.advance(60)
    with pytest.raises(BusinessRefusal) as refused:
        await call(operation, reservation_id="r1", **fields)
    assert refused.value.type.name == "reservation-closed"


@pytest.mark.parametrize("operation", ["confirm", "release", "extend"])
async def test_an_unknown_reservation_is_not_found(call: StockCalls, operation: str) -> None:
    with pytest.raises(CallerFault) as fault:
        await call(operation, reservation_id="r9", **({"ttl_s": 60} if operation == "extend" else {}))
    assert fault.value.type.name == "reservation-not-found"


@pytest.mark.parametrize(
    ("operation", "fields"), [("confirm", {}), ("release", {}), ("extend", {"ttl_s": 60})]
)
async def test_a_line_freed_by_a_call_with_a_later_clock_stays_free(
    call: StockCalls,
    pool: asyncpg.Pool,
    account: str,
    admin: asyncpg.Connection,
    operation: str,
    fields: dict[str, Any],
) -> None:
    await _reserve(call, "r1", _line("A", 10, "N"), _line("B", 5, "S"))
    ahead = StockCalls(pool, ManualClock(START + timedelta(seconds=60)), account)
    await _reserve(ahead, "r2", _line("A", 10, "N"))
    if operation == "release":
        assert (await call("release", reservation_id="r1")).state == "expired"
    else:
        with pytest.raises(BusinessRefusal, match="expired"):
            await call(operation, reservation_id="r1", **fields)
    assert await unexplained(admin) == []


async def test_the_sweep_frees_what_nobody_touches(
    call: StockCalls, clock: ManualClock, account: str, admin: asyncpg.Connection
) -> None:
    async def reserved() -> Any:
        return await admin.fetchval("SELECT sum(reserved) FROM stock.level WHERE account_id = $1", account)

    await _reserve(call, "r1", _line("A", 16), _line("B", 5))
    await call.sweep()
    assert await reserved() == 21
    clock.advance(90)
    await call.sweep()
    assert await reserved() == 0
    expired_at = await admin.fetch(
        "SELECT DISTINCT occurred_at FROM stock.movement WHERE kind = 'expire' AND account_id = $1", account
    )
    assert [row["occurred_at"] for row in expired_at] == [START + timedelta(seconds=60)]
    assert await unexplained(admin) == []


async def test_one_sweep_frees_no_more_than_a_batch_and_the_oldest_first(
    call: StockCalls,
    clock: ManualClock,
    account: str,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 2)
    for n in range(3):
        await _reserve(call, f"r{n}", _line("A", 1), ttl_s=30 - n)
    clock.advance(30)

    async def held() -> list[str]:
        query = "SELECT reservation_id FROM stock.reservation_line WHERE state = 'held' AND account_id = $1"
        return [row["reservation_id"] for row in await admin.fetch(query, account)]

    await call.sweep()
    assert await held() == ["r0"]
    await call.sweep()
    assert await held() == []

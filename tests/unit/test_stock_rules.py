"""What an owner decides about its stock, and what that does to orders, promises and proposals."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import CallerFault, Problem
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.databases import DatabaseServer
from tests.stock_calls import START, StockCalls, create_account, unexplained

HOLD = {"enabled": True, "days": 7}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(scope="module")
def shared_database(database_server: DatabaseServer) -> Iterator[Database]:
    """One database for all tests of this file: each has an account of its own."""
    database = asyncio.run(database_server.create())
    yield database
    asyncio.run(database_server.drop(database))


@pytest.fixture
async def admin(shared_database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**shared_database.admin())
    yield connection
    await connection.close()


@pytest.fixture
async def call(
    shared_database: Database, admin: asyncpg.Connection, clock: ManualClock
) -> AsyncIterator[StockCalls]:
    """Calls of an account with 10 of A in N and 6 of A and 5 of B in S."""
    account = new_id("acct")
    await create_account(admin, account)
    async with asyncpg.create_pool(**shared_database.as_role(GATEWAY), min_size=1, max_size=1) as pool:
        calls = StockCalls(pool, clock, account)
        for sku, warehouse, quantity in (("A", "N", 10), ("A", "S", 6), ("B", "S", 5)):
            await calls.stock(sku, warehouse, quantity)
        yield calls


def _day(days: int) -> str:
    return (START.date() + timedelta(days=days)).isoformat()


def _line(sku: str, quantity: int, warehouse: str | None = None) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity, "warehouse": warehouse}


async def _reserve(call: StockCalls, id_: str, *lines: dict[str, Any], **fields: Any) -> Any:
    return await call("reserve", **{"reservation_id": id_, "lines": list(lines), "ttl_s": 60, **fields})


async def _refused(call: StockCalls, operation: str, **fields: Any) -> Problem:
    with pytest.raises(Problem) as refused:
        await call(operation, **fields)
    return refused.value


async def _safe(call: StockCalls, units: int, sku: str = "A", warehouse: str = "N", **rules: Any) -> Any:
    return await call(
        "configure", levels=[{"sku": sku, "warehouse": warehouse, "safety_stock": units}], **rules
    )


async def test_safety_stock_is_on_hand_and_available_but_not_promised(call: StockCalls) -> None:
    await _safe(call, 4)
    (level, _) = (await call("availability", skus=["A"])).levels
    assert (level.on_hand, level.available, level.safety_stock, level.promisable) == (10, 10, 4, 6)
    assert (await _refused(call, "reserve", reservation_id="r1", lines=[_line("A", 7, "N")], ttl_s=60)).extra[
        "lines"
    ] == [{"sku": "A", "warehouse": "N", "quantity": 7, "available": 6}]
    assert (await _reserve(call, "r1", _line("A", 6, "N"))).state == "reserved"


async def test_safety_stock_is_promised_where_the_owner_allows_it(call: StockCalls) -> None:
    await _safe(call, 4, promise_safety_stock=True)
    assert (await _reserve(call, "r1", _line("A", 10, "N"))).state == "reserved"


async def test_new_orders_are_held_below_the_safety_stock_with_nothing_inbound(call: StockCalls) -> None:
    await _safe(call, 12, promise_safety_stock=True, hold=HOLD)
    refused = await _refused(
        call, "reserve", reservation_id="r1", lines=[_line("B", 1), _line("A", 1, "N")], ttl_s=60
    )
    assert refused.type.name == "orders-held"
    assert refused.detail == (
        "/lines/1: new orders of A from N wait: 10 of its safety stock of 12 are available, and no supply is expected "
        "within 7 days."
    )
    assert refused.extra["lines"] == [
        {
            "line": 1,
            "sku": "A",
            "warehouse": "N",
            "quantity": 1,
            "available": 10,
            "safety_stock": 12,
            "next_supply_on": None,
            "ends_with": {"available": 12, "supply_expected_by": _day(7)},
        }
    ]
    assert [level.held for level in (await call("availability", skus=["A"])).levels] == [True, False]
    assert (await _reserve(call, "r2", _line("A", 6))).lines[0].allocations[0].warehouse == "S"


@pytest.mark.parametrize(("days", "end"), [(0, "reserved"), (7, "reserved"), (8, "held"), (-1, "held")])
async def test_a_supply_within_the_days_ends_the_hold_and_one_that_is_late_or_later_does_not(
    call: StockCalls, days: int, end: str
) -> None:
    await _safe(call, 12, promise_safety_stock=True, hold=HOLD)
    await call("expect", reference="PO-1", sku="A", warehouse="N", quantity=1, expected_on=_day(days))
    order = {"reservation_id": "r1", "lines": [_line("A", 1, "N")], "ttl_s": 60}
    if end == "reserved":
        assert (await call("reserve", **order)).state == "reserved"
    else:
        refused = await _refused(call, "reserve", **order)
        assert refused.type.name == "orders-held"
        assert refused.extra["lines"][0]["next_supply_on"] == (_day(8) if days == 8 else None)


async def test_units_that_arrive_or_the_owners_switch_end_the_hold(call: StockCalls) -> None:
    order = [_line("A", 1, "N")]
    await _safe(call, 12, promise_safety_stock=True, hold=HOLD)
    await call("configure", hold={**HOLD, "enabled": False})
    assert (await _reserve(call, "r1", *order)).state == "reserved"
    await call("configure", hold=HOLD)
    assert (
        await _refused(call, "reserve", reservation_id="r2", lines=order, ttl_s=60)
    ).type.name == "orders-held"
    await call.stock("A", "N", 3)
    assert (await _reserve(call, "r2", *order)).state == "reserved"


async def test_a_repetition_is_answered_while_new_orders_are_held(call: StockCalls) -> None:
    first = await _reserve(call, "r1", _line("A", 1, "N"))
    await _safe(call, 12, hold=HOLD)
    assert await _reserve(call, "r1", _line("A", 1, "N")) == first


async def test_without_a_hold_rule_days_change_nothing(call: StockCalls) -> None:
    await _safe(call, 12)
    refused = await _refused(call, "reserve", reservation_id="r1", lines=[_line("A", 1, "N")], ttl_s=60)
    assert refused.type.name == "insufficient-stock"


async def test_the_priority_rule_takes_the_owners_list_in_order_and_says_so(call: StockCalls) -> None:
    await call("configure", sourcing={"rule": "priority", "priority": ["S", "N"]})
    reply = await _reserve(call, "r1", _line("A", 7))
    assert [(part.warehouse, part.reserved) for part in reply.lines[0].allocations] == [("N", 1), ("S", 6)]
    assert (reply.sourcing.rule, reply.sourcing.why) == (
        "priority",
        "Warehouses in the order of the owner's list (S, N), then the fullest.",
    )


async def test_one_warehouse_with_everything_is_preferred_and_named(call: StockCalls) -> None:
    reply = await _reserve(call, "r1", _line("A", 2), _line("B", 2))
    assert (reply.sourcing.rule, reply.sourcing.why) == ("single_warehouse", "S has everything.")
    assert await call("confirm", reservation_id="r1") == await call("confirm", reservation_id="r1")


async def test_the_rule_of_fewest_splits_finds_the_smallest_set(call: StockCalls) -> None:
    for sku, warehouse, units in (("C", "N", 9), ("C", "W", 5), ("D", "W", 5), ("E", "S", 5)):
        await call.stock(sku, warehouse, units)
    await call("configure", sourcing={"rule": "fewest_splits"})
    reply = await _reserve(call, "r1", _line("C", 4), _line("D", 4), _line("E", 4))
    assert {part.warehouse for line in reply.lines for part in line.allocations} == {"S", "W"}
    assert reply.sourcing.why == "No fewer than these 2 warehouses have everything: W, S."


async def test_units_on_hand_change_their_condition_in_one_step(
    call: StockCalls, admin: asyncpg.Connection
) -> None:
    move = {"sku": "A", "warehouse": "N", "reason": "found damaged", "moved": True}
    level = await call("adjust", quantity=3, condition="quarantined", **move)
    assert (level.on_hand, level.quarantined, level.available) == (10, 3, 7)
    refused = await _refused(call, "adjust", quantity=4, condition="good", **move)
    assert refused.extra["lines"][0]["available"] == 3
    await _reserve(call, "r1", _line("A", 6, "N"))
    refused = await _refused(call, "adjust", quantity=2, condition="quarantined", **move)
    assert refused.extra["lines"][0]["available"] == 1
    level = await call("adjust", quantity=2, condition="good", **move)
    assert (level.quarantined, level.available) == (1, 3)
    assert await unexplained(admin) == []


async def test_promises_count_every_unit_once_and_late_supplies_not_at_all(call: StockCalls) -> None:
    await _safe(call, 12)
    await _reserve(call, "r1", _line("A", 4, "S"))
    for reference, warehouse, units, days in (
        ("late", "N", 50, -1), ("p1", "N", 5, 2), ("p2", "N", 3, 2), ("p3", "S", 4, 3), ("far", "S", 9, 30)):  # fmt: skip
        await call(
            "expect",
            reference=reference,
            sku="A",
            warehouse=warehouse,
            quantity=units,
            expected_on=_day(days),
        )
    reply = await call("availability", skus=["A"], horizon_days=10)
    series = {
        level.warehouse: [(one.on.isoformat(), one.inbound, one.promisable) for one in level.promises]
        for level in reply.levels
    }
    assert series == {
        "N": [(_day(0), 0, 0), (_day(2), 8, 6)],
        "S": [(_day(0), 0, 2), (_day(3), 4, 6)],
    }
    assert [(one.on.isoformat(), one.promisable) for one in reply.skus[0].promises] == [
        (_day(0), 2), (_day(2), 8), (_day(3), 12)]  # fmt: skip


async def test_a_supply_is_received_in_parts_changed_and_cancelled(call: StockCalls) -> None:
    supply = {"reference": "PO-1", "sku": "A", "warehouse": "N", "expected_on": _day(2)}
    assert (await call("expect", quantity=8, **supply)).open == 8
    await call("adjust", sku="A", warehouse="N", quantity=5, reason="receipt", supply="PO-1")
    assert (await call("expect", quantity=9, **supply)).open == 4
    await call("adjust", sku="A", warehouse="N", quantity=6, reason="receipt", supply="PO-1")
    reply = await call("expect", quantity=9, **supply)
    assert (reply.received, reply.open) == (11, 0)
    assert (await call("expect", quantity=0, **supply)).open == 0
    assert (await call("availability", skus=["A"])).levels[0].on_hand == 21


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"quantity": 1, "supply": "none"}, "/supply"),
        ({"quantity": -1, "supply": "none"}, "/quantity"),
        ({"quantity": -1, "moved": True}, "/quantity"),
        ({"quantity": 1, "moved": True, "supply": "none"}, "/supply"),
    ],
)
async def test_an_adjustment_that_makes_no_sense_is_the_callers_mistake(
    call: StockCalls, fields: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(CallerFault) as fault:
        await call("adjust", sku="A", warehouse="N", reason="x", **fields)
    assert [error.pointer for error in fault.value.errors] == [pointer]


async def test_movements_come_newest_first_page_by_page_and_none_twice(call: StockCalls) -> None:
    for n in range(5):
        await _reserve(call, f"r{n}", _line("A", 1, "N"))
    pages, after = [], None
    while True:
        page = await call("movements", limit=3, **({"after": after} if after else {}))
        pages.append([one.reservation_id or one.sku for one in page.data])
        after = page.next
        if after is None:
            break
    assert pages == [["r4", "r3", "r2"], ["r1", "r0", "B"], ["A", "A"]]


@pytest.mark.parametrize(
    ("filters", "kinds"),
    [
        ({"sku": "B"}, ["reserve", "adjust"]),
        ({"warehouse": "N"}, ["release", "reserve", "adjust"]),
        ({"kind": "confirm"}, ["confirm"]),
        ({"reservation_id": "r2"}, ["confirm", "reserve"]),
        ({"since": "2026-11-02T08:00:01Z"}, ["confirm", "release"]),
        ({"until": "2026-11-02T08:00:01Z", "kind": "reserve"}, ["reserve", "reserve", "reserve"]),
    ],
)
async def test_movements_are_found_by_what_they_are(
    call: StockCalls, clock: ManualClock, filters: dict[str, Any], kinds: list[str]
) -> None:
    await _reserve(call, "r1", _line("A", 1, "N"))
    await _reserve(call, "r2", _line("A", 1, "S"))
    await _reserve(call, "r3", _line("B", 1))
    clock.advance(1)
    await call("release", reservation_id="r1")
    await call("confirm", reservation_id="r2")
    assert [one.kind for one in (await call("movements", **filters)).data] == kinds


async def test_a_proposal_follows_from_every_figure_and_explains_them(
    call: StockCalls, clock: ManualClock
) -> None:
    rule = {"minimum": 8, "maximum": 30, "pack_size": 4, "minimum_order": 6, "lead_time_days": 7}
    await call("configure", levels=[{"sku": "A", "warehouse": "N", "replenishment": rule}])
    await _reserve(call, "sold", _line("A", 4, "N"))
    await call("confirm", reservation_id="sold")
    clock.advance(86_400)
    await _reserve(call, "held", _line("A", 1, "N"))
    await call("adjust", sku="A", warehouse="N", quantity=1, reason="x", condition="quarantined")
    await call("expect", reference="PO", sku="A", warehouse="N", quantity=2, expected_on=_day(-3))
    (one,) = (await call("replenish", warehouse="N", demand_days=14)).proposals
    assert (one.on_hand, one.quarantined, one.committed, one.inbound, one.sold) == (7, 1, 1, 2, 4)
    assert (one.lead_time_demand, one.projected, one.quantity, one.projected_after) == (2, 5, 24, 29)
    assert one.why == (
        "5 units are free: 7 on hand, less 1 quarantined and 1 reserved.",
        "2 units are on order.",
        "4 units were sold in 14 days: 2 more in the 7 days until an order arrives, rounded up.",
        "That leaves 5, below the minimum of 8.",
        "6 packs of 4 bring it to 29, as near to the maximum of 30 as whole packs come; the smallest order is 8.",
    )
    await call("expect", reference="PO-2", sku="A", warehouse="N", quantity=24, expected_on=_day(9))
    assert (await call("replenish", warehouse="N", demand_days=14)).proposals[0].quantity == 0
    assert (await call("replenish", warehouse="N", skus=["B"])).proposals == ()
    assert (await call("replenish", warehouse="S")).proposals == ()


async def test_rules_stay_as_they_are_until_they_are_set_again_and_every_setting_is_kept(
    call: StockCalls,
) -> None:
    await call("configure", sourcing={"rule": "priority", "priority": ["N"]})
    await call("configure", hold={"enabled": True, "days": 3})
    await _safe(call, 5)
    reply = await call("configure", skus=["A"])
    assert (reply.sourcing.priority, reply.hold.days, reply.promise_safety_stock) == (("N",), 3, False)
    assert [(one.warehouse, one.safety_stock) for one in reply.levels] == [("N", 5), ("S", 0)]
    assert [change.document for change in reply.changes] == [
        {"levels": [{"sku": "A", "warehouse": "N", "safety_stock": 5, "replenishment": None}]},
        {"hold": {"enabled": True, "days": 3}},
        {"sourcing": {"rule": "priority", "priority": ["N"]}},
    ]


@pytest.mark.parametrize(
    ("rules", "pointer"),
    [
        ({"levels": [{"sku": "A", "warehouse": "N"}] * 2}, "/levels/1"),
        (
            {
                "levels": [
                    {
                        "sku": "A",
                        "warehouse": "N",
                        "replenishment": {"minimum": 5, "maximum": 9, "pack_size": 5},
                    }
                ]
            },
            "/levels/0/replenishment/maximum",
        ),
        ({"channels": [{"channel": "c", "grantee": "acct_b", "skus": "*", "quota": 1}] * 2}, "/channels/1"),
    ],
)
async def test_rules_that_contradict_themselves_are_refused_with_their_place(
    call: StockCalls, rules: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(CallerFault) as fault:
        await call("configure", **rules)
    assert [error.pointer for error in fault.value.errors] == [pointer]
    assert (await call("configure")).changes == ()


@pytest.mark.parametrize(
    ("field", "moment"), [("since", "0001-01-01T00:00:00+14:00"), ("until", "9999-12-31T23:59:59-14:00")]
)
async def test_a_moment_that_is_not_in_the_calendar_is_the_callers_mistake(
    call: StockCalls, field: str, moment: str
) -> None:
    with pytest.raises(CallerFault) as fault:
        await call("movements", **{field: moment})
    assert [error.pointer for error in fault.value.errors] == [f"/{field}"]

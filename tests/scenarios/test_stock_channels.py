"""Stock that its owner lends: through a channel, within its quota, and nothing else of it is seen or touched."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.problem import BusinessRefusal, CallerFault, Problem
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.stock_calls import START, StockCalls, create_account, oversold, unexplained

LENT = {"owner": "acct_a", "channel": "dealer"}


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(**database.as_role(GATEWAY), min_size=4, max_size=8) as pool:
        yield pool


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
async def calls(admin: asyncpg.Connection, pool: asyncpg.Pool, clock: ManualClock) -> dict[str, StockCalls]:
    """The owner a has 50 of T-1 in N, 50 in S and 9 of X; b may have 20 of T-* from N; c has nothing granted."""
    for name in "abc":
        await create_account(admin, f"acct_{name}")
    found = {name: StockCalls(pool, clock, f"acct_{name}") for name in "abc"}
    for sku, warehouse, units in (("T-1", "N", 50), ("T-1", "S", 50), ("X", "N", 9)):
        await found["a"].stock(sku, warehouse, units)
    await _grant(found["a"])
    return found


async def _grant(owner: StockCalls, **changed: Any) -> Any:
    rule = {"channel": "dealer", "grantee": "acct_b", "skus": "T-*", "warehouse": "N", "quota": 20}
    return await owner("configure", channels=[{**rule, **changed}])


def _order(id_: str, quantity: int, sku: str = "T-1", **fields: Any) -> dict[str, Any]:
    return {
        "reservation_id": id_,
        "lines": [{"sku": sku, "quantity": quantity}],
        "ttl_s": 60,
        **LENT,
        **fields,
    }


async def _refused(call: StockCalls, operation: str, **fields: Any) -> Problem:
    with pytest.raises(Problem) as refused:
        await call(operation, **fields)
    return refused.value


async def test_a_grantee_reserves_and_confirms_the_owners_units_within_its_quota(
    calls: dict[str, StockCalls], admin: asyncpg.Connection
) -> None:
    reply = await calls["b"]("reserve", **_order("r1", 12))
    assert (reply.owner, reply.channel) == ("acct_a", "dealer")
    assert [part.warehouse for part in reply.lines[0].allocations] == ["N"]
    refused = await _refused(calls["b"], "reserve", **_order("r2", 9))
    assert refused.type.name == "quota-exceeded"
    assert refused.extra == {"channel": "dealer", "quota": 20, "left": 8, "quantity": 9}
    await calls["b"]("confirm", reservation_id="r1")
    assert (await _refused(calls["b"], "reserve", **_order("r2", 9))).extra["left"] == 8
    assert (await calls["b"]("reserve", **_order("r2", 8))).state == "reserved"
    assert (await calls["a"]("availability", skus=["T-1"])).skus[0].available == 80
    assert await unexplained(admin) == []
    assert await oversold(admin) == []


async def test_what_is_released_or_expires_is_the_quotas_again(
    calls: dict[str, StockCalls], clock: ManualClock
) -> None:
    await calls["b"]("reserve", **_order("r1", 20))
    await calls["b"]("release", reservation_id="r1")
    await calls["b"]("reserve", **_order("r2", 20))
    clock.advance(60)
    assert (await calls["b"]("reserve", **_order("r3", 20))).state == "reserved"


async def test_a_partial_order_gets_what_is_left_of_the_quota(calls: dict[str, StockCalls]) -> None:
    reply = await calls["b"]("reserve", **_order("r1", 30, partial=True))
    assert reply.lines[0].reserved == 20
    assert (await _refused(calls["b"], "reserve", **_order("r2", 1, partial=True))).extra["left"] == 0


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("c", {}),
        ("b", {"channel": "other"}),
        ("b", {"owner": "acct_c"}),
        ("b", {"owner": "acct_none"}),
        ("b", {"channel": None}),
        ("b", {"lines": [{"sku": "X", "quantity": 1}]}),
        ("b", {"lines": [{"sku": "T-1", "quantity": 1, "warehouse": "S"}]}),
        ("b", {"owner": None}),
    ],
)
async def test_without_a_channel_that_covers_it_stock_of_others_is_refused(
    calls: dict[str, StockCalls], name: str, fields: dict[str, Any]
) -> None:
    refused = await _refused(calls[name], "reserve", **{**_order("r1", 1), **fields})
    assert isinstance(refused, BusinessRefusal)
    assert refused.type.name == "stock-not-granted"


async def test_an_owner_without_a_channel_and_an_account_that_is_not_there_are_refused_alike(
    calls: dict[str, StockCalls],
) -> None:
    words = {
        owner: (await _refused(calls["c"], "reserve", **_order("r1", 1, owner=owner))).detail.replace(
            owner, "…"
        )
        for owner in ("acct_a", "acct_b", "acct_none")
    }
    assert len(set(words.values())) == 1


async def test_through_a_channel_one_sees_what_one_can_have_and_nothing_else(
    calls: dict[str, StockCalls],
) -> None:
    await calls["a"](
        "reserve", reservation_id="own", lines=[{"sku": "T-1", "quantity": 35, "warehouse": "N"}], ttl_s=60
    )
    reply = await calls["b"]("availability", skus=["T-1"], horizon_days=5, **LENT)
    assert [(one.warehouse, one.on_hand, one.reserved, one.available) for one in reply.levels] == [
        ("N", 15, 0, 15)
    ]
    assert (reply.skus[0].promisable, reply.skus[0].safety_stock) == (15, 0)
    assert (await calls["b"]("availability", skus=["T-1"])).levels == ()
    assert (await _refused(calls["c"], "availability", skus=["T-1"], **LENT)).type.name == "stock-not-granted"


async def test_of_the_owners_supplies_a_channel_shows_what_they_add_to_what_one_can_have(
    calls: dict[str, StockCalls],
) -> None:
    """T-1 in N: 50 units, safety stock 60; 500 come tomorrow and 7 more the day after. The quota is 20."""
    level = {"sku": "T-1", "warehouse": "N", "safety_stock": 60}
    await calls["a"]("configure", levels=[level])
    for days, units in ((1, 500), (2, 7)):
        day = (START.date() + timedelta(days=days)).isoformat()
        await calls["a"](
            "expect", reference=f"PO-{days}", sku="T-1", warehouse="N", quantity=units, expected_on=day
        )
    seen = await calls["b"]("availability", skus=["T-1"], horizon_days=9, **LENT)
    own = await calls["a"]("availability", skus=["T-1"], horizon_days=9)
    for found in (seen.levels[0], seen.skus[0]):
        assert [(one.inbound, one.promisable) for one in found.promises] == [(0, 0), (20, 20), (0, 20)]
    (north, _) = own.levels
    assert [(one.inbound, one.promisable) for one in north.promises] == [(0, 0), (500, 490), (7, 497)]


async def test_a_channel_that_ended_takes_no_new_orders_and_keeps_those_it_has(
    calls: dict[str, StockCalls], admin: asyncpg.Connection
) -> None:
    await calls["b"]("reserve", **_order("r1", 5))
    await calls["b"]("reserve", **_order("r2", 5))
    await _grant(calls["a"], active=False)
    assert (await _refused(calls["b"], "reserve", **_order("r3", 1))).type.name == "stock-not-granted"
    assert (await calls["b"]("confirm", reservation_id="r1")).state == "confirmed"
    assert (await calls["b"]("extend", reservation_id="r2", ttl_s=90)).state == "reserved"
    assert (await calls["b"]("release", reservation_id="r2")).state == "released"
    assert await unexplained(admin) == []


async def test_a_channel_cannot_pass_to_another_account(calls: dict[str, StockCalls]) -> None:
    with pytest.raises(CallerFault) as fault:
        await _grant(calls["a"], grantee="acct_c")
    assert [error.pointer for error in fault.value.errors] == ["/channels/0/grantee"]


async def test_owners_divide_their_own_stock_into_channels_too(calls: dict[str, StockCalls]) -> None:
    await _grant(calls["a"], channel="shop", grantee="acct_a", skus="*", warehouse=None, quota=3)
    reply = await calls["a"]("reserve", **_order("r1", 3, owner=None, channel="shop"))
    assert (reply.owner, reply.channel) == (None, "shop")
    refused = await _refused(calls["a"], "reserve", **_order("r2", 1, owner=None, channel="shop"))
    assert refused.type.name == "quota-exceeded"


async def test_both_sides_read_the_channel_and_the_movements_made_through_it(
    calls: dict[str, StockCalls],
) -> None:
    await calls["b"]("reserve", **_order("r1", 5))
    await calls["b"]("confirm", reservation_id="r1", lines=[{"sku": "T-1", "quantity": 3}])
    (granted,) = (await calls["a"]("configure")).granted
    (received,) = (await calls["b"]("configure")).received
    assert granted == received
    assert (granted.sold, granted.reserved, granted.left) == (3, 0, 17)
    seen = (await calls["b"]("movements", owner="acct_a")).data
    assert [(one.kind, one.on_hand_change, one.party) for one in seen] == [
        ("confirm", -3, "acct_b"),
        ("reserve", 0, "acct_b"),
    ]
    assert len((await calls["a"]("movements")).data) == 5
    assert (await calls["c"]("movements", owner="acct_a")).data == ()


async def test_of_many_callers_at_once_a_channel_serves_its_quota_and_no_more(
    calls: dict[str, StockCalls], admin: asyncpg.Connection
) -> None:
    """Half of them confirm at once, the owner sells from the same level meanwhile, and a sweep runs in between."""

    async def order(n: int) -> str:
        call = calls["a"] if n % 4 == 0 else calls["b"]
        own: dict[str, Any] = {"owner": None, "channel": None} if n % 4 == 0 else {}
        fields = _order(f"r{n}", 1, **own)
        try:
            await call("reserve", **fields)
            if n % 2:
                await call("confirm", reservation_id=f"r{n}")
            if n % 20 == 0:
                await call.sweep()
        except BusinessRefusal as refusal:
            return refusal.type.name
        return "own" if n % 4 == 0 else "lent"

    ends = Counter(await asyncio.gather(*(order(n) for n in range(80))))
    assert ends == {"lent": 20, "own": 20, "quota-exceeded": 40}
    assert await unexplained(admin) == []
    assert await oversold(admin) == []


# What each party sees in the database itself, whatever it asks: rows of level, channel, policy, supply, line, movement.
_SEEN = """
    SELECT (SELECT count(*) FROM stock.level WHERE account_id = 'acct_a') AS levels,
           (SELECT count(*) FROM stock.channel) AS channels,
           (SELECT count(*) FROM stock.policy) AS policies,
           (SELECT count(*) FROM stock.supply) AS supplies,
           (SELECT count(*) FROM stock.reservation_line) AS lines,
           (SELECT count(*) FROM stock.movement) AS movements,
           (SELECT count(*) FROM stock.rule_change) AS changes
"""


async def test_the_database_admits_a_grantee_to_exactly_the_lent_rows(
    calls: dict[str, StockCalls], pool: asyncpg.Pool
) -> None:
    await calls["a"]("configure", hold={"enabled": True})
    for sku in ("T-1", "X"):
        await calls["a"](
            "expect", reference="PO", sku=sku, warehouse="N", quantity=5, expected_on="2026-12-01"
        )
    await calls["a"]("reserve", reservation_id="own", lines=[{"sku": "T-1", "quantity": 1}], ttl_s=60)
    await calls["b"]("reserve", **_order("r1", 1))

    async def seen(account: str) -> tuple[int, ...]:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', $1, true)", account)
            row = await connection.fetchrow(_SEEN)
            assert row is not None
            return tuple(row)

    assert await seen("acct_a") == (3, 1, 1, 2, 2, 5, 4)
    assert await seen("acct_b") == (1, 1, 1, 1, 1, 1, 0)
    assert await seen("acct_c") == await seen("acct_none") == await seen("") == (0,) * 7
    await _grant(calls["a"], active=False)
    assert await seen("acct_b") == (1, 1, 0, 0, 1, 1, 0)
    await calls["b"]("release", reservation_id="r1")
    assert await seen("acct_b") == (0, 1, 0, 0, 1, 2, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock.level SET on_hand = on_hand + 1 WHERE account_id = 'acct_a'",
        "UPDATE stock.level SET quarantined = 1 WHERE account_id = 'acct_a'",
        "UPDATE stock.level SET safety_stock = 1 WHERE account_id = 'acct_a'",
        "UPDATE stock.channel SET quota = 1000",
        "UPDATE stock.channel SET sold = -1",
        "UPDATE stock.channel SET sku_pattern = '*'",
        "UPDATE stock.policy SET holds_orders = false",
        "UPDATE stock.supply SET quantity = 1000",
        "INSERT INTO stock.level (account_id, environment, sku, warehouse) VALUES ('acct_a', 'live', 'T-9', 'N')",
        "INSERT INTO stock.channel (account_id, environment, channel, grantee_id, sku_pattern, quota) "
        "VALUES ('acct_a', 'live', 'more', 'acct_b', '*', 9)",
        "INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, reason, call_id, occurred_at) "
        "VALUES ('acct_a', 'live', 'T-1', 'N', 'adjust', 'x', gen_random_uuid(), now())",
        "INSERT INTO stock.movement (account_id, party_id, environment, sku, warehouse, kind, reason, call_id, occurred_at) "
        "VALUES ('acct_a', 'acct_b', 'live', 'X', 'N', 'adjust', 'x', gen_random_uuid(), now())",
    ],
)
async def test_the_database_lets_a_grantee_change_nothing_but_what_it_reserves(
    calls: dict[str, StockCalls], pool: asyncpg.Pool, statement: str
) -> None:
    await calls["a"]("configure", hold={"enabled": True})
    await calls["a"]("expect", reference="PO", sku="T-1", warehouse="N", quantity=5, expected_on="2026-12-01")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', 'acct_b', true)")
        with pytest.raises(asyncpg.PostgresError, match="row-level security"):
            async with connection.transaction():
                await connection.execute(statement)


async def test_nothing_of_a_reply_to_a_grantee_names_another_grantee(calls: dict[str, StockCalls]) -> None:
    await _grant(calls["a"], channel="rival", grantee="acct_c", quota=9)
    await calls["c"]("reserve", **_order("rivals-order", 9, channel="rival"))
    replies = [
        await calls["b"]("configure"),
        await calls["b"]("availability", skus=["T-1"], **LENT),
        await calls["b"]("movements", owner="acct_a"),
        await calls["b"]("reserve", **_order("r1", 1)),
    ]
    for reply in replies:
        text = msgspec.json.encode(reply)
        assert b"acct_c" not in text
        assert b"rival" not in text

"""Limits that are money: a call is held to its quota, budget and credit, and what it does not use is free again."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from billing.flow import Flow
from catalog.accounts.application import create_application, create_cost_centre
from catalog.plan import most_for_one_call, parse_price
from catalog.vocabulary.clock import from_ns
from tests.allowances import budget, grant, nothing_held, publish_quota, standing, until
from tests.gateways import BERLIN, RunningGateway

_STOCKED = {"sku": "A", "warehouse": "W1", "quantity": 1, "reason": "count"}


def now_of(gateway: RunningGateway) -> datetime:
    return from_ns(gateway.clock.now_ns())


def statuses(replies: list[httpx.Response]) -> list[int]:
    return [reply.status_code for reply in replies]


async def test_a_hard_quota_admits_exactly_its_calls_and_shows_the_arithmetic(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    await publish_quota(gateway, 5)
    key = await gateway.create_key(await gateway.open_account())
    replies = [await gateway.call(key, "address/validate", BERLIN) for _ in range(7)]
    assert statuses(replies) == [200] * 5 + [429] * 2
    problem = replies[-1].json()
    assert problem["type"] == "/problems/quota-exhausted"
    assert problem["allowance"].pop("resets_at").endswith("T16:00:00Z"), "midnight in Shanghai"
    assert problem["allowance"] == {
        "kind": "quota",
        "subject": "address/validate",
        "unit": "calls",
        "limit": "5",
        "used": "5",
        "reserved": "0",
        "remaining": "0",
        "needs": "1",
    }
    assert int(replies[-1].headers["retry-after"]) > 0
    assert problem["detail"].startswith(
        "The quota of address/validate for each account and month is 5 calls: 5 used, 0 reserved, 0 remaining; "
        "this call needs 1. It begins anew at "
    )
    assert "ask for a larger quota" in problem["remedy"]
    other = await gateway.call(key, "address/parse", {"text": "Invalidenstr. 116, 10115 Berlin"})
    assert other.status_code == 200, "each operation has a quota of its own"


async def test_a_quota_of_a_service_is_one_for_all_its_operations_and_one_of_an_application_its_own(
    gateway: RunningGateway,
) -> None:
    await publish_quota(gateway, 3, counts="service", per="application", period="day")
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    async with gateway._operator() as connection:
        second = await create_application(connection, opened.account, "second", "test", now_of(gateway))
    others = await gateway.create_key(msgspec.structs.replace(opened, application=second))
    text = {"text": "Invalidenstr. 116, 10115 Berlin"}
    replies = [await gateway.call(key, "address/validate", BERLIN) for _ in range(2)]
    replies += [await gateway.call(key, "address/parse", text) for _ in range(2)]
    assert statuses(replies) == [200, 200, 200, 429]
    assert (await gateway.call(others, "address/parse", text)).status_code == 200


async def test_what_is_no_admitted_call_gives_its_unit_back(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    await publish_quota(gateway, 4, "stock", counts="service")
    key = await gateway.create_key(await gateway.open_account())
    malformed = await gateway.call(key, "stock/adjust", {"sku": 1}, Idempotency_Key="bad")
    assert malformed.status_code == 400
    first = await gateway.call(key, "stock/adjust", _STOCKED, Idempotency_Key="one")
    replayed = await gateway.call(key, "stock/adjust", _STOCKED, Idempotency_Key="one")
    assert (first.status_code, replayed.headers["idempotent-replayed"]) == (200, "true")
    reservation = {"reservation_id": "R", "lines": [{"sku": "A", "quantity": 50}], "ttl_s": 60}
    declined = await gateway.call(key, "stock/reserve", reservation)
    assert declined.status_code == 409
    assert (await gateway.call(key, "stock/adjust", _STOCKED, Idempotency_Key="two")).status_code == 200
    await until(lambda: nothing_held(admin))
    assert await standing(admin, "quota") == (3, 0), "two that went well and one that was declined"
    assert (await gateway.call(key, "stock/adjust", _STOCKED, Idempotency_Key="3")).status_code == 200
    assert (await gateway.call(key, "stock/adjust", _STOCKED, Idempotency_Key="4")).status_code == 429


async def test_what_the_provider_failed_costs_no_unit_and_no_money(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    opened = await gateway.open_account()
    await grant(gateway.database, opened.account, "1.00", now_of(gateway))
    await publish_quota(gateway, 2, "stock", counts="service")
    key = await gateway.create_key(opened)
    await admin.execute("ALTER TABLE stock.level RENAME TO level_away")
    failed = await gateway.call(key, "stock/adjust", _STOCKED, Idempotency_Key="one")
    assert failed.status_code == 500
    await admin.execute("ALTER TABLE stock.level_away RENAME TO level")
    await until(lambda: nothing_held(admin))
    assert await standing(admin, "quota") == (0, 0)
    assert await standing(admin, "credit") == (0, 0)


async def test_prepaid_credit_is_spent_to_the_last_call_and_a_grant_opens_it_again(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    opened = await gateway.open_account()
    await grant(gateway.database, opened.account, "0.20", now_of(gateway))
    key = await gateway.create_key(opened)
    replies = [await gateway.call(key, "address/validate", BERLIN) for _ in range(4)]
    assert statuses(replies) == [200, 200, 200, 402]
    problem = replies[-1].json()
    assert (problem["type"], problem["status"]) == ("/problems/credit-exhausted", 402)
    assert problem["detail"] == (
        "The prepaid credit is 0.20 CNY: 0.165 used, 0.00 reserved, 0.035 remaining; this call needs 0.055. Top the credit up."
    )
    assert "retry-after" not in replies[-1].headers, "no waiting brings credit back"
    assert problem["allowance"] == {
        "kind": "credit",
        "subject": "",
        "unit": "CNY",
        "limit": "0.20",
        "used": "0.165",
        "reserved": "0.00",
        "remaining": "0.035",
        "needs": "0.055",
    }
    await grant(gateway.database, opened.account, "0.05", now_of(gateway))
    await gateway.settle()
    await asyncio.sleep(0.3)
    replies = [await gateway.call(key, "address/validate", BERLIN) for _ in range(2)]
    assert statuses(replies) == [200, 402], "a call is paid from two grants where it must"
    await until(lambda: nothing_held(admin))
    assert await standing(admin, "credit") == (Decimal("0.22"), 0)


async def test_grants_are_consumed_by_priority_then_expiry_then_age(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    opened, now = await gateway.open_account(), now_of(gateway)
    soon, late = now + timedelta(days=1), now + timedelta(days=9)
    order = [
        await grant(gateway.database, opened.account, "0.11", now, priority=1),
        await grant(gateway.database, opened.account, "0.11", now, valid_until=soon),
        await grant(gateway.database, opened.account, "0.11", now, valid_until=late),
        await grant(gateway.database, opened.account, "0.11", now),
        await grant(gateway.database, opened.account, "0.11", now + timedelta(seconds=1)),
    ]
    await grant(gateway.database, opened.account, "0.11", now, environment="test", priority=0)
    key = await gateway.create_key(opened)
    await asyncio.sleep(1.1)
    for spent in range(1, 6):
        for _ in range(2):
            assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
        await until(lambda: nothing_held(admin))
        rows = await admin.fetch("SELECT subject, used FROM billing.allowance WHERE kind = 'credit'")
        used = {row["subject"]: row["used"] for row in rows}
        assert [used[one.id] for one in order] == [Decimal("0.11")] * spent + [0] * (5 - spent)
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 402


async def test_promotional_credit_alone_makes_nobody_pay_in_advance(gateway: RunningGateway) -> None:
    opened = await gateway.open_account()
    await grant(gateway.database, opened.account, "0.05", now_of(gateway), category="promotional")
    key = await gateway.create_key(opened)
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200


async def test_a_hard_budget_refuses_for_its_application_and_cost_centre_only(
    gateway: RunningGateway,
) -> None:
    opened = await gateway.open_account()
    async with gateway._operator() as connection:
        retail = await create_cost_centre(connection, opened.account, "retail", "test", now_of(gateway))
        shop = await create_application(
            connection, opened.account, "shop", "test", now_of(gateway), cost_centre=retail
        )
    of_shop = await gateway.create_key(msgspec.structs.replace(opened, application=shop))
    of_main = await gateway.create_key(opened)
    made = await budget(
        gateway.database, opened.account, "0.12", now_of(gateway), scope="cost_centre", scope_id="retail"
    )
    await gateway.settle()
    replies = [await gateway.call(of_shop, "address/validate", BERLIN) for _ in range(3)]
    assert statuses(replies) == [200, 200, 402]
    problem = replies[-1].json()
    assert problem["type"] == "/problems/budget-exhausted"
    assert (problem["allowance"]["subject"], problem["allowance"]["remaining"]) == (made.id, "0.01")
    assert problem["detail"].endswith(f"It begins anew at {problem['allowance']['resets_at']}.")
    assert "raise the budget" in problem["remedy"]
    assert (await gateway.call(of_main, "address/validate", BERLIN)).status_code == 200
    await budget(
        gateway.database, opened.account, "0.17", now_of(gateway), scope="cost_centre", scope_id="retail"
    )
    await asyncio.sleep(0.3)
    assert (await gateway.call(of_shop, "address/validate", BERLIN)).status_code == 200, "it was raised"


async def test_a_limit_that_comes_later_counts_the_calls_of_its_period_so_far(
    gateway: RunningGateway, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    for _ in range(3):
        assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    flow = Flow(billing_pool, gateway.home.journals, None, gateway.clock)
    await flow.ship()
    await flow.roll_up()
    flow.close()
    await publish_quota(gateway, 5)
    await budget(gateway.database, opened.account, "0.28", now_of(gateway))
    await gateway.settle()
    replies = [await gateway.call(key, "address/validate", BERLIN) for _ in range(3)]
    assert statuses(replies) == [200, 200, 429]
    assert (await standing(admin, "budget"))[0] + (await standing(admin, "budget"))[1] >= Decimal("0.275")


async def test_an_account_without_such_limits_asks_nobody(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    assert await admin.fetchval("SELECT count(*) FROM billing.allowance") == 0
    assert await admin.fetchval("SELECT count(*) FROM billing.lease") == 0


async def test_while_postgresql_is_away_a_lease_is_used_up_and_then_it_is_503(
    gateway: RunningGateway, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await gateway.open_account()
    await grant(gateway.database, opened.account, "1.10", now_of(gateway))
    key = await gateway.create_key(opened)
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    granted = await admin.fetchval("SELECT granted FROM billing.lease")
    calls = int(granted / Decimal("0.055"))
    assert calls == 10, "half of what twenty calls take"

    async def away(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("gateway.stores.leases.take", away)
    monkeypatch.setattr("gateway.stores.leases.open_leases", away)
    replies = [await gateway.call(key, "address/validate", BERLIN) for _ in range(calls)]
    assert statuses(replies) == [200] * (calls - 1) + [503]
    assert replies[-1].headers["retry-after"] == "2"
    monkeypatch.undo()
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200


def test_only_a_price_with_an_upper_bound_is_reserved_for_a_measure_that_is_known_afterwards() -> None:
    assert most_for_one_call(parse_price("per_unit", {"unit_price": "1"})) is None
    assert most_for_one_call(parse_price("percentage", {"rate_pct": "2", "max_per_event": "5"})) == 5
    assert most_for_one_call(parse_price("flat", {"amount": "9"})) == 0


async def test_a_worker_that_ends_returns_what_it_holds(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    await publish_quota(gateway, 1000)
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    assert (await standing(admin, "quota"))[1] > 100
    await gateway.gateway.stop()
    assert await standing(admin, "quota") == (1, 0)

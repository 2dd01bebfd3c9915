"""Usage that is reported counts against the limits that there are: it is never refused, and metered calls stop for it."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from billing.allowance import Holder, Wanted, take
from billing.desk import accept
from billing.store.usage_row import event_of
from catalog.limit import Quota
from catalog.vocabulary.clock import from_ns
from tests.allowances import add_limit, budget, grant, nothing_held, publish_quota, standing, until
from tests.gateways import BERLIN, RunningGateway
from tests.prepaid_books import give
from tests.reported_usage import TIMEZONE, accepted, corrected
from tests.reported_usage import report as reported
from tests.usage_books import add_account, add_price, call

OCTOBER_1, NOVEMBER_1 = date(2026, 10, 1), date(2026, 11, 1)
NOVEMBER_10 = datetime(2026, 11, 10, 4, tzinfo=UTC)


def now_of(gateway: RunningGateway) -> datetime:
    return from_ns(gateway.clock.now_ns())


def event(gateway: RunningGateway, id_: str = "1", units: str = "1", **fields: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "ordergate.usage.v1",
        "source": "/hefei/edge-box-7",
        "id": id_,
        "subject": "address/validate",
        "time": now_of(gateway).isoformat(),
        "data": {"units": units},
        **fields,
    }


async def report(gateway: RunningGateway, key: str, *events: dict[str, Any]) -> list[str]:
    """Send a batch; what became of each event."""
    reply = await gateway.client.post(
        "/api/usage/events",
        content=json.dumps(events).encode(),
        headers={
            "authorization": f"Bearer {key}",
            "content-type": "application/cloudevents-batch+json",
        },
    )
    assert reply.status_code == 200, reply.text
    return [one["result"] for one in reply.json()["results"]]


async def allowances(gateway: RunningGateway, key: str) -> Any:
    """What the account reads of its limits."""
    reply = await gateway.client.get("/api/account/allowances", headers={"authorization": f"Bearer {key}"})
    assert reply.status_code == 200, reply.text
    return reply.json()


async def calls(gateway: RunningGateway, key: str, count: int) -> list[httpx.Response]:
    """Calls once the workers have looked through their leases."""
    await asyncio.sleep(0.6)
    return [await gateway.call(key, "address/validate", BERLIN) for _ in range(count)]


def amount(text: str) -> dict[str, str]:
    return {"amount": text, "currency": "CNY"}


async def test_reported_usage_uses_up_a_hard_budget_and_is_shown_as_overdrawn(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    made = await budget(gateway.database, opened.account, "5.00", now_of(gateway))
    await gateway.settle()
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    assert await report(gateway, key, event(gateway, units="300")) == ["accepted"]
    replies = await calls(gateway, key, 3)
    assert [reply.status_code for reply in replies] == [402] * 3
    problem = replies[-1].json()
    assert problem["allowance"]["subject"] == made.id
    assert (problem["allowance"]["used"], problem["allowance"]["remaining"]) == ("16.555", "0.00")
    assert problem["allowance"]["overdrawn"] == "11.555"
    assert "16.555 used, 0.00 reserved, 0.00 remaining, overdrawn by 11.555;" in problem["detail"]
    (shown,) = (await allowances(gateway, key))["budgets"]
    assert (shown["counted"], shown["overdrawn"]) == (amount("16.555"), amount("11.555"))
    assert await admin.fetchval("SELECT count(*) FROM billing.usage_event WHERE recorded_by = 'import'") == 1


async def test_each_reported_event_counts_in_a_hard_quota(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    await publish_quota(gateway, 5)
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    batch = [event(gateway, str(number), units="7") for number in range(6)]
    assert await report(gateway, key, *batch) == ["accepted"] * 6
    replies = await calls(gateway, key, 2)
    assert [reply.status_code for reply in replies] == [429] * 2
    figures = {name: replies[0].json()["allowance"][name] for name in ("limit", "used", "overdrawn")}
    assert figures == {"limit": "5", "used": "7", "overdrawn": "2"}
    assert await standing(admin, "quota") == (7, 0)


async def test_reported_usage_takes_of_prepaid_credit_at_once_and_a_grant_has_to_cover_it_first(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    opened = await gateway.open_account()
    await grant(gateway.database, opened.account, "1.00", now_of(gateway))
    key = await gateway.create_key(opened)
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    assert await report(gateway, key, event(gateway, units="20")) == ["accepted"]
    replies = await calls(gateway, key, 2)
    assert [reply.status_code for reply in replies] == [402] * 2
    assert replies[0].json()["allowance"]["overdrawn"] == "0.155"
    credit = (await allowances(gateway, key))["credit"]
    assert (credit["remaining"], credit["overdrawn"]) == (amount("0.00"), amount("0.155"))
    await grant(gateway.database, opened.account, "0.27", now_of(gateway))
    await gateway.settle()
    replies = await calls(gateway, key, 3)
    assert [reply.status_code for reply in replies] == [200, 200, 402]
    assert await standing(admin, "credit") == (Decimal("1.265"), 0)


async def test_duplicates_conflicts_and_refused_events_count_once_or_not_at_all(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    await publish_quota(gateway, 50)
    opened = await gateway.open_account()
    await budget(gateway.database, opened.account, "5.00", now_of(gateway))
    key = await gateway.create_key(opened)
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    one = event(gateway, units="10")
    sent = [one, one, {**one, "data": {"units": "11"}}, event(gateway, "2", subject="address/teleport")]
    assert await report(gateway, key, *sent) == ["accepted", "duplicate", "conflict", "refused"]
    assert await report(gateway, key, one) == ["duplicate"]
    declined = event(gateway, "3", data={"units": "9", "class": "declined"})
    assert await report(gateway, key, declined) == ["accepted"]
    await until(lambda: nothing_held(admin))
    assert await standing(admin, "budget") == (Decimal("0.605"), 0), "what is declined costs nothing"
    assert await standing(admin, "quota") == (3, 0), "and is a call that was answered"


async def test_a_budget_counts_what_was_reported_for_its_month_and_by_its_application(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    rows = {
        name: await add_limit(admin, "budget", starts_on=month, scope=scope)
        for name, scope, month in (
            ("account", "acct_a", NOVEMBER_1),
            ("application", "app_acct_a", NOVEMBER_1),
            ("october", "acct_a", OCTOBER_1),
            ("elsewhere", "app_other", NOVEMBER_1),
        )
    }
    # In Shanghai the second one is of November.
    late = datetime(2026, 10, 31, 15, 59, tzinfo=UTC), datetime(2026, 10, 31, 16, 30, tzinfo=UTC)
    await accepted(gateway_pool, [reported(call("acct_a", one, units="2")) for one in late], NOVEMBER_10)
    used = {
        name: await admin.fetchval("SELECT used FROM billing.allowance WHERE id = $1", one)
        for name, one in rows.items()
    }
    assert used == {
        "account": Decimal("0.11"),
        "application": Decimal("0.11"),
        "october": Decimal("0.11"),
        "elsewhere": 0,
    }


async def test_quotas_of_services_applications_and_days_count_what_was_reported_for_them(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    quotas = (
        Quota("account", "day", 9, True),
        Quota("application", "month", 9, True, counts="service"),
    )
    day = await add_limit(admin, "quota", "address/validate day", starts_on=date(2026, 11, 10))
    before = await add_limit(admin, "quota", "address/validate day", starts_on=date(2026, 11, 9))
    service = await add_limit(admin, "quota", "address month app_acct_a", starts_on=NOVEMBER_1)
    other = await add_limit(admin, "quota", "address/parse day", starts_on=date(2026, 11, 10))
    events = [call("acct_a", NOVEMBER_10 - timedelta(days=ago)) for ago in (0, 0, 1, 40)]
    await accepted(gateway_pool, [reported(one, None, *quotas) for one in events], NOVEMBER_10)
    used = [
        await admin.fetchval("SELECT used FROM billing.allowance WHERE id = $1", one)
        for one in (day, before, service, other)
    ]
    assert used == [2, 1, 3, 0]


async def test_a_limit_that_begins_while_usage_is_reported_counts_it_once(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    """Neither of two transactions sees the rows of the other: one has to wait."""
    await add_account(admin, "acct_a")
    wanted = Wanted(
        "acct_a",
        "live",
        "quota",
        "address/validate month",
        NOVEMBER_1,
        datetime(2026, 10, 31, 16, tzinfo=UTC),
        NOVEMBER_1,
        Decimal(1),
        limit=Decimal(8),
        counts="address/validate",
    )

    async def begin() -> Decimal:
        async with gateway_pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
            taken = await take(connection, Holder(uuid4(), uuid4()), wanted, NOVEMBER_10, NOVEMBER_10)
            return taken.standing.used

    quota = Quota("account", "month", 8, True)
    async with gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = 'acct_a'")
        one = reported(call("acct_a", NOVEMBER_10), None, quota)
        await accept(connection, "acct_a", "live", TIMEZONE, [one], NOVEMBER_10)
        beginning = asyncio.create_task(begin())
        done, _ = await asyncio.wait([beginning], timeout=0.3)
        assert not done, "it starts from the stored calls, which are not all visible yet"
    assert await beginning == 1
    await accepted(gateway_pool, [reported(call("acct_a", NOVEMBER_10), None, quota)], NOVEMBER_10)
    assert (await standing(admin, "quota"))[0] == 2


async def test_a_correction_gives_a_hard_budget_back_and_calls_are_served_again(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    await budget(gateway.database, opened.account, "5.00", now_of(gateway))
    await gateway.settle()
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    assert await report(gateway, key, event(gateway, units="300")) == ["accepted"]
    assert [reply.status_code for reply in await calls(gateway, key, 2)] == [402] * 2
    row = await admin.fetchrow("SELECT * FROM billing.usage_event WHERE recorded_by = 'import'")
    assert row is not None
    await corrected(gateway.gateway.pool, event_of(row), "-212", now_of(gateway))
    assert [reply.status_code for reply in await calls(gateway, key, 1)] == [200]
    await until(lambda: nothing_held(admin))
    (shown,) = (await allowances(gateway, key))["budgets"]
    assert (shown["counted"], shown["overdrawn"]) == (amount("4.95"), amount("0.00"))
    assert [reply.status_code for reply in await calls(gateway, key, 1)] == [402]
    kept = await admin.fetchrow("SELECT used, returned FROM billing.allowance")
    assert kept is not None and tuple(kept) == (Decimal("16.61"), Decimal("11.66"))


async def test_batches_that_are_reported_at_once_are_all_counted(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_limit(admin, "budget", starts_on=NOVEMBER_1)
    await add_limit(admin, "quota", "address/validate month", starts_on=NOVEMBER_1)
    await give(billing_pool, "1.00")
    quota = Quota("account", "month", 8, True)
    await asyncio.gather(
        *(
            accepted(gateway_pool, [reported(call("acct_a", NOVEMBER_10), None, quota)], NOVEMBER_10)
            for _ in range(40)
        )
    )
    assert await standing(admin, "budget") == (Decimal("2.2"), 0)
    assert await standing(admin, "quota") == (40, 0)
    assert await standing(admin, "credit") == (Decimal("2.2"), 0)


async def test_what_workers_hold_beyond_what_is_left_is_wanted_back(
    admin: asyncpg.Connection, gateway_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    limit = await add_limit(admin, "budget", amount="1.00", leased="0.50", starts_on=NOVEMBER_1)

    async def wanted_at() -> datetime | None:
        found: datetime | None = await admin.fetchval(
            "SELECT wanted_at FROM billing.allowance WHERE id = $1", limit
        )
        return found

    await accepted(gateway_pool, [reported(call("acct_a", NOVEMBER_10, units="9"))], NOVEMBER_10)
    assert await wanted_at() is None, "what is left covers what is held"
    await accepted(gateway_pool, [reported(call("acct_a", NOVEMBER_10))], NOVEMBER_10)
    assert await wanted_at() == NOVEMBER_10

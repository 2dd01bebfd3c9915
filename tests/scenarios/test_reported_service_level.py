"""Usage that was reported is paid for and is no evidence of our service: whoever served it, it was not us."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import asyncpg

from billing.rebuild import verify
from billing.sla.figures import refresh
from billing.transaction import all_accounts
from billing.view import service_level
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.ids import call_id_text
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import OWNER
from tests.gateways import RunningGateway
from tests.sla_books import customs_passport, publish
from tests.usage_books import add_account, add_price, call, roll_up_all, store, use

NOON = datetime(2026, 9, 17, 12, tzinfo=UTC)
MORNING = NOON - timedelta(hours=3)
MINUTE = timedelta(minutes=1)


async def _customs(admin: asyncpg.Connection) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "check", "customs/check", price={"unit_price": "2.00"})
    await publish(admin, customs_passport())


def _checked(moment: datetime, **fields: Any) -> UsageEvent:
    return call("acct_a", moment, operation="customs/check", price_version="check", **fields)


def _reported(moment: datetime, **fields: Any) -> UsageEvent:
    return _checked(moment, latency_us=0, **fields)


async def _figures(pool: asyncpg.Pool) -> dict[str, str]:
    """What was measured for the account, by objective."""
    await refresh(pool, "house", ManualClock(NOON))
    async with all_accounts(pool) as connection:
        level = await service_level(
            connection, customs_passport(), Period(2026, 9), "acct_a", "Asia/Shanghai"
        )
    return {one.objective: one.own.measured for one in level.objectives if one.own is not None}


async def test_reported_usage_makes_no_error_rate_latency_or_availability_better(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _customs(admin)
    served = [_checked(MORNING, latency_us=200_000) for _ in range(9)]
    await use(billing_pool, [*served, _checked(MORNING, class_="provider_error")])
    before = await _figures(billing_pool)
    assert before["errors"] == "1 / 10"
    assert before["speed"] == "200 ms"
    reported = [_reported(MORNING + number * MINUTE) for number in range(-60, 60)]
    await store(billing_pool, [*reported, _reported(MORNING, class_="declined")], "import")
    await roll_up_all(billing_pool)
    assert await _figures(billing_pool) == before
    assert await admin.fetchval("SELECT sum(calls) FROM billing.usage_hour") == 131, (
        "it is rated all the same"
    )
    assert await _sums_that_differ(billing_pool) == []


async def test_a_service_that_was_only_reported_on_was_never_observed(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _customs(admin)
    await store(billing_pool, [_reported(MORNING) for _ in range(20)], "import")
    await roll_up_all(billing_pool)
    assert set((await _figures(billing_pool)).values()) <= {"–", "0 / 0"}


async def test_what_the_version_before_added_for_reported_usage_is_taken_out_again(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _customs(admin)
    await use(billing_pool, [_checked(MORNING), _checked(MORNING, class_="provider_error")])
    await store(billing_pool, [_reported(MORNING), _reported(MORNING), _reported(NOON)], "import")
    await roll_up_all(billing_pool)
    await admin.execute(
        "UPDATE billing.service_interval SET calls = calls + 2; "
        "INSERT INTO billing.service_interval SELECT account_id, environment, period, timestamptz '2026-09-17 12:00Z', operation, 1, "
        "0, 0 FROM billing.service_interval; "
        "INSERT INTO billing.latency_day (account_id, environment, period, day, operation, latency_us_max, calls) "
        "SELECT account_id, environment, period, day, operation, 0, 3 FROM billing.latency_day"
    )
    assert len(await _sums_that_differ(billing_pool)) == 3
    revision = import_module("deploy.migrations.versions.0029_reported_limits")
    owner = await asyncpg.connect(**database.as_role(OWNER, {"ordergate.account": "*"}))
    for statement in revision._CORRECTIONS:
        await owner.execute(statement)
    await owner.close()
    assert await _sums_that_differ(billing_pool) == []


async def test_a_verdict_is_given_on_what_was_served_and_not_on_what_was_reported(
    gateway: RunningGateway, billing_pool: asyncpg.Pool
) -> None:
    def promise(document: dict[str, Any]) -> None:
        answers = {"id": "answers", "measure": "outcome_rate", "outcome": "wrong", "at_most": "0.0003"}
        document["sla"] = {
            **document["sla"],
            "objectives": [{**answers, "operation": "validate"}],
            "credits": [],
        }

    await gateway.publish("address", promise)
    opened = await gateway.open_account()
    key = await gateway.create_key(opened)
    event = call(opened.account.id, from_ns(gateway.clock.now_ns()), price_version="")
    await store(billing_pool, [event], "import")
    reply = await gateway.client.post(
        f"/api/calls/{call_id_text(event.uuid)}/outcome",
        json={"outcome": "wrong", "reason": "the parcel came back"},
        headers={"authorization": f"Bearer {key}"},
    )
    assert (reply.status_code, reply.json()["type"]) == (409, "/problems/conflict")
    assert "calls that we served" in reply.json()["detail"]


async def _sums_that_differ(pool: asyncpg.Pool) -> list[str]:
    """What rebuilding finds of the sums; nothing is rated here."""
    return [one for one in await verify(pool, ()) if one.startswith(("interval ", "day ", "hour "))]

"""A sandbox has a clock of its own: its month ends when somebody puts it forward, and no live book notices."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from billing.desk import close
from billing.flow import Flow
from billing.invoice.month import Month
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import document
from catalog.accounts.account import find_account
from catalog.accounts.test_clock import advance_test_clock
from catalog.vocabulary.clock import SystemClock, from_ns
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.allowances import budget, nothing_held, until
from tests.gateways import BERLIN, RunningGateway

CLOCK = SystemClock()


async def advance(database: Database, account_id: str, to: datetime) -> None:
    """Put an account's test clock forward as an operator does."""
    operator = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        async with operator.transaction():
            account = await find_account(operator, account_id)
            now = from_ns(CLOCK.now_ns())
            await advance_test_clock(operator, account, to, actor="operator@test", now=now)
    finally:
        await operator.close()


async def test_a_sandbox_month_is_closed_without_waiting_and_the_live_one_runs_on(
    gateway: RunningGateway, database: Database, billing_pool: asyncpg.Pool
) -> None:
    opened = await gateway.open_account()
    test, live = await gateway.create_key(opened, environment="test"), await gateway.create_key(opened)
    account = opened.account
    month = Period.of(from_ns(CLOCK.now_ns()), account.timezone)
    later = month.next()
    for key in (test, live):
        assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    await advance(database, account.id, later.bounds(account.timezone)[0])
    await gateway.settle()
    for key in (test, live):
        assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    await advance(database, account.id, later.next().bounds(account.timezone)[0])

    flow = Flow(billing_pool, gateway.home.journals, None, CLOCK)
    try:
        while (await flow.ship()).more or (await flow.roll_up()).more:
            pass
        assert await flow.roll_up_lag_ms() == 0
    finally:
        flow.close()
    for period in (month, later):
        report = await close(billing_pool, period, CLOCK)
        assert [(one.environment, one.period) for one in report.issued] == [("test", str(period))]
        assert [one.account_id for one in report.not_ended] == [account.id]
    async with all_accounts(billing_pool) as connection:
        for period in (month, later):
            found = await document(connection, Month(account.id, "test", period))
            assert (found.state, found.calls, found.issued_at) == ("issued", 1, found.issued_at)
        # Both live calls occurred when they were made.
        rows = await connection.fetch(
            "SELECT DISTINCT period FROM billing.usage_hour WHERE environment = 'live'"
        )
        assert [row["period"] for row in rows] == [month.first_day]
    assert found.issued_at == later.next().bounds(account.timezone)[0].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [one for one in await verify(billing_pool, ()) if one.startswith("test")] == []


async def test_a_clock_is_only_put_forward_and_every_advance_is_audited(
    gateway: RunningGateway, database: Database, admin: asyncpg.Connection
) -> None:
    account = (await gateway.open_account()).account
    now = from_ns(CLOCK.now_ns())
    with pytest.raises(Problem, match="never goes back"):
        await advance(database, account.id, now - timedelta(days=1))
    ahead = datetime(now.year + 1, 3, 1, tzinfo=UTC)
    await advance(database, account.id, ahead)
    for earlier in (ahead, ahead - timedelta(seconds=1)):
        with pytest.raises(Problem, match="never goes back"):
            await advance(database, account.id, earlier)
    with pytest.raises(asyncpg.RestrictViolationError):
        await admin.execute("UPDATE catalog.account SET test_clock = now() WHERE id = $1", account.id)
    rows = await admin.fetch("SELECT actor, object FROM catalog.audit WHERE action = 'clock.advance'")
    assert [tuple(row) for row in rows] == [("operator@test", f"account/{account.id}")]


async def test_a_month_that_is_not_named_is_the_running_one_of_the_sandbox_for_its_keys(
    gateway: RunningGateway, database: Database
) -> None:
    opened = await gateway.open_account()
    live, test = [await gateway.create_key(opened, environment=one) for one in ("live", "test")]
    now = from_ns(CLOCK.now_ns())
    ahead = now + timedelta(days=62)
    await advance(database, opened.account.id, ahead)
    await gateway.settle()
    for key, moment in ((live, now), (test, ahead)):
        running = str(Period.of(moment, opened.account.timezone))
        for path in ("/api/usage", "/api/results", "/api/services/address/sla"):
            reply = await gateway.client.get(path, headers={"Authorization": f"Bearer {key}"})
            assert reply.json()["period"] == running, path


async def test_what_is_left_of_a_budget_is_that_of_the_month_in_which_the_sandbox_stands(
    gateway: RunningGateway, database: Database, admin: asyncpg.Connection
) -> None:
    opened = await gateway.open_account()
    key, account = await gateway.create_key(opened, environment="test"), opened.account
    now = from_ns(CLOCK.now_ns())
    await budget(database, account, "5.00", now, environment="test")
    await advance(database, account.id, now + timedelta(days=62))
    await gateway.settle()
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    await until(lambda: nothing_held(admin))
    reply = await gateway.client.get("/api/account/allowances", headers={"Authorization": f"Bearer {key}"})
    (shown,) = reply.json()["budgets"]
    assert shown["counted"] == {"amount": "0.055", "currency": "CNY"}


async def test_a_clock_is_at_most_two_years_ahead_and_nothing_of_a_refused_advance_stays(
    gateway: RunningGateway, database: Database, admin: asyncpg.Connection
) -> None:
    account = (await gateway.open_account()).account
    now = from_ns(CLOCK.now_ns())
    with pytest.raises(
        Problem, match=r"at most 731 days ahead of the time of day, .* month by month"
    ) as refused:
        await advance(database, account.id, now + timedelta(days=732))
    (error,) = refused.value.errors
    assert (error.pointer, error.rule) == ("/to", "ahead")
    assert await admin.fetchval("SELECT test_clock FROM catalog.account WHERE id = $1", account.id) is None
    await advance(database, account.id, now + timedelta(days=730))


async def test_a_clock_that_was_put_out_of_bounds_before_there_were_any_stands_at_the_bound(
    gateway: RunningGateway, database: Database, admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    opened = await gateway.open_account()
    key, account = await gateway.create_key(opened, environment="test"), opened.account
    await admin.execute(
        "UPDATE catalog.account SET test_clock = $2 WHERE id = $1",
        account.id,
        datetime(2999, 1, 1, tzinfo=UTC),
    )
    await gateway.settle()
    bound = from_ns(CLOCK.now_ns()) + timedelta(days=731)
    assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    with pytest.raises(Problem, match=f"the clock stands at {bound.year}"):
        await advance(database, account.id, bound - timedelta(days=1))

    flow = Flow(billing_pool, gateway.home.journals, None, CLOCK)
    try:
        while (await flow.ship()).more or (await flow.roll_up()).more:
            pass
    finally:
        flow.close()
    occurred_at = await admin.fetchval("SELECT occurred_at FROM billing.usage_event")
    assert bound <= occurred_at < bound + timedelta(minutes=1)
    month = Period.of(bound, account.timezone)
    assert (await close(billing_pool, month.previous(), CLOCK)).issued == ()
    report = await close(billing_pool, month, CLOCK)
    assert account.id in {one.account_id for one in report.not_ended}

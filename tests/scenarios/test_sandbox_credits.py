"""A sandbox shows the whole of a month: statement, and the credits that its own test calls call for. Nobody pays."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from atomic_services.contract import CallContext
from billing.audit.compare import compare
from billing.desk import close
from billing.flow import Flow
from billing.invoice.month import Month
from billing.ledger.balances import balances
from billing.rebuild import verify
from billing.settlement.margin import margin
from billing.sla.outcome import contest, paid_call, report_outcome, resolve
from billing.transaction import all_accounts, one_snapshot
from billing.view import Document, document
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock, SystemClock, from_ns
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.gateways import BERLIN, RunningGateway
from tests.scenarios.test_after_the_record import replace_operation
from tests.scenarios.test_test_clock import advance
from tests.sla_books import CREDITS, OBJECTIVES, customs_passport, miss, publish
from tests.usage_books import add_account, add_price, call, use

SEPTEMBER, OCTOBER = Period(2026, 9), Period(2026, 10)
SEPTEMBER_5 = datetime(2026, 9, 5, tzinfo=UTC)
OCTOBER_2 = ManualClock(datetime(2026, 10, 2, tzinfo=UTC))
ERRORS = {
    "objective": "errors",
    "schedule": [{"at_least": "99.9", "credit_pct": "0"}, {"at_least": "0", "credit_pct": "60"}],
}
CLOCK = SystemClock()


def _tested(account_id: str, number: int = 1, **fields: Any) -> list[UsageEvent]:
    terms = {"operation": "customs/screen", "price_version": "screen", "environment": "test", **fields}
    return [call(account_id, SEPTEMBER_5, **terms) for _ in range(number)]


async def _document(
    pool: asyncpg.Pool, account_id: str, period: Period, environment: Environment
) -> Document:
    async with all_accounts(pool) as connection:
        return await document(connection, Month(account_id, environment, period))


def _amounts(found: Document) -> Sequence[tuple[str | None, str]]:
    return [(one.credit.objective if one.credit else None, one.amount) for one in found.lines]


async def _arrange(admin: asyncpg.Connection, *credits_: Any, **sla: Any) -> None:
    for account_id in ("acct_a", "acct_b"):
        await add_account(admin, account_id)
    await add_price(admin, "screen", "customs/screen", price={"unit_price": "1.00"})
    await publish(admin, customs_passport(credits=(*CREDITS, *credits_), **sla))


async def test_a_sandboxs_month_is_judged_by_its_own_test_calls_and_by_nothing_else(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _arrange(admin, ERRORS)
    failed = _tested("acct_a", class_="provider_error")
    live = [*_tested("acct_a", 10, environment="live"), *_tested("acct_b", 10, environment="live")]
    await use(billing_pool, [*_tested("acct_a", 4), *failed, *_tested("acct_b", 10), *live])
    # What the outside probe misses is a miss of the live service.
    await miss(admin, "customs/screen", datetime(2026, 9, 17, 2, tzinfo=UTC), 25)
    await close(billing_pool, SEPTEMBER, OCTOBER_2)

    sandbox = await _document(billing_pool, "acct_a", SEPTEMBER, "test")
    assert (sandbox.number, _amounts(sandbox)) == ("TS-2026-000001", [(None, "4.00"), ("errors", "-2.40")])
    given = sandbox.lines[-1].credit
    assert given is not None
    assert (given.measured, given.attained_pct, given.credit_pct) == ("1 / 5", "80", "60")
    assert given.evidence["environment"] == "test"
    assert (given.evidence["failures"], given.evidence["judged"]) == (1, 5)
    other = await _document(billing_pool, "acct_b", SEPTEMBER, "test")
    assert _amounts(other) == [(None, "10.00")], "what another sandbox met with is its own"
    for account_id in ("acct_a", "acct_b"):
        found = await _document(billing_pool, account_id, SEPTEMBER, "live")
        assert _amounts(found) == [(None, "10.00"), ("screening-up", "-0.50")]
        assert found.lines[-1].credit is not None
        assert "environment" in found.lines[-1].credit.evidence
    told = await admin.fetch(
        "SELECT environment, account_id FROM catalog.outbox WHERE kind = 'sla.credited' ORDER BY 1, 2"
    )
    assert [tuple(row) for row in told] == [("live", "acct_a"), ("live", "acct_b"), ("test", "acct_a")]
    await _assert_books_agree(billing_pool)


async def _assert_books_agree(pool: asyncpg.Pool) -> None:
    async with one_snapshot(pool) as connection:
        for environment in ("live", "test"):
            found = await compare(connection, environment)
            assert (found.diff, found.money_diff, found.differences) == (0, Decimal(0), ())
            assert sum(one.amount for one in await balances(connection, environment)) == 0
    assert await verify(pool, ()) == []


async def test_the_availability_of_a_sandbox_is_that_of_its_requests(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _arrange(admin)
    await miss(admin, "customs/screen", datetime(2026, 9, 17, 2, tzinfo=UTC), 600)
    away = [
        call("acct_a", SEPTEMBER_5 + timedelta(minutes=5 * n), environment="test", class_="provider_error",
             operation="customs/screen", price_version="screen")
        for n in range(3)
    ]  # fmt: skip
    await use(billing_pool, [*_tested("acct_a", 10), *away])
    await close(billing_pool, SEPTEMBER, OCTOBER_2)
    sandbox = await _document(billing_pool, "acct_a", SEPTEMBER, "test")
    # Two intervals, and a failed call in eleven: above 99.97 % of the month's intervals.
    assert _amounts(sandbox) == [(None, "10.00")]
    judged = await admin.fetchrow(
        "SELECT state, evidence FROM billing.sandbox_judgement WHERE objective = 'screening-up'"
    )
    assert judged is not None
    evidence = msgspec.json.decode(judged["evidence"])
    assert (judged["state"], evidence["failed_requests"], evidence["intervals_lost"]) == ("met", 3, "23/11")
    assert "probe" not in evidence


async def test_a_late_test_charge_is_credited_by_the_judgement_of_its_month_and_shows_in_the_margin(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _arrange(admin, ERRORS)
    await use(billing_pool, [*_tested("acct_a"), *_tested("acct_a", class_="provider_error")])
    await close(billing_pool, SEPTEMBER, OCTOBER_2)
    await use(billing_pool, _tested("acct_a", 2))
    await close(billing_pool, OCTOBER, ManualClock(datetime(2026, 11, 2, tzinfo=UTC)))
    november = await _document(billing_pool, "acct_a", Period(2026, 11), "test")
    assert _amounts(november) == [(None, "2.00"), ("errors", "-1.20")]
    async with all_accounts(billing_pool) as connection:
        found = await margin(connection, SEPTEMBER, "test")
    assert [(one.revenue, one.credits) for one in found.totals] == [("3.00", "1.80")]
    await _assert_books_agree(billing_pool)


async def test_verdicts_on_test_calls_count_in_the_sandboxs_own_time_and_are_final_with_its_month(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    """Given in July's real time, for a sandbox whose clock stands in September."""
    july = datetime(2026, 7, 3, tzinfo=UTC)
    papers = {"id": "papers", "measure": "outcome_rate", "outcome": "returned", "at_most": "0.5"}
    everything = {"objective": "papers", "schedule": [{"at_least": "0", "credit_pct": "100"}]}
    await add_account(admin, "acct_a")
    await add_price(admin, "screen", "customs/screen", price={"unit_price": "1.00"})
    await publish(admin, customs_passport(objectives=(papers,), credits=(everything,)))
    await admin.execute("UPDATE catalog.account SET test_clock = $1", SEPTEMBER_5 + timedelta(days=1))
    calls = _tested("acct_a", 3)
    await use(billing_pool, calls)

    async def verdict_on(event: UsageEvent) -> str:
        paid = await paid_call(admin, "acct_a", "test", event.uuid)
        return (await report_outcome(admin, paid, "returned", "x", ["returned"], "key/x", july)).reported_at

    await admin.execute("SET ordergate.account = '*'")
    async with admin.transaction():
        for event in calls[:2]:
            assert await verdict_on(event) == "2026-09-06T00:00:00Z"
        await contest(admin, calls[1].uuid, "no", "operator", july)
        upheld = await resolve(admin, calls[1].uuid, "upheld", "yes", "operator", july)
        assert upheld.ruled_at == "2026-09-06T00:00:00Z"
    await admin.execute("UPDATE catalog.account SET test_clock = '2026-10-01'")
    await close(billing_pool, SEPTEMBER, ManualClock(july))
    sandbox = await _document(billing_pool, "acct_a", SEPTEMBER, "test")
    assert _amounts(sandbox) == [(None, "3.00"), ("papers", "-3.00")]
    assert sandbox.lines[-1].credit is not None
    assert sandbox.lines[-1].credit.measured == "2 / 3"
    with pytest.raises(Problem, match="was judged with this verdict"):
        async with admin.transaction():
            await contest(admin, calls[0].uuid, "no", "operator", july)


def _promise_no_errors(passport: dict[str, Any]) -> None:
    passport["sla"]["objectives"] = [o for o in OBJECTIVES if o["id"] == "errors"]
    passport["sla"]["credits"] = [ERRORS]


async def test_a_partner_puts_the_clock_forward_and_sees_statement_and_credit_with_evidence(
    gateway: RunningGateway, billing_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gateway.publish("address", _promise_no_errors)
    opened = await gateway.open_account()
    account = opened.account
    test, live = await gateway.create_key(opened, environment="test"), await gateway.create_key(opened)
    # Of a month that has begun the terms are fixed: what was published just now is promised from the next one on.
    month = Period.of(from_ns(CLOCK.now_ns()), account.timezone).next()
    await advance(gateway.database, account.id, month.bounds(account.timezone)[0])
    await gateway.settle()
    for key in (test, test, test, live):
        assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200

    async def fails(_request: object, _context: CallContext) -> msgspec.Struct:
        raise ZeroDivisionError

    replace_operation(gateway, monkeypatch, fails)
    assert (await gateway.call(test, "address/validate", BERLIN)).status_code == 500
    await advance(gateway.database, account.id, month.next().bounds(account.timezone)[0])
    flow = Flow(billing_pool, gateway.home.journals, None, CLOCK)
    try:
        while (await flow.ship()).more or (await flow.roll_up()).more:
            await asyncio.sleep(0)
        assert await flow.roll_up_lag_ms() == 0
    finally:
        flow.close()
    report = await close(billing_pool, month, CLOCK)
    assert [(one.environment, one.period) for one in report.issued] == [("test", str(month))]

    statement = await _document(billing_pool, account.id, month, "test")
    # 3 x 0.055, and sixty percent of it.
    assert _amounts(statement) == [(None, "0.17"), ("errors", "-0.10")]
    given = statement.lines[-1].credit
    assert given is not None
    assert (given.measured, given.evidence["environment"]) == ("1 / 4", "test")
    shown = {}
    for name, key in (("test", test), ("live", live)):
        reply = await gateway.client.get(
            f"/api/services/address/sla?period={month}", headers={"Authorization": f"Bearer {key}"}
        )
        shown[name] = reply.json()
        assert shown[name]["environment"] == name
    own = shown["test"]["objectives"][0]
    assert (own["own"]["state"], own["own"]["measured"], own["credit_pct"]) == ("missed", "1 / 4", "60")
    assert (own["attained"], own["months"], shown["test"]["alarms"]) == (None, [], [])
    (credit,) = shown["test"]["credits"]
    assert (credit["amount"]["amount"], credit["document"]) == ("0.10", f"inv_test_{account.id}_{month}")
    assert shown["live"]["credits"] == []
    assert [one for one in await verify(billing_pool, ()) if one.startswith("test")] == []

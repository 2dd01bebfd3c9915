"""`ordergate grant`, `credit` and `budget`, the alarms of a budget, and what an account reads about all of it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import pytest
from click.testing import CliRunner, Result

from billing.invoice.rate_pending import rate_pending
from billing.journal import journal_identity
from billing.record import record
from billing.store.partitions import ensure_days
from catalog.accounts.account import find_account
from catalog.registry.audit import verify
from catalog.vocabulary.clock import ManualClock, SystemClock, from_ns
from catalog.vocabulary.period import Period
from deploy.cli import main
from deploy.database import Database
from deploy.doctor import examine_contents
from deploy.home import Home
from tests.allowances import budget, grant, publish_quota, standing
from tests.gateways import BERLIN, RunningGateway
from tests.usage_books import add_account, add_price, call, use
from tests.usage_calls import usage_event, write_journal

Run = Callable[..., Result]
OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    """Runs a command line in this process; the exit status is 0 unless `fails` says otherwise."""
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    environment: Mapping[str, str | None] = {
        "ORDERGATE_HOME": str(tmp_path / "home"),
        "ORDERGATE_DATABASE_URL": url,
        "ORDERGATE_KEY": None,
    }

    def invoke(*arguments: str, fails: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments, env=environment)
        assert result.exit_code == fails, result.output
        return result

    return invoke


def test_credit_is_granted_shown_and_audited(run: Run) -> None:
    run("account", "create", "dealer", "--kind", "external")
    first = ("--expires", "2099-12-31", "--pay-in-advance")
    made = json.loads(run("grant", "dealer", "40.00", *first, "--json").output)
    assert (made["amount"], made["category"], made["priority"]) == ("40.00", "paid", 100)
    assert made["valid_until"].startswith("2099-12-31T16:00:00"), "the end of that day in Shanghai"
    run("grant", "dealer", "5", "--category", "promotional", "--priority", "1")
    listed = json.loads(run("credit", "dealer", "--json").output)
    assert [one["amount"] for one in listed] == ["5", "40.00"], "in the order of consumption"
    shown = run("credit", "dealer").output
    assert "total" in shown
    assert "45" in shown
    assert "2100-01-01 00:00:00 +08:00" in run("credit", "dealer").output, "on the account's own clock"
    for wrong in ("1.234", "-5"):
        refused = run("grant", "dealer", wrong, fails=1).output
        assert "amount" in refused and "positive amount" in refused
    past = run("grant", "dealer", "100", "--expires", "2020-01-01", fails=1).output
    assert "--expires: write a day that is still to come, or leave it out" in past
    assert run("grant", "dealer", "5", "--expire", "2099-12-31", fails=2).stdout == ""
    assert "no account" in run("grant", "nobody", "1", fails=1).output


def test_nobody_pays_in_advance_by_a_slip_and_a_repeated_grant_gives_once(run: Run) -> None:
    run("account", "create", "bu-01")
    refused = " ".join(run("grant", "bu-01", "5", fails=1).output.split())
    assert "--pay-in-advance: bu-01 pays afterwards" in refused
    assert "every live call of it beyond its credit is refused from then on" in refused
    assert json.loads(run("credit", "bu-01", "--json").output) == []
    run("grant", "bu-01", "5", "--category", "promotional")
    assert "pays afterwards" in run("grant", "bu-01", "5", fails=1).output, (
        "a gift makes nobody pay in advance"
    )
    named = ("--reference", "PO-7")
    made = json.loads(run("grant", "bu-01", "5", "--pay-in-advance", *named, "--json").output)
    again = run("grant", "bu-01", "5", "--pay-in-advance", *named).output
    assert again == f"bu-01 was given 5 CNY under this reference before, and nothing more: {made['id']}.\n"
    assert "PO-7 has made" in run("grant", "bu-01", "6", *named, fails=1).output
    assert "--reference: write 1 to 100" in run("grant", "bu-01", "6", "--reference", " ", fails=1).output
    run("grant", "bu-01", "6")
    amounts = sorted(one["amount"] for one in json.loads(run("credit", "bu-01", "--json").output))
    assert amounts == ["5", "5", "6"]
    # The sandbox is another matter, and is asked about by itself.
    assert "every test call" in run("grant", "bu-01", "5", "--env", "test", fails=1).output
    run("grant", "bu-01", "5", "--env", "test", "--pay-in-advance", *named)


def test_budgets_are_set_listed_and_ended(run: Run) -> None:
    run("account", "create", "brand")
    made = json.loads(run("budget", "set", "brand", "400.00", "--alarm", "80", "--hard", "--json").output)
    assert (made["amount"], made["hard"], made["thresholds_pct"]) == ("400.00", True, [80])
    changed = json.loads(run("budget", "set", "brand", "500.00", "--json").output)
    assert (changed["id"], changed["hard"], changed["thresholds_pct"]) == (made["id"], False, [80, 100])
    (state,) = json.loads(run("budget", "list", "brand", "--json").output)
    assert (state["budget"]["amount"], state["spent"]) == ("500.00", "0.00")
    assert "80 %, 100 %" in run("budget", "list", "brand").output
    assert "no application" in run("budget", "set", "brand", "1", "--application", "x", fails=1).output
    run("budget", "end", "brand", made["id"])
    assert json.loads(run("budget", "list", "brand", "--json").output) == []
    assert "has no budget" in run("budget", "end", "brand", made["id"], fails=1).output


async def test_the_list_of_budgets_shows_what_refuses_calls_beside_what_is_rated(
    run: Run, admin: asyncpg.Connection
) -> None:
    await asyncio.to_thread(run, "account", "create", "brand")
    await asyncio.to_thread(run, "budget", "set", "brand", "5.00", "--hard")

    async def listed() -> tuple[str | None, ...]:
        (state,) = json.loads((await asyncio.to_thread(run, "budget", "list", "brand", "--json")).output)
        return state["spent"], state["counted"], state["reserved"]

    assert await listed() == ("0.00", None, None), "nothing was held to it yet"
    await admin.execute(
        "INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used, returned, leased) "
        "SELECT account_id, environment, 'budget', id, date_trunc('month', now() AT TIME ZONE 'Asia/Shanghai'), 4.4, 1.1, 0.055 "
        "FROM billing.budget"
    )
    assert await listed() == ("0.00", "3.3", "0.055")
    heading, row = (await asyncio.to_thread(run, "budget", "list", "brand")).output.splitlines()
    assert "amount  rated  counted  reserved  hard" in heading
    assert row.split()[3:8] == ["5.00", "0.00", "3.3", "0.055", "yes"]


def test_budgets_and_usage_of_a_sandbox_are_of_the_month_in_which_it_stands(run: Run) -> None:
    run("account", "create", "brand")
    running = Period.of(from_ns(SystemClock().now_ns()), "Asia/Shanghai")
    ahead = running.next().next()
    run("clock", "advance", "brand", "--to", f"{ahead}-01")
    for environment, month in (("test", ahead), ("live", running)):
        run("budget", "set", "brand", "5.00", "--env", environment)
        (state,) = json.loads(run("budget", "list", "brand", "--env", environment, "--json").output)
        used = json.loads(run("usage", "brand", "--env", environment, "--json").output)
        assert state["period"] == used["period"] == str(month)


async def test_each_threshold_raises_one_alarm_a_month(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    async with billing_pool.acquire() as connection:
        account = await find_account(connection, "acct_a")
    await budget(database, account, "1.00", OCTOBER_5, hard=False)
    await budget(database, account, "2.00", OCTOBER_5, hard=False, scope="cost_centre", scope_id="cc_acct_a")
    clock = ManualClock(datetime(2026, 10, 6, tzinfo=UTC))

    async def alarms() -> list[tuple[str, int]]:
        rows = await admin.fetch(
            "SELECT payload->>'scope' AS scope, (payload->>'threshold_pct')::int AS pct FROM catalog.outbox "
            "WHERE kind = 'budget.threshold' ORDER BY announced_at, 1, 2"
        )
        return [(row["scope"], row["pct"]) for row in rows]

    for calls, expected in (
        (14, []),
        (1, [("account", 80)]),
        (4, [("account", 80), ("account", 100)]),
        (20, [("account", 80), ("account", 100), ("cost_centre", 80), ("cost_centre", 100)]),
    ):
        await use(billing_pool, [call("acct_a", OCTOBER_5) for _ in range(calls)])
        await rate_pending(billing_pool, clock)
        await rate_pending(billing_pool, clock)
        assert await alarms() == expected, calls
    told = await admin.fetchval(
        "SELECT payload FROM catalog.outbox WHERE kind = 'budget.threshold' ORDER BY announced_at LIMIT 1"
    )
    assert json.loads(told)["spent"] == "0.83"
    await use(billing_pool, [call("acct_a", datetime(2026, 11, 5, tzinfo=UTC)) for _ in range(40)])
    await rate_pending(billing_pool, clock)
    assert len(await alarms()) == 8, "another month has alarms of its own"
    assert await admin.fetchval("SELECT count(*) FROM billing.budget_alarm") == 8


async def test_an_account_reads_what_is_left_of_everything(
    gateway: RunningGateway, admin: asyncpg.Connection
) -> None:
    await publish_quota(gateway, 5)
    opened = await gateway.open_account()
    now = from_ns(gateway.clock.now_ns())
    await grant(gateway.database, opened.account, "1.00", now)
    await budget(gateway.database, opened.account, "0.50", now)
    key = await gateway.create_key(opened)
    headers = {"Authorization": f"Bearer {key}"}

    async def read() -> Any:
        reply = await gateway.client.get("/api/account/allowances", headers=headers)
        assert reply.status_code == 200, reply.text
        return reply.json()

    before = await read()
    assert before["credit"]["required"] is True
    assert before["budgets"][0]["counted"] is None
    for _ in range(2):
        assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
    async with asyncio.timeout(10):
        while await admin.fetchval("SELECT sum(leased) FROM billing.allowance"):
            await asyncio.sleep(0.05)
    after = await read()
    quota = next(one for one in after["quotas"] if one["counts"] == "address/validate")
    assert (quota["limit"], quota["used"], quota["reserved"], quota["remaining"]) == ("5", "2", "0", "3")
    assert after["budgets"][0]["counted"] == {"amount": "0.11", "currency": "CNY"}
    assert after["credit"]["remaining"] == {"amount": "0.89", "currency": "CNY"}
    (one,) = after["credit"]["grants"]
    assert (one["used"]["amount"], one["remaining"]["amount"], one["expired"]) == ("0.11", "0.89", None)
    refused = await gateway.client.get("/api/account/allowances?x=1", headers=headers)
    assert refused.status_code == 400
    async with admin.transaction():
        assert (await verify(admin)).is_sound
    actions = {row["action"] for row in await admin.fetch("SELECT action FROM catalog.audit")}
    assert {"credit.grant", "budget.set"} <= actions


async def test_leases_are_listed_with_what_they_wait_for_and_settled_where_their_journal_is_lost(
    run: Run, admin: asyncpg.Connection, database: Database, tmp_path: Path
) -> None:
    await add_account(admin, "acct_a")
    account, now = await find_account(admin, "acct_a"), from_ns(SystemClock().now_ns())
    await grant(database, account, "1.00", now)
    journal_id, worker_id = uuid4(), uuid4()
    await admin.execute("INSERT INTO billing.lease_holder VALUES ($1, $2, $3)", journal_id, worker_id, now)
    lease_id = await admin.fetchval(
        "INSERT INTO billing.lease (allowance_id, account_id, worker_id, journal_id, period, granted, granted_at, expires_at) "
        "SELECT id, account_id, $1, $2, '2026-10-01', 0.50, $3, $3 FROM billing.allowance RETURNING id",
        worker_id,
        journal_id,
        now,
    )
    await admin.execute("UPDATE billing.allowance SET leased = 0.50")
    await _stored_call(admin, account.id, lease_id, now)

    async def listed() -> Any:
        (one,) = json.loads((await asyncio.to_thread(run, "leases", "list", "acct_a", "--json")).output)
        return one["waits_for"], one["granted"], one["unshipped"]

    async def stuck() -> bool:
        (found,) = [
            one async for one in examine_contents(database, Home(tmp_path)) if one.subject == "leases"
        ]
        return not found.in_order

    async def lost(fails: int = 0) -> str:
        return (await asyncio.to_thread(run, "leases", "lost", str(journal_id), "--yes", fails=fails)).output

    assert await listed() == ("its worker", "0.50", None)
    assert "showed itself" in await lost(fails=1)
    assert await stuck() is False
    await admin.execute("UPDATE billing.lease_holder SET seen_at = $1", now - timedelta(minutes=6))
    await admin.execute("UPDATE billing.lease SET granted_at = $1", now - timedelta(minutes=3))
    assert await stuck() is True
    assert await listed() == ("the billing process", "0.50", None)
    await admin.execute("UPDATE billing.lease SET state = 'orphaned', bound_seq = 7, bound_xid = '1'")
    assert await listed() == ("its journal", "0.50", 7)
    assert (await asyncio.to_thread(run, "leases", "list")).output.count("its journal") == 1
    assert "1 leases are settled" in await lost()
    assert await standing(admin, "credit") == (Decimal("0.055"), 0)
    assert "No lease waits" in await lost(fails=1)
    assert await admin.fetchval("SELECT action FROM catalog.audit ORDER BY seq DESC LIMIT 1") == "leases.lost"
    async with admin.transaction():
        assert (await verify(admin)).is_sound


async def test_a_month_is_closed_where_nothing_runs_whatever_its_dead_workers_held(
    run: Run, admin: asyncpg.Connection, database: Database, tmp_path: Path
) -> None:
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    account, now = await find_account(admin, "acct_a"), from_ns(SystemClock().now_ns())
    then = now.replace(day=1) - timedelta(days=10)
    await grant(database, account, "1.00", then - timedelta(days=60))
    lease_id = await admin.fetchval(
        "INSERT INTO billing.lease (allowance_id, account_id, worker_id, journal_id, period, granted, granted_at, expires_at) "
        "SELECT id, account_id, $1, $1, $2, 0.50, $3, $3 FROM billing.allowance RETURNING id",
        uuid4(),
        then.date().replace(day=1),
        then,
    )
    await admin.execute("UPDATE billing.allowance SET leased = 0.50")
    directory = tmp_path / "home" / "journals" / "worker-000"
    await write_journal(directory, [call("acct_a", then, taken=((lease_id, "0.055"),))])
    await admin.execute("UPDATE billing.lease SET journal_id = $1", journal_identity(directory))
    closed = await asyncio.to_thread(run, "close", f"{then:%Y-%m}", "--json")
    assert [one["total"] for one in json.loads(closed.output)["issued"]] == ["0.06"]
    assert await standing(admin, "credit") == (Decimal("0.06"), 0)


async def _stored_call(
    admin: asyncpg.Connection, account_id: str, lease_id: int, occurred_at: datetime
) -> None:
    """A call that took 0.055 of the lease, stored."""
    event = usage_event(occurred_at, account_id=account_id, payer=account_id, taken=((lease_id, "0.055"),))
    await ensure_days(admin, {occurred_at.date()})
    async with admin.transaction():
        await record(admin, event)

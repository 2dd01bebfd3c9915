"""The demo group: there after a first start and billed to the cent, whatever interrupts it."""

import asyncio
import contextlib
import os
import signal
import stat
import sys
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from billing.rate import Usage, rate
from catalog.load import price_version
from catalog.vocabulary.money import round_money
from deploy.database import Database
from deploy.demo.group import Member
from deploy.demo.keys import key_file, read_keys
from deploy.demo.plan import plan_of
from deploy.first_start import prepare
from deploy.up import greet
from gateway.api_key import parse_key
from tests.demo_groups import SMALL_GROUP
from tests.demo_installation import CLOSED, NOVEMBER, NOW, Installation
from tests.usage_books import add_account


@pytest.fixture
def installation(
    tmp_path: Path, database: Database, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> Installation:
    return Installation(tmp_path / "home", database, billing_pool, admin)


async def amount_due(admin: asyncpg.Connection, price: str, calls: int) -> Decimal:
    row = await admin.fetchrow("SELECT * FROM catalog.price_version WHERE id = $1", price)
    assert row is not None
    version = price_version(row)
    return rate(version.price, Usage(Decimal(calls)), "CNY").amount


def agreed(member: Member, lines: Decimal) -> Decimal:
    """What the contract makes of a month's lines: + fee, - discount, at least the minimum."""
    if member.contract is None:
        return lines
    with_fee = lines + member.contract.access_fee
    discount = round_money(with_fee * member.contract.discount_pct / 100, "CNY")
    return max(with_fee - discount, member.contract.minimum)


async def test_a_first_start_shows_three_billed_months_and_the_running_one(
    installation: Installation,
) -> None:
    await installation.start()
    assert await installation.differences() == []
    admin, plan = installation.admin, plan_of(SMALL_GROUP)
    used = {
        (row["name"], row["operation"], row["period"]): (row["calls"], row["price_version"])
        for row in await admin.fetch(
            "SELECT name, operation, period, price_version, sum(calls)::int AS calls "
            "FROM billing.usage_hour JOIN catalog.account ON id = account_id GROUP BY 1, 2, 3, 4"
        )
    }
    documents = {
        (row["name"], row["period"]): row
        for row in await admin.fetch(
            "SELECT name, period, state, total, issued_at FROM billing.invoice "
            "JOIN catalog.account ON account.id = account_id"
        )
    }
    assert len(documents) == len(SMALL_GROUP.members) * 4
    for member in SMALL_GROUP.members:
        for month in CLOSED:
            due = Decimal(0)
            for operation in ("address/validate", "stock/reserve"):
                calls, price = used[member.name, operation, month.first_day]
                assert calls == plan.volume(member.name, operation, month.month)
                due += await amount_due(admin, price, calls)
            due = agreed(member, due)
            document = documents[member.name, month.first_day]
            assert (document["state"], document["total"]) == ("issued", due)
            assert month.next().bounds(member.timezone)[0] <= document["issued_at"] <= NOW
        assert documents[member.name, NOVEMBER.first_day]["state"] == "draft"
        so_far, _ = used[member.name, "address/validate", NOVEMBER.first_day]
        assert 0 < so_far < plan.volume(member.name, "address/validate", 11)
    assert await admin.fetchval("SELECT max(occurred_at) FROM billing.usage_event") <= NOW
    split = await admin.fetch(
        "SELECT name, sum(calls) FROM billing.usage_hour JOIN catalog.cost_centre ON id = cost_centre_id GROUP BY 1"
    )
    shares = dict(tuple(row) for row in split)
    assert shares["电商平台"] > shares["连锁商超"] > 0


async def test_every_application_has_two_keys_and_later_starts_show_the_first(
    installation: Installation,
) -> None:
    key = await installation.start()
    keys = read_keys(installation.home)
    assert stat.S_IMODE(key_file(installation.home).stat().st_mode) == 0o600
    assert [(one.account, one.environment) for one in keys] == [
        (account, environment)
        for account in ("bu-01", "bu-01", "d-01", "d-02")
        for environment in ("live", "test")
    ]
    assert keys[0].key == key
    known = {row[0] for row in await installation.admin.fetch("SELECT public_id FROM gateway.api_key")}
    assert {parse_key(one.key.encode()).public_id for one in keys} == known

    before = await installation.reports()
    audited = await installation.admin.fetchval("SELECT count(*) FROM catalog.audit")
    installation.clock.advance(40 * 86_400)
    assert await installation.start() == key
    assert await installation.reports() == before
    assert await installation.admin.fetchval("SELECT count(*) FROM catalog.audit") == audited

    key_file(installation.home).unlink()
    second = await installation.start()
    assert second not in (key, None)
    assert await installation.start() == second
    await installation.admin.execute("UPDATE gateway.api_key SET revoked_at = now()")
    assert await installation.start() is None


async def test_an_installation_that_is_used_gets_no_demo(installation: Installation) -> None:
    await add_account(installation.admin, "acct_own")
    assert await installation.start() is None
    assert await installation.admin.fetchval("SELECT count(*) FROM catalog.account") == 1


async def test_a_first_start_without_the_demo_says_how_to_go_on(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    welcome = await prepare(installation.home, installation.database, installation.clock, demo=False)
    assert (welcome.key, welcome.is_empty) == (None, True)
    assert await installation.admin.fetchval("SELECT count(*) FROM catalog.account") == 0
    greet("http://127.0.0.1:8080", welcome)
    assert "ordergate account create NAME" in capsys.readouterr().out
    await add_account(installation.admin, "acct_own")
    again = await prepare(installation.home, installation.database, installation.clock, demo=False)
    assert not again.is_empty
    greet("http://127.0.0.1:8080", again)
    assert "account create" not in capsys.readouterr().out


async def test_a_first_start_that_is_killed_anywhere_goes_on_to_the_same_books(
    installation: Installation,
) -> None:
    arguments = [str(installation.database.socket_dir), installation.database.name]
    arguments += [str(installation.home.path), NOW.isoformat()]
    starts = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.demo_process", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert starts.stdin is not None
    assert starts.stdout is not None
    status, killed, delay_s = -1, 0, 0.02
    while status != 0:
        starts.stdin.write(b"\n")
        pid = int(await starts.stdout.readline())
        await asyncio.sleep(delay_s)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        status = int(await starts.stdout.readline())
        killed += status != 0
        delay_s *= 1.3
    starts.stdin.close()
    await starts.wait()
    assert killed >= 3
    assert await installation.differences() == []
    admin, plan = installation.admin, plan_of(SMALL_GROUP)
    for member in SMALL_GROUP.members:
        stored = await admin.fetchval(
            "SELECT sum(calls) FROM billing.usage_hour WHERE period = ANY($1) "
            "AND account_id = (SELECT id FROM catalog.account WHERE name = $2)",
            [month.first_day for month in CLOSED],
            member.name,
        )
        operations = ("address/validate", "stock/reserve")
        assert stored == sum(plan.volume(member.name, one, m.month) for one in operations for m in CLOSED)
    assert await admin.fetchval("SELECT count(*) FROM billing.invoice WHERE state = 'issued'") == 9
    steps = await admin.fetch("SELECT action FROM catalog.audit WHERE action LIKE 'demo.%' ORDER BY seq")
    assert [row["action"] for row in steps] == ["demo.open", "demo.bill"]
    key = await installation.start()
    assert key in {one.key for one in read_keys(installation.home)}

"""The demo group: there after a first start and billed to the cent, whatever interrupts it; gone for good when removed."""

import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner

from billing.audit.journals import journaled_events
from billing.desk import Contested, line_of, open_dispute
from billing.invoice.dispute import accept_dispute
from billing.invoice.disputed import Dispute
from billing.rate import Usage, rate
from billing.rebuild import verify
from billing.reconcile import Report, reconcile
from billing.transaction import all_accounts
from billing.view import Month, credit_note_document, document
from catalog.accounts.account import find_account
from catalog.accounts.user import create_user
from catalog.load import price_version
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.money import round_money
from catalog.vocabulary.period import Period
from deploy.cli import main
from deploy.database import Database
from deploy.demo import remove
from deploy.demo.books import keep_books
from deploy.demo.erase import account_tables
from deploy.demo.group import Member
from deploy.demo.keys import key_file, read_keys
from deploy.demo.plan import plan_of
from deploy.demo.record import demo_journal
from deploy.demo.remove import Removal, StillServed, remove_demo
from deploy.first_start import prepare
from deploy.home import Home
from deploy.roles import GATEWAY
from deploy.served import served_by_journals
from deploy.up import greet
from gateway.api_key import parse_key
from tests.allowances import budget, grant
from tests.demo_groups import SMALL_GROUP, first_start
from tests.usage_books import add_account, add_price, call, store
from tests.usage_calls import write_journal

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
CLOSED = (Period(2026, 8), Period(2026, 9), Period(2026, 10))
NOVEMBER = Period(2026, 11)


class Installation:
    """A home and a database that is started, looked at and cleared of its demo."""

    def __init__(self, home: Path, database: Database, pool: asyncpg.Pool, admin: asyncpg.Connection) -> None:
        self.home = Home(home)
        self.database = database
        self.pool = pool
        self.admin = admin
        self.clock = ManualClock(NOW)

    async def start(self) -> str | None:
        return await first_start(self.home.path, self.database, self.clock)

    async def remove(self) -> Removal:
        return await remove_demo(self.home, self.database, "operator@test", self.clock)

    async def reports(self) -> tuple[Report, Report]:
        test, live = await reconcile(
            self.pool,
            lambda until: served_by_journals(self.home.journals, until),
            self.home.journals,
            (),
            clock=self.clock,
            sleep=asyncio.sleep,
            patience_s=0,
        )
        return test, live

    async def differences(self) -> Sequence[str]:
        """What the books disagree about, to the last byte; nothing is what the product promises."""
        reports = await self.reports()
        found = [difference for report in reports for difference in report.differences]
        assert found or all(report.agrees for report in reports)
        return [*found, *await verify(self.pool, journaled_events(self.home.journals))]

    async def rows_of(self, accounts: Sequence[str]) -> dict[str, int]:
        """In which tables rows of these accounts stand."""
        counts = {
            table: await self.admin.fetchval(
                f"SELECT count(*) FROM {table} WHERE account_id = ANY($1)",  # noqa: S608
                accounts,
            )
            for table in await account_tables(self.admin)
        }
        return {table: count for table, count in counts.items() if count}


@pytest.fixture
def installation(
    tmp_path: Path, database: Database, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> Installation:
    return Installation(tmp_path / "home", database, billing_pool, admin)


async def amount_due(admin: asyncpg.Connection, price: str, calls: int) -> Decimal:
    row = await admin.fetchrow("SELECT * FROM catalog.price_version WHERE id = $1", price)
    assert row is not None
    version = price_version({**row, "price": msgspec.json.decode(row["price"])})
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


async def own_usage(installation: Installation) -> None:
    """What a real account did: one call with an effect and one without."""
    await add_account(installation.admin, "acct_own")
    await add_price(installation.admin, "price")
    await write_journal(installation.home.journals / "worker-000", [call("acct_own", NOW)])
    await store(installation.pool, [call("acct_own", NOW, operation="stock/reserve")])


async def test_a_removed_demo_leaves_nothing_behind_and_what_others_did_untouched(
    installation: Installation,
) -> None:
    await installation.start()
    await own_usage(installation)
    rows = await installation.admin.fetch("SELECT id FROM catalog.account WHERE demo")
    demo = [row["id"] for row in rows]
    assert set(await installation.rows_of(demo)) >= {"billing.usage_event", "billing.posting"}

    installation.home.announce({"pid": os.getpid(), "port": 8080})
    with pytest.raises(StillServed, match=r"Stop it with Ctrl-C"):
        await installation.remove()
    installation.home.withdraw()
    asked = await _remove_by_command(installation, fails=1)
    assert "3 demo accounts with " in asked
    assert "made-up calls" in asked
    assert set(await installation.rows_of(demo)) >= {"billing.usage_event"}, "nothing goes without a yes"
    removed = await _remove_by_command(installation, "--yes")
    assert "3 demo accounts are removed.\n" in removed
    assert "ordergate account create NAME" in removed
    assert await installation.admin.fetchval("SELECT count(*) FROM catalog.seller") == 0

    assert await installation.rows_of(demo) == {}
    assert not demo_journal(installation.home).exists()
    assert not key_file(installation.home).exists()
    assert await installation.differences() == []
    _, live = await installation.reports()
    assert (live.served, live.invoiced) == (2, 2)
    for table in ("rated_line", "posting"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await installation.admin.execute(f"DELETE FROM billing.{table}")  # noqa: S608

    assert await installation.start() is None
    assert await installation.remove() == Removal(0, ())
    accounts = await installation.admin.fetch("SELECT id FROM catalog.account")
    assert [row["id"] for row in accounts] == ["acct_own"]


async def _remove_by_command(installation: Installation, *options: str, fails: int = 0) -> str:
    database = installation.database
    folder = quote(str(database.socket_dir), safe="/")
    environment = {
        "ORDERGATE_HOME": str(installation.home.path),
        "ORDERGATE_DATABASE_URL": f"postgresql://postgres@/{database.name}?host={folder}&port=5432",
    }
    result = await asyncio.to_thread(CliRunner().invoke, main, ["demo", "remove", *options], env=environment)
    assert result.exit_code == fails, result.output
    return result.output


async def test_an_account_whose_key_was_used_is_closed_and_keeps_these_calls_alone(
    installation: Installation,
) -> None:
    await installation.start()
    account, subscription = await _first_account(installation.admin)
    used = [
        call(
            account,
            NOW + timedelta(seconds=second),
            operation="address/validate",
            subscription_id=subscription,
            price_version="address/internal-2026/validate/CNY@1",
        )
        for second in range(1, 4)
    ]
    await write_journal(installation.home.journals / "worker-000", used)
    installation.clock.advance(60)
    assert await installation.remove() == Removal(2, ("bu-01 (removed demo)",))
    assert await installation.differences() == []
    _, live = await installation.reports()
    assert (live.served, live.invoiced) == (3, 3)
    open_ = await installation.admin.fetchval(
        "SELECT (SELECT count(*) FROM gateway.api_key WHERE revoked_at IS NULL) "
        "+ (SELECT count(*) FROM catalog.subscription WHERE ends_at IS NULL)"
    )
    assert open_ == 0
    assert await installation.start() is None


async def test_credit_budgets_and_disputes_of_the_demo_leave_with_it_and_the_books_agree(
    installation: Installation,
) -> None:
    await installation.start()
    admin, database = installation.admin, installation.database
    account, subscription = await _first_account(admin)
    operator = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        async with operator.transaction():
            bu, dealer, other = [await find_account(operator, name) for name in ("bu-01", "d-01", "d-02")]
        for one in (bu, dealer):
            async with all_accounts(installation.pool) as connection:
                contested = await document(connection, Month(one.id, "live", CLOSED[-1]))
            async with operator.transaction():
                line = Contested(line_of(contested, 1), Decimal("1.00"), "twice")
                await open_dispute(operator, contested, line, "key/demo", NOW)
    finally:
        await operator.close()
    for one in (bu, other):
        await grant(database, one, "100.00", NOW)
    await budget(database, bu, "500", NOW)
    price = "address/internal-2026/validate/CNY@1"
    used = call(
        account, NOW + timedelta(seconds=1), operation="address/validate", subscription_id=subscription
    )
    await write_journal(
        installation.home.journals / "worker-000", [msgspec.structs.replace(used, price_version=price)]
    )
    installation.clock.advance(10 * 86_400)
    await keep_books(
        installation.pool,
        installation.home,
        [(NOVEMBER, from_ns(installation.clock.now_ns()))],
        installation.clock,
    )
    assert await admin.fetchval("SELECT count(*) FROM billing.credit_application") == 2
    assert await installation.differences() == []

    kept = ("bu-01 (removed demo)", "d-01 (removed demo)")
    removal = await installation.remove()
    assert (removal.removed, sorted(removal.kept)) == (1, sorted(kept)), "a contested document is real use"
    assert await installation.differences() == []
    assert await installation.rows_of([other.id]) == {}
    assert not [table for table in await installation.rows_of([dealer.id]) if table.startswith("billing.")]
    # The call that was really made, and what it comes to; nothing that was promised, paid in or contested before.
    billed = {table for table in await installation.rows_of([account]) if table.startswith("billing.")}
    assert billed <= {
        "billing.usage_event",
        "billing.usage_hour",
        "billing.latency_day",
        "billing.service_interval",
        "billing.rated_line",
        "billing.posting",
        "billing.invoice",
    }


async def test_reported_usage_decided_disputes_and_members_are_shown_and_keep_their_accounts(
    installation: Installation,
) -> None:
    await installation.start()
    admin, database = installation.admin, installation.database
    account, subscription = await _first_account(admin)
    # It happened before the demo was opened, and was reported with its key afterwards.
    reported = call(
        account,
        NOW - timedelta(days=40),
        operation="address/validate",
        subscription_id=subscription,
        price_version="address/internal-2026/validate/CNY@1",
    )
    await store(installation.pool, [reported], "import")
    installation.clock.advance(60)
    later = from_ns(installation.clock.now_ns())
    async with operator(database) as connection, connection.transaction():
        unit, dealer, other = [await find_account(connection, name) for name in ("bu-01", "d-01", "d-02")]
        await create_user(
            connection, email="a@example.com", role="member", accounts=[other], actor="tests", now=later
        )
    decided = [await _dispute_accepted(installation, payer.id, later) for payer in (unit, dealer)]
    # The dealer pays an agreed minimum, which a dispute does not lower.
    assert [dispute.credit_note for dispute in decided] == ["DEMO-CN-2026-000001", None]
    async with all_accounts(installation.pool) as books:
        assert (await credit_note_document(books, "DEMO-CN-2026-000001")).total == "1.00"
    shown = {
        line.split()[0]: line.split()[1:]
        for line in (await _remove_by_command(installation, fails=1)).splitlines()
        if line
    }
    assert shown["bu-01"] == ["1", "1", "1", "0"]
    assert shown["d-01"] == ["0", "1", "0", "0"]
    assert shown["d-02"] == ["0", "0", "0", "1"]
    removed = await _remove_by_command(installation, "--yes")
    assert "0 demo accounts are removed." in removed
    assert removed.count("is closed and stays: it was really used.") == 3
    assert await installation.differences() == []
    assert await admin.fetchval("SELECT count(*) FROM billing.usage_event") == 1
    assert await admin.fetchval("SELECT count(*) FROM catalog.membership") == 1


async def _dispute_accepted(installation: Installation, account_id: str, now: datetime) -> Dispute:
    async with all_accounts(installation.pool) as books:
        contested = await document(books, Month(account_id, "live", CLOSED[-1]))
    async with operator(installation.database) as connection, connection.transaction():
        line = Contested(line_of(contested, 1), Decimal("1.00"), "twice")
        dispute = await open_dispute(connection, contested, line, "key/demo", now)
    async with all_accounts(installation.pool) as books:
        return await accept_dispute(books, dispute.id, "it was", "operator@test", now)


@asynccontextmanager
async def operator(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the gateway's role with every account in scope."""
    connection = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        yield connection
    finally:
        await connection.close()


async def _first_account(admin: asyncpg.Connection) -> tuple[str, str]:
    row = await admin.fetchrow(
        "SELECT account.id, subscription.id FROM catalog.account JOIN catalog.subscription "
        "ON account_id = account.id AND service = 'address' WHERE name = 'bu-01'"
    )
    assert row is not None
    return row[0], row[1]


async def test_a_removal_that_is_interrupted_is_finished_by_the_next_start(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(_home: Home, _database: Database) -> None:
        raise ConnectionResetError

    await installation.start()
    with monkeypatch.context() as patch:
        patch.setattr(remove, "forget_files", interrupted)
        with pytest.raises(ConnectionResetError):
            await installation.remove()
    assert demo_journal(installation.home).exists()
    assert await installation.start() is None
    assert not demo_journal(installation.home).exists()
    assert await installation.admin.fetchval("SELECT count(*) FROM billing.ship_offset") == 0
    assert await installation.differences() == []


async def test_real_documents_begin_at_one_beside_those_of_the_demo_and_stay_when_it_leaves(
    installation: Installation,
) -> None:
    await installation.start()
    await own_usage(installation)
    installation.clock.advance(10 * 86_400)
    now = from_ns(installation.clock.now_ns())
    await keep_books(installation.pool, installation.home, [(NOVEMBER, now)], installation.clock)
    series = "SELECT series, last FROM billing.invoice_number ORDER BY 1"
    assert [tuple(row) for row in await installation.admin.fetch(series)] == [
        ("DEMO-INV-2026", 8),
        ("DEMO-S-2026", 4),
        ("S-2026", 1),
    ]
    assert await installation.differences() == []
    await installation.remove()
    assert [tuple(row) for row in await installation.admin.fetch(series)] == [("S-2026", 1)]
    documents = await installation.admin.fetch(
        "SELECT account_id, number FROM billing.invoice WHERE number IS NOT NULL"
    )
    assert [tuple(row) for row in documents] == [("acct_own", "S-2026-000001")]
    assert await installation.differences() == []

"""The demo group is gone for good when it is removed: what was really done, by others or by it, stays."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import asyncpg
import msgspec
import pytest

from billing.desk import Contested, open_dispute
from billing.invoice.contested import line_of
from billing.invoice.dispute import accept_dispute
from billing.invoice.disputed import Dispute
from billing.transaction import all_accounts
from billing.view import Month, credit_note_document, document
from catalog.accounts.account import find_account
from catalog.accounts.user import create_user
from catalog.vocabulary.clock import from_ns
from deploy.database import Database
from deploy.demo import remove
from deploy.demo.books import keep_books
from deploy.demo.keys import key_file
from deploy.demo.record import demo_journal
from deploy.demo.remove import Removal, StillServed
from deploy.home import Home
from deploy.roles import GATEWAY
from tests.allowances import budget, grant
from tests.demo_installation import CLOSED, NOVEMBER, NOW, Installation, own_usage
from tests.usage_books import call, store
from tests.usage_calls import write_journal


@pytest.fixture
def installation(
    tmp_path: Path, database: Database, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> Installation:
    return Installation(tmp_path / "home", database, billing_pool, admin)


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
    asked = await installation.command("demo", "remove", fails=1)
    assert "3 demo accounts with " in asked
    assert "made-up calls" in asked
    assert set(await installation.rows_of(demo)) >= {"billing.usage_event"}, "nothing goes without a yes"
    removed = await installation.command("demo", "remove", "--yes")
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
        for line in (await installation.command("demo", "remove", fails=1)).splitlines()
        if line
    }
    assert shown["bu-01"] == ["1", "1", "1", "0"]
    assert shown["d-01"] == ["0", "1", "0", "0"]
    assert shown["d-02"] == ["0", "0", "0", "1"]
    removed = await installation.command("demo", "remove", "--yes")
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

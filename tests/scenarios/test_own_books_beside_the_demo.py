"""Accounts of ones own beside the demo group: numbers of their own, and no invoice under a name that was made up."""

from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from catalog.vocabulary.clock import from_ns
from deploy.database import Database
from deploy.demo.books import keep_books
from tests.demo_installation import NOVEMBER, Installation, own_usage
from tests.usage_books import PROFILE, add_account, add_price, call, store


@pytest.fixture
def installation(
    tmp_path: Path, database: Database, billing_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> Installation:
    return Installation(tmp_path / "home", database, billing_pool, admin)


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


async def test_an_invoice_of_ones_own_waits_until_somebody_has_said_who_issues(
    installation: Installation,
) -> None:
    await installation.start()
    await add_account(installation.admin, "acct_own", kind="external", profile=PROFILE, name="own")
    await add_account(installation.admin, "acct_new", kind="external", name="new")
    await add_price(installation.admin, "price")
    used = [call(one, datetime(2026, 10, 5, tzinfo=UTC)) for one in ("acct_own", "acct_new")]
    await store(installation.pool, used)
    assert "The seller is the demo's" in await installation.command("account", "profile", "own")
    told = await installation.command("close", "2026-10", fails=1)
    assert (
        "own: the live document of 2026-10 stays a draft; missing: seller; it would name the demo's" in told
    )
    assert "`ordergate seller profile`" in told
    remedy = "`ordergate account profile new --legal-name … --address … --tax-id …`"
    assert f"missing: legal name, address, tax id, seller; say it with {remedy}; it would name" in told
    assert f"Say it with {remedy}." in await installation.command("account", "profile", "new")
    seller = ("--legal-name", "Chengchuan Ltd", "--address", "2 Huaihe Road", "--tax-id", "913401")
    await installation.command("seller", "profile", *seller)
    assert "INV-2026-000001" in await installation.command("close", "2026-10", fails=1)
    assert "The seller is the demo's" not in await installation.command("account", "profile", "own")
    assert await installation.differences() == []

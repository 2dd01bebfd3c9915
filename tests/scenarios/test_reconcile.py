"""Three books after every scenario: the client's, the journals', the database's; what is wrong is named."""

from pathlib import Path

import asyncpg
import pytest

from billing.audit.compare import compare
from billing.audit.journals import journaled_events
from billing.desk import close
from billing.rebuild import verify
from billing.transaction import one_snapshot
from catalog.vocabulary.period import Period
from tests.reconciling import OCTOBER_5, Installation, calls, open_installation
from tests.usage_books import UNRATABLE, add_price, call, store
from tests.usage_calls import write_journal


@pytest.fixture
async def installation(admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path) -> Installation:
    root = tmp_path / "journals"
    root.mkdir()
    return await open_installation(admin, billing_pool, root)


async def test_books_that_agree_end_in_the_line_that_checks_rely_on(
    installation: Installation, tmp_path: Path
) -> None:
    journaled = calls(30) + calls(5, environment="test") + [call("acct_b", OCTOBER_5)]
    transactional = calls(7, operation="stock/reserve")
    await write_journal(installation.root / "worker-0", journaled)
    await store(installation.pool, transactional)
    test, live = await installation.reconcile()
    assert test.line == "served=5 metered=5 stored=5 rated=5 posted=5 invoiced=5 diff=0 money_diff=0"
    assert live.line == "served=38 metered=38 stored=38 rated=38 posted=38 invoiced=38 diff=0 money_diff=0"
    await close(installation.pool, Period(2026, 10), installation.clock)
    await store(installation.pool, calls(2, operation="stock/reserve"))
    _, live = await installation.reconcile()
    assert live.line == "served=40 metered=40 stored=40 rated=40 posted=40 invoiced=40 diff=0 money_diff=0"
    assert live.agrees
    assert await verify(installation.pool, journaled_events(installation.root)) == []


async def test_it_waits_for_lag_and_reports_what_is_still_behind(installation: Installation) -> None:
    await write_journal(installation.root / "worker-0", calls(3))
    started_ns = installation.clock.monotonic_ns()
    _, live = await installation.reconcile(drive=False)
    assert installation.clock.monotonic_ns() - started_ns >= 2_000_000_000
    assert live.line == "served=3 metered=3 stored=0 rated=0 posted=0 invoiced=0 diff=3 money_diff=0"
    assert not live.agrees
    assert (await installation.reconcile())[1].agrees


async def test_a_call_that_the_second_reader_counts_and_the_product_does_not_is_a_difference(
    installation: Installation,
) -> None:
    await write_journal(installation.root / "worker-0", calls(3))
    _, live = await installation.reconcile(served=lambda _until: {"live": 4})
    assert (live.served, live.metered, live.diff) == (4, 3, 1)


async def test_money_that_moved_without_usage_is_found_and_named(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    await store(installation.pool, calls(10))
    await installation.reconcile()
    await close(installation.pool, Period(2026, 10), installation.clock)
    await admin.execute("ALTER TABLE billing.invoice_line DISABLE TRIGGER append_only")
    await admin.execute("UPDATE billing.invoice_line SET amount = amount + 0.01")
    _, live = await installation.reconcile()
    assert live.diff == 0
    assert live.money_diff > 0
    assert any(
        "acct_a 2026-10 address/validate price: money stored 0.55" in text for text in live.differences
    )
    assert any("S-2026-000001: total 0.55, lines 0.56, posted 0.55" in text for text in live.differences)
    found = await verify(installation.pool, ())
    assert found == ["live S-2026-000001: its lines are not what was rated onto it"]


async def test_a_month_that_cannot_be_rated_is_a_named_difference_and_hides_no_other(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    await add_price(admin, "broken", **UNRATABLE)
    await store(installation.pool, [*calls(3), call("acct_b", OCTOBER_5)])
    _, live = await installation.reconcile()
    assert live.agrees
    await store(installation.pool, calls(2, price_version="broken"))
    _, live = await installation.reconcile()
    # The month was rated before the price that cannot be; what it comes to now nobody can say.
    assert live.line == "served=6 metered=6 stored=6 rated=4 posted=4 invoiced=4 diff=5 money_diff=0"
    assert live.differences[0] == (
        "live acct_a 2026-10: 5 calls cannot be rated: address/validate: "
        "a credit is computed from uptime_pct and bill"
    )
    assert not live.agrees
    assert await verify(installation.pool, ()) == [live.differences[0]]
    # A neighbour's lost line is found beside it.
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM billing.rated_line WHERE account_id = 'acct_b'")
    _, live = await installation.reconcile()
    assert (live.rated, live.diff) == (3, 6)
    differences = await verify(installation.pool, ())
    assert any("acct_b" in sentence and "rated nothing" in sentence for sentence in differences)


async def test_an_hour_that_was_changed_is_found_although_the_totals_follow_it(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    await store(installation.pool, calls(10))
    await installation.drive()
    await admin.execute("UPDATE billing.usage_hour SET calls = calls + 1, units = units + 1")
    await admin.execute("INSERT INTO billing.unrated VALUES ('acct_a', 'live', '2026-10-01')")
    _, live = await installation.reconcile()
    assert (live.stored, live.rated, live.invoiced, live.diff) == (10, 11, 11, 1)
    assert any("calls stored 10, rated 11" in text for text in live.differences)
    hour, line = await verify(installation.pool, ())
    assert hour.startswith("hour ")
    assert "rated 11 calls" in line


async def test_a_posting_that_is_missing_is_found(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    await store(installation.pool, calls(10))
    await installation.reconcile()
    await admin.execute("ALTER TABLE billing.posting DISABLE TRIGGER append_only")
    await admin.execute("DELETE FROM billing.posting")
    _, live = await installation.reconcile()
    assert (live.rated, live.posted, live.invoiced) == (10, 0, 10)
    assert live.diff == 10
    line = await admin.fetchval("SELECT id FROM billing.rated_line")
    assert await verify(installation.pool, ()) == [
        f"live rated_line:{line}: acct_a accrued 0.55 CNY is due and not posted",
        f"live rated_line:{line}: house earnings:address -0.55 CNY is due and not posted",
    ]


async def test_an_event_of_a_journal_that_is_stored_otherwise_is_named(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    events = calls(4)
    await write_journal(installation.root / "worker-0", events)
    await installation.drive()
    await admin.execute("UPDATE billing.usage_event SET status = 500 WHERE id = $1", events[2].uuid)
    found = await verify(installation.pool, journaled_events(installation.root))
    assert found == [f"call_{events[2].id}: is in a journal and not stored as it is there"]


async def test_comparing_only_reads_so_that_usage_moves_on_meanwhile(installation: Installation) -> None:
    await store(installation.pool, calls(3))
    _, live = await installation.reconcile()
    assert live.agrees
    async with one_snapshot(installation.pool) as connection:
        comparison = await compare(connection, "live")
        assert comparison.calls["stored"] == 3
        # No roll-up passes the id of a transaction that is still under way: this one has none.
        assert await connection.fetchval("SELECT pg_current_xact_id_if_assigned()") is None

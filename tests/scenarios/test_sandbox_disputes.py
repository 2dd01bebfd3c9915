"""A dispute over a sandbox's document happens in the sandbox's own time, as the document did."""

from datetime import UTC, datetime
from decimal import Decimal

import asyncpg

from billing.desk import approve, close
from billing.focus.export import focus_rows
from billing.invoice.dispute import reject_dispute
from billing.invoice.month import Month
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock, rfc3339
from catalog.vocabulary.period import Period
from deploy.database import Database
from tests.dispute_books import as_gateway, concede, contest, read_document
from tests.settled_books import assert_books_agree
from tests.usage_books import PROFILE, add_account, add_price, call, use

NOVEMBER, DECEMBER = Period(2026, 11), Period(2026, 12)
TODAY = datetime(2026, 11, 22, 9, tzinfo=UTC)
AHEAD = datetime(2026, 12, 1, tzinfo=UTC)
MONTH = Month("vat1", "test", NOVEMBER)


async def _closed(admin: asyncpg.Connection, pool: asyncpg.Pool) -> None:
    """Twenty test calls of November, whose clock was put forward to its end, and issued today."""
    await add_account(admin, "vat1", "external", "UTC", profile=PROFILE)
    await add_price(admin, "price", price={"unit_price": "1.00"})
    await use(pool, [call("vat1", TODAY, environment="test") for _ in range(20)])
    await admin.execute("UPDATE catalog.account SET test_clock = $1 WHERE id = 'vat1'", AHEAD)
    await close(pool, NOVEMBER, ManualClock(TODAY))


async def test_a_sandboxs_dispute_is_held_decided_and_credited_by_its_own_clock(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _closed(admin, billing_pool)
    opened = await contest(database, billing_pool, MONTH, 1, "3.00", TODAY)
    assert opened.opened_at == rfc3339(AHEAD)
    await assert_books_agree(billing_pool)
    decided = await concede(billing_pool, opened.id, TODAY)
    assert decided.ruled_at == rfc3339(AHEAD)
    await assert_books_agree(billing_pool)

    invoice = await read_document(billing_pool, MONTH)
    (note,) = invoice.credit_notes
    assert (note.number, note.issued_at) == ("TCN-2026-000001", invoice.issued_at)
    async with all_accounts(billing_pool) as connection:
        november, december = [
            [(row.invoice_id, row.billed_cost) for row in await focus_rows(connection, period, "test")]
            for period in (NOVEMBER, DECEMBER)
        ]
    assert november == [(invoice.number, Decimal("20.00"))]
    assert december == [(note.number, Decimal("-3.00"))]
    at = await admin.fetch("SELECT DISTINCT at FROM catalog.audit WHERE action LIKE 'dispute.%'")
    assert [row["at"] for row in at] == [TODAY], "who did what when is told in the time of day"


async def test_a_sandboxs_dispute_that_is_rejected_is_released_by_its_own_clock(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _closed(admin, billing_pool)
    opened = await contest(database, billing_pool, MONTH, 1, "3.00", TODAY)
    async with all_accounts(billing_pool) as connection:
        decided = await reject_dispute(connection, opened.id, "no", "operator@test", TODAY)
    assert decided.ruled_at == rfc3339(AHEAD)
    await assert_books_agree(billing_pool)


async def test_a_sandboxs_document_is_approved_once_its_own_month_is_over(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _closed(admin, billing_pool)
    found = await read_document(billing_pool, MONTH)
    async with as_gateway(database, "vat1") as gateway:
        approval = await approve(gateway, found, "key/x", TODAY)
    assert (approval.approved_at, approval.total.amount) == (rfc3339(AHEAD), "20.00")

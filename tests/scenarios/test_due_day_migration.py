"""Documents of the version before keep the due day that they were printed with, and nobody is reminded of old ones at once."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import asyncpg
import pytest

from billing.payment.account import agree
from billing.payment.reminder import remind
from billing.store.connection import billing_pool
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock
from deploy.database import Database
from deploy.migrate import migrate
from deploy.roles import BILLING
from tests.databases import DatabaseServer
from tests.older_databases import older_database
from tests.usage_books import add_account

_BEFORE = "0027"
# Issued on the second of November in Shanghai.
_INVOICE = """
    INSERT INTO billing.invoice (id, account_id, environment, period, kind, currency, state, created_at, number, total,
                                 issued_at, recipient, seller, terms)
    VALUES ($1, $2, 'live', $3::date, $4, 'CNY', 'issued', now(), $1, 10, '2026-11-01 20:00Z', '{}', $5, '{}')
"""
_COLLECTED = """
    INSERT INTO billing.payment_account (account_id, enabled, terms_days, reminder_days, changed_at)
    VALUES ($1, true, 14, '{1,14}', now())
"""


@pytest.fixture
async def old(database_server: DatabaseServer) -> AsyncIterator[Database]:
    """A database of the version before, with documents that were issued under its rules."""
    async with older_database(database_server, "old_due_days", _BEFORE) as database:
        admin = await asyncpg.connect(**database.admin())
        for account_id, kind in (("acct_a", "internal"), ("acct_x", "external"), ("acct_y", "external")):
            await add_account(admin, account_id, kind=kind)
        await admin.execute(_COLLECTED, "acct_x")
        said, shorter = '{"legal_name": "a"}', '{"legal_name": "a", "payment_days": 7}'
        for number, account_id, month, what, seller in (
            ("S-1", "acct_a", date(2026, 10, 1), "statement", said),
            ("INV-1", "acct_x", date(2026, 10, 1), "invoice", said),
            ("INV-2", "acct_x", date(2026, 9, 1), "invoice", shorter),
            ("INV-3", "acct_x", date(2026, 8, 1), "invoice", None),
            ("INV-4", "acct_y", date(2026, 10, 1), "invoice", None),
        ):
            await admin.execute(_INVOICE, number, account_id, month, what, seller)
        await admin.close()
        yield database


async def test_documents_keep_what_was_printed_and_old_ones_are_not_reminded_of(old: Database) -> None:
    await migrate(old)
    admin = await asyncpg.connect(**old.admin())
    rows = await admin.fetch("SELECT number, due_on FROM billing.invoice ORDER BY 1")
    assert [tuple(row) for row in rows] == [
        ("INV-1", date(2026, 12, 2)),
        ("INV-2", date(2026, 11, 9)),
        ("INV-3", date(2026, 11, 16)),
        ("INV-4", None),
        ("S-1", None),
    ]
    with pytest.raises(asyncpg.RestrictViolationError):
        await admin.execute("UPDATE billing.invoice SET due_on = '2027-01-01' WHERE number = 'INV-1'")
    clock = ManualClock(datetime(2027, 3, 1, tzinfo=UTC))
    pool = await billing_pool(old.as_role(BILLING))
    try:
        assert await remind(pool, clock) == 0, "they may have been paid past the books"
        async with all_accounts(pool) as connection:
            await agree(
                connection, "acct_y", datetime(2027, 3, 1, tzinfo=UTC), terms_days=14, reminder_days=(1,)
            )
        assert await remind(pool, clock) == 0, "without a due day nothing is overdue"
    finally:
        await pool.close()
    await admin.close()

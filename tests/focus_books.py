"""A month with every kind of charge, for tests of the FOCUS export."""

from datetime import timedelta
from decimal import Decimal

import asyncpg
from msgspec.structs import replace

from billing.desk import CreditLine, close, issue_credit_note
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock
from tests.settled_books import (
    NOON,
    NOVEMBER,
    NOVEMBER_1,
    NOVEMBER_3,
    OCTOBER,
    certificates,
    checks,
    close_october,
    open_payers,
)
from tests.sla_books import miss
from tests.usage_books import add_price, use

DECEMBER_3 = NOVEMBER_3 + timedelta(days=30)


async def fill(admin: asyncpg.Connection, pool: asyncpg.Pool) -> None:
    """October and November are closed, December runs.

    bu-06: tiered checks of two applications, free calls, a service credit, a correction in November and a credit note
    over October. d-27, another company: access fee, discount, a minimum, and tax.
    """
    await open_payers(admin)
    await _contract(admin)
    await add_price(admin, "screen", "customs/screen", price={"unit_price": "0.35"})
    await miss(admin, "customs/screen", NOON, 25)
    checked = [
        replace(one, application_id="app_two", cost_centre_id=f"cc_{'legal' if number % 3 else 'it'}")
        if number % 2
        else one
        for number, one in enumerate(checks("bu-06", 117))
    ]
    screened = [
        replace(one, operation="customs/screen", price_version="screen") for one in checks("bu-06", 41)
    ]
    refused = [
        replace(
            one, price_version="", class_="caller_error", outcome="failure", fault="caller", billable=False
        )
        for one in checks("bu-06", 3)
    ]
    free = [replace(one, units="0") for one in refused]
    calls = [*checked, *screened, *free, *certificates("bu-06", 2), *checks("d-27", 7)]
    await close_october(pool, calls, NOVEMBER_1)
    late = checks("bu-06", 5, NOON + timedelta(days=1))
    await use(pool, [*late, *checks("bu-06", 2, NOON + timedelta(days=30))])
    async with all_accounts(pool) as connection:
        lines = [CreditLine("customs", "A certificate that was issued twice", Decimal("14.00"))]
        await issue_credit_note(
            connection, "inv_live_bu-06_2026-10", "correction", "dispute:test", lines, NOVEMBER_3
        )
    await close(pool, NOVEMBER, ManualClock(DECEMBER_3))
    await use(pool, checks("bu-06", 1, DECEMBER_3))
    await close(pool, OCTOBER, ManualClock(DECEMBER_3))


async def _contract(admin: asyncpg.Connection) -> None:
    await admin.execute(
        "INSERT INTO catalog.application (id, account_id, name, cost_centre_id, created_at) "
        "VALUES ('app_two', 'bu-06', '=shop \"two\"', 'cc_legal', $1)",
        NOON,
    )
    await admin.execute(
        "INSERT INTO catalog.account_terms (id, account_id, service, starts_on, revision, access_fee, discount_pct, minimum, "
        "committed_spend, committed_months, set_at, set_by) "
        "VALUES ('terms_a', 'd-27', '', '2026-10-01', 1, 2.00, 5, 40.00, 0, 0, $1, 'test')",
        NOON,
    )
    await admin.execute(
        "UPDATE catalog.account SET billing_profile = billing_profile || '{\"country\": \"ID\"}' WHERE id = 'd-27'"
    )
    await admin.execute(
        "INSERT INTO catalog.tax_rate (region, service, starts_on, revision, name, rate_pct, set_at, set_by) "
        "VALUES ('ID', '', '2026-01-01', 1, 'VAT', 11, $1, 'test')",
        NOON,
    )


__all__ = ["DECEMBER_3", "NOVEMBER", "OCTOBER", "fill"]

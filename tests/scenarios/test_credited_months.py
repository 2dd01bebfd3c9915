"""What a credit note takes back is missing in the month that issued it: in the margin, for units, on cost centres."""

from datetime import UTC, datetime
from decimal import Decimal

import asyncpg

from billing.desk import allocate
from billing.invoice.month import Month
from billing.invoice.rate_pending import rate_pending
from billing.settlement.chargeback import Chargeback, chargeback
from billing.settlement.margin import margin
from billing.settlement.revenue import revenue_statements
from billing.transaction import all_accounts
from catalog.accounts.account import find_account
from catalog.accounts.allocation import AllocationPart
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import Environment
from deploy.database import Database
from tests.dispute_books import as_gateway, concede, contest
from tests.settled_books import (
    NOVEMBER,
    NOVEMBER_1,
    OCTOBER,
    assert_books_agree,
    certificates,
    checks,
    close_october,
    ledger,
    open_payers,
)
from tests.usage_books import use

IN_NOVEMBER = datetime(2026, 11, 5, 4, tzinfo=UTC)
ENVIRONMENT: Environment = "live"


async def _earned(pool: asyncpg.Pool) -> list[tuple[Decimal, Decimal]]:
    """Of October and of November: revenue by the margin, and by the units' statements."""
    found = []
    async with all_accounts(pool) as connection:
        for period in (OCTOBER, NOVEMBER):
            totals = (await margin(connection, period, ENVIRONMENT)).totals
            statements = await revenue_statements(connection, period, ENVIRONMENT)
            units = sum((Decimal(one.revenue) for of in statements for one in of.totals), Decimal(0))
            found.append((sum((Decimal(one.revenue) for one in totals), Decimal(0)), units))
    return found


def _borne(found: Chargeback) -> dict[str, str]:
    return {one.cost_centre_id: one.amount for one in found.cost_centres}


async def test_the_margin_of_the_month_that_credits_is_less_as_the_ledger_and_the_units_statements_are(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await open_payers(admin)
    await close_october(billing_pool, [*checks("bu-06", 118), *certificates("bu-06", 2)])
    assert await _earned(billing_pool) == [(Decimal("439.20"), Decimal("439.20")), (Decimal(0), Decimal(0))]
    month = Month("bu-06", ENVIRONMENT, OCTOBER)
    opened = await contest(database, billing_pool, month, 1, "14.00", NOVEMBER_1)
    await concede(billing_pool, opened.id, NOVEMBER_1)
    assert await _earned(billing_pool) == [
        (Decimal("439.20"), Decimal("439.20")),
        (Decimal("-14.00"), Decimal("-14.00")),
    ]
    booked = await ledger(admin, "earnings:%")
    assert booked == {("house", "earnings:customs"): Decimal("-425.20")}
    async with all_accounts(billing_pool) as connection:
        (customs,) = (await margin(connection, NOVEMBER, ENVIRONMENT)).services
    assert [(one.operation, one.figures.revenue) for one in customs.operations] == [("customs/*", "-14.00")]
    assert sum(Decimal(one.amount) for one in customs.delivered_by) == Decimal("-14.00")
    await assert_books_agree(billing_pool)


async def test_a_note_is_charged_back_in_its_own_month_to_those_who_bore_what_it_takes_back(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await open_payers(admin)
    async with as_gateway(database) as gateway:
        await allocate(
            gateway,
            await find_account(gateway, "bu-06"),
            "customs/check",
            OCTOBER,
            tuple(
                AllocationPart(f"cc_{name}", percent)
                for name, percent in (("logistics", "55"), ("legal", "25"), ("it", "20"))
            ),
            actor="operator@test",
            now=datetime(2026, 9, 1, tzinfo=UTC),
        )
    await close_october(billing_pool, [*checks("bu-06", 118), *certificates("bu-06", 2)])
    month = Month("bu-06", ENVIRONMENT, OCTOBER)
    async with all_accounts(billing_pool) as connection:
        before = await chargeback(connection, month)
    # The certificates are borne by whom used them, the checks by the rule.
    for line, amount in ((1, "14.00"), (2, "100.00")):
        opened = await contest(database, billing_pool, month, line, amount, NOVEMBER_1)
        await concede(billing_pool, opened.id, NOVEMBER_1)
    async with all_accounts(billing_pool) as connection:
        assert await chargeback(connection, month) == before, "October was charged back and stays"
        alone = await chargeback(connection, Month("bu-06", ENVIRONMENT, NOVEMBER))
    assert (alone.total, alone.document_id[:3]) == ("-114.00", "cn_")
    credited = {"cc_bu-06": "-14.00", "cc_logistics": "-55.00", "cc_legal": "-25.00", "cc_it": "-20.00"}
    assert _borne(alone) == credited
    assert [(line.operation, line.basis, line.credit_note) for line in alone.lines] == [
        ("customs/certificate", "usage", "CN-2026-000001"),
        ("customs/check", "rule", "CN-2026-000002"),
    ]
    await use(billing_pool, certificates("bu-06", 1, IN_NOVEMBER))
    await rate_pending(billing_pool, ManualClock(IN_NOVEMBER))
    async with all_accounts(billing_pool) as connection:
        beside = await chargeback(connection, Month("bu-06", ENVIRONMENT, NOVEMBER))
    assert (beside.total, [line.position for line in beside.lines]) == ("-100.00", [1, 2, 3])
    assert _borne(beside) == {**credited, "cc_bu-06": "0.00"}
    assert not sum(Decimal(entry.amount) for entry in beside.journal)

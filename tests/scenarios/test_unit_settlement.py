"""What a service earns goes to the units that deliver it; the group's transfers sum to zero; nobody else sees a margin."""

from decimal import Decimal

import asyncpg
from msgspec.structs import replace

from billing.audit.settled import settlement_differences
from billing.desk import CreditLine, close, issue_credit_note
from billing.settlement.margin import margin
from billing.settlement.revenue import revenue_statements
from billing.transaction import all_accounts
from catalog.passport import Cost
from catalog.vocabulary.clock import ManualClock
from tests.settled_books import (
    NOON,
    NOVEMBER,
    NOVEMBER_1,
    NOVEMBER_3,
    OCTOBER,
    assert_books_agree,
    certificates,
    checks,
    close_october,
    ledger,
    open_payers,
)
from tests.sla_books import customs_passport, miss, publish
from tests.usage_books import add_account, add_price, use


async def _in(pool: asyncpg.Pool) -> list[str]:
    async with all_accounts(pool) as connection:
        return [text async for text in settlement_differences(connection, "live")]


async def test_an_issued_statement_posts_each_units_share_and_the_group_sums_to_zero(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await open_payers(admin)
    await close_october(billing_pool, [*checks("bu-06", 118), *checks("d-27", 7)])
    assert await ledger(admin, "due_%") == {
        ("bu-06", "due_to:logistics"): Decimal("-226.16"),
        ("bu-06", "due_to:legal"): Decimal("-102.80"),
        ("bu-06", "due_to:it"): Decimal("-82.24"),
        ("house", "due_to:logistics"): Decimal("-18.86"),
        ("house", "due_to:legal"): Decimal("-8.58"),
        ("house", "due_to:it"): Decimal("-6.86"),
        ("unit:logistics", "due_from:bu-06"): Decimal("226.16"),
        ("unit:legal", "due_from:bu-06"): Decimal("102.80"),
        ("unit:it", "due_from:bu-06"): Decimal("82.24"),
        ("unit:logistics", "due_from:house"): Decimal("18.86"),
        ("unit:legal", "due_from:house"): Decimal("8.58"),
        ("unit:it", "due_from:house"): Decimal("6.86"),
    }
    assert sum((await ledger(admin, "due_%")).values()) == 0
    await assert_books_agree(billing_pool)
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_3))
    assert len(await ledger(admin, "due_%")) == 12, "closing again posts nothing more"
    async with all_accounts(billing_pool) as connection:
        statements = await revenue_statements(connection, OCTOBER, "live")
    assert [(one.unit, one.totals[0].amount) for one in statements] == [
        ("it", "89.10"),
        ("legal", "111.38"),
        ("logistics", "245.02"),
    ]
    assert [(line.account, line.amount) for line in statements[2].lines] == [
        ("bu-06", "226.16"),
        ("d-27", "18.86"),
    ]


async def test_a_missed_objective_is_borne_by_the_units_in_their_shares(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await open_payers(admin)
    await add_price(admin, "screen", "customs/screen", price={"unit_price": "0.35"})
    screened = [
        replace(one, operation="customs/screen", price_version="screen") for one in checks("bu-06", 100)
    ]
    await miss(admin, "customs/screen", NOON, 25)
    await close_october(billing_pool, screened, NOVEMBER_3)
    async with all_accounts(billing_pool) as connection:
        (it, legal, logistics) = await revenue_statements(connection, OCTOBER, "live")
    assert [one.totals[0].credits for one in (logistics, legal, it)] == ["0.96", "0.44", "0.35"]
    assert [one.totals[0].amount for one in (logistics, legal, it)] == ["18.29", "8.31", "6.65"]
    await assert_books_agree(billing_pool)


async def test_a_credit_note_takes_back_what_the_units_earned(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await open_payers(admin)
    await close_october(billing_pool, checks("bu-06", 118))
    async with all_accounts(billing_pool) as connection:
        lines = [CreditLine("customs", "one check too many", Decimal("3.40"))]
        await issue_credit_note(
            connection, "inv_live_bu-06_2026-10", "correction", "test:1", lines, NOVEMBER_3
        )
    async with all_accounts(billing_pool) as connection:
        statements = await revenue_statements(connection, NOVEMBER, "live")
    assert [(one.unit, one.totals[0].amount) for one in statements] == [
        ("it", "-0.68"),
        ("legal", "-0.85"),
        ("logistics", "-1.87"),
    ]
    await assert_books_agree(billing_pool)


async def test_a_service_without_a_division_is_its_owners_alone(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "bu-01")
    await add_price(admin, "check", "customs/check", price={"unit_price": "1.00"})
    passport = replace(customs_passport(objectives=(), credits=()), delivered_by=())
    await publish(admin, passport)
    await close_october(billing_pool, [replace(one, price_version="check") for one in checks("bu-01", 3)])
    assert await ledger(admin, "due_to%") == {("bu-01", f"due_to:{passport.owner.team}"): Decimal("-3.00")}


async def test_documents_from_before_there_were_transfers_get_them_with_the_next_close(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await open_payers(admin)
    await close_october(billing_pool, checks("bu-06", 118))
    before = await ledger(admin, "due_%")
    async with admin.transaction():
        for table in ("posting", "ledger_transaction", "transfer"):
            await admin.execute(f"ALTER TABLE billing.{table} DISABLE TRIGGER USER")
        await admin.execute(
            "DELETE FROM billing.posting WHERE transaction_id IN "
            "(SELECT id FROM billing.ledger_transaction WHERE kind = 'transfer')"
        )
        await admin.execute("DELETE FROM billing.ledger_transaction WHERE kind = 'transfer'")
        await admin.execute("DELETE FROM billing.transfer")
        for table in ("posting", "ledger_transaction", "transfer"):
            await admin.execute(f"ALTER TABLE billing.{table} ENABLE TRIGGER USER")
    assert await _in(billing_pool) == []
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_3))
    assert await ledger(admin, "due_%") == before
    await assert_books_agree(billing_pool)


async def test_a_transfer_that_was_tampered_with_is_found(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await open_payers(admin)
    await close_october(billing_pool, checks("bu-06", 118))
    await admin.execute("ALTER TABLE billing.transfer DISABLE TRIGGER USER")
    await admin.execute("UPDATE billing.transfer SET revenue = revenue + 1 WHERE unit = 'it'")
    found = await _in(billing_pool)
    assert any("divides revenue 412.20, due is 411.20" in text for text in found)
    assert any("not those of its percentages" in text for text in found)
    assert any("is due and not posted" in text for text in found)
    assert any("is posted and not due" in text for text in found)
    await admin.execute("DELETE FROM billing.transfer WHERE unit <> 'it'")
    assert any("its parts" in text or "divides" in text for text in await _in(billing_pool))


async def test_the_margin_of_a_month_is_revenue_less_credits_less_unit_costs(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await open_payers(admin)
    costs = (Cost("check", "CNY", "2.30"), Cost("screen", "CNY", "0.22"))
    await publish(admin, replace(customs_passport(), costs=costs), NOVEMBER_1.replace(month=9))
    await use(billing_pool, [*checks("bu-06", 118), *certificates("bu-06", 2)])
    async with all_accounts(billing_pool) as connection:
        running = await margin(connection, OCTOBER, "live")
    assert running.services == (), "nothing is rated before the flow or the close has done it"
    await close(billing_pool, OCTOBER, ManualClock(NOVEMBER_3))
    async with all_accounts(billing_pool) as connection:
        found = await margin(connection, OCTOBER, "live")
    (customs,) = found.services
    certificate, check = customs.operations
    assert (check.operation, check.figures.calls) == ("customs/check", 118)
    assert (check.figures.revenue, check.figures.cost, check.figures.margin) == ("411.20", "271.40", "139.80")
    assert check.figures.margin_pct == "34.00"
    assert (certificate.figures.revenue, certificate.figures.cost) == ("28.00", None)
    assert customs.figures.margin is None, "what nobody knows the cost of has no margin"
    assert [(one.unit, one.amount) for one in customs.delivered_by] == [
        ("it", "87.84"),
        ("legal", "109.80"),
        ("logistics", "241.56"),
    ]
    assert found.totals[0].revenue == "439.20"

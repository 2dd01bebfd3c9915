"""The demo group's whole year through the product's own rating and contracts: 47,000.00 yuan, to the cent and to the call."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest
import pytest_asyncio

from billing.audit.tallies import invoiced, rated
from billing.desk import close
from billing.store.connection import billing_pool as open_billing_pool
from billing.transaction import all_accounts
from catalog.accounts.account import find_account
from catalog.accounts.contract_terms import ContractTerms, set_terms
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.demo.group import demo_group
from deploy.demo.plan import plan_of
from deploy.roles import BILLING, GATEWAY
from tests.databases import DatabaseServer
from tests.demo_prices import PRICES, SHARED_COST_OF_A_MONTH, UNIT_COSTS
from tests.usage_books import PROFILE, add_account, add_price

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUP, PLAN = demo_group(), plan_of(demo_group())
YEAR = tuple(Period(2026, month) for month in range(1, 13))
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

_USAGE = """
    INSERT INTO billing.usage_hour (account_id, environment, period, hour, subscription_id, application_id, cost_centre_id,
        operation, price_version, class, outcome, fault, calls, billable_calls, units, latency_us_sum)
    SELECT account, 'live', month, month, 'sub_' || account, 'app_' || account, '', operation, price, 'ok', 'success',
           'none', calls, calls, calls, 0
    FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::bigint[]) AS used (account, month, operation, price, calls)
"""
_MARK = "INSERT INTO billing.unrated SELECT DISTINCT account_id, environment, period FROM billing.usage_hour"


async def _fill(admin: asyncpg.Connection, database: Database) -> None:
    for operation, (internal, external) in PRICES.items():
        for audience, (model, price) in (("internal", internal), ("external", external)):
            await add_price(admin, f"{operation}:{audience}", operation, model, price)
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    for member in GROUP.members:
        profile = PROFILE if member.kind == "external" else None
        await add_account(admin, member.name, kind=member.kind, timezone=member.timezone, profile=profile)
        if (agreed := member.contract) is not None:
            terms = ContractTerms(
                "", "", YEAR[0].first_day, agreed.access_fee, agreed.discount_pct, agreed.minimum
            )
            async with gateway.transaction():
                account = await find_account(gateway, member.name)
                await set_terms(gateway, account, terms, actor="test", now=NEW_YEAR)
    await gateway.close()
    used = [
        (member.name, period.first_day, operation, f"{operation}:{member.kind}", calls)
        for member in GROUP.members
        for period in YEAR
        for operation in PRICES
        if (calls := PLAN.volume(member.name, operation, period.month))
    ]
    await admin.execute(_USAGE, *(list(column) for column in zip(*used, strict=True)))
    await admin.execute(_MARK)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def books(database_server: DatabaseServer) -> AsyncIterator[asyncpg.Pool]:
    """The year as it is billed; closed once for all tests."""
    database = await database_server.create()
    admin = await asyncpg.connect(**database.admin())
    await _fill(admin, database)
    await admin.close()
    pool = await open_billing_pool(database.as_role(BILLING))
    for period in YEAR:
        report = await close(pool, period, ManualClock(period.bounds("UTC")[1] + timedelta(hours=12)))
        assert (len(report.issued), report.left_draft, report.not_ended) == (38, (), ())
    yield pool
    await pool.close()
    await database_server.drop(database)


async def _totals(pool: asyncpg.Pool) -> Mapping[tuple[str, int], Decimal]:
    async with all_accounts(pool) as connection:
        rows = await connection.fetch("SELECT account_id, period, total FROM billing.invoice")
    return {(row["account_id"], row["period"].month): row["total"] for row in rows}


async def test_the_year_is_47000_yuan_303741_calls_and_a_margin_of_38_2_per_cent(books: asyncpg.Pool) -> None:
    totals = await _totals(books)
    async with all_accounts(books) as connection:
        calls = await connection.fetch(
            "SELECT operation, sum(calls)::bigint AS calls FROM billing.invoice_line GROUP BY 1"
        )
        assert await rated(connection, "live") == await invoiced(connection, "live")
    brands = sum(total for (account, _), total in totals.items() if account.startswith("bu-"))
    assert (brands, sum(totals.values()) - brands) == (Decimal("34065.10"), Decimal("12934.90"))
    assert sum(totals.values()) == Decimal("47000.00")
    assert sum(row["calls"] for row in calls) == 303_741
    costs = sum(row["calls"] * Decimal(UNIT_COSTS[row["operation"]]) for row in calls)
    shared = 12 * Decimal(SHARED_COST_OF_A_MONTH)
    profit = sum(totals.values()) - costs - shared
    assert (round(costs, 2), shared, round(profit, 2)) == (
        Decimal("26614.54"),
        Decimal("2424.00"),
        Decimal("17961.46"),
    )
    assert round(100 * profit / sum(totals.values()), 1) == Decimal("38.2")


async def test_revenue_is_what_the_services_and_the_contracts_come_to(books: asyncpg.Pool) -> None:
    async with all_accounts(books) as connection:
        services = await connection.fetch(
            "SELECT split_part(operation, '/', 1), sum(amount) FROM billing.invoice_line GROUP BY 1"
        )
        charges = await connection.fetch("SELECT kind, sum(amount) FROM billing.charge_line GROUP BY 1")
    assert dict(tuple(row) for row in services) == {
        "address": Decimal("3876.44"),
        "stock": Decimal("6179.40"),
        "customs": Decimal("29009.55"),
        "invoice": Decimal("7164.33"),
    }
    assert dict(tuple(row) for row in charges) == {
        "fee": Decimal("768.00"),
        "discount": Decimal("-178.91"),
        "top_up": Decimal("181.19"),
    }


async def test_every_month_comes_to_what_the_plan_says(books: asyncpg.Pool) -> None:
    totals = await _totals(books)
    yuan = [sum(total for (_, month), total in totals.items() if month == period.month) for period in YEAR]
    told = "3520.23 2877.54 3520.23 3520.23 3807.36 4894.46 3518.23 3500.22 4023.85 4018.84 5780.25 4018.56"
    assert yuan == [Decimal(one) for one in told.split()]


@pytest.mark.parametrize(
    ("account", "year", "october"),
    [
        ("bu-01", "5246.11", "443.89"),
        ("bu-02", "6006.95", "515.24"),
        ("bu-03", "3965.07", "336.89"),
        ("bu-04", "2845.70", "242.93"),
        ("bu-05", "6833.69", "577.05"),
        ("bu-06", "9167.58", "772.43"),
        ("d-01", "845.29", "66.29"),
        ("d-06", "488.91", "40.00"),
        ("d-21", "198.48", "16.75"),
        ("d-27", "820.97", "74.46"),
    ],
)
async def test_each_account_pays_what_the_story_says(
    books: asyncpg.Pool, account: str, year: str, october: str
) -> None:
    totals = await _totals(books)
    assert sum(total for (name, _), total in totals.items() if name == account) == Decimal(year)
    assert totals[account, 10] == Decimal(october)


async def test_the_largest_committed_dealers_october_and_the_smallest_ones_february_show_their_arithmetic(
    books: asyncpg.Pool,
) -> None:
    async with all_accounts(books) as connection:
        rows = await connection.fetch(
            "SELECT account_id, kind, base, amount, detail FROM billing.charge_line "
            "WHERE (account_id, period) IN (('d-01', '2026-10-01'), ('d-06', '2026-02-01')) ORDER BY account_id, id"
        )
    told = [(row["account_id"], row["kind"], row["base"], row["amount"]) for row in rows]
    assert told == [
        ("d-01", "fee", Decimal("67.78"), Decimal("2.00")),
        ("d-01", "discount", Decimal("69.78"), Decimal("-3.49")),
        ("d-06", "fee", Decimal("26.02"), Decimal("2.00")),
        ("d-06", "discount", Decimal("28.02"), Decimal("-1.40")),
        ("d-06", "top_up", Decimal("26.62"), Decimal("13.38")),
    ]
    assert json.loads(rows[1]["detail"])["trace"][0]["amount"] == "-3.489"

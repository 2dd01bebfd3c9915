"""Two payers of the customs service, which three units deliver, for tests of what is settled between them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg

from billing.audit.compare import compare
from billing.desk import close
from billing.ledger.balances import balances
from billing.rebuild import verify
from billing.transaction import one_snapshot
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period
from tests.sla_books import CHECK, customs_passport, publish
from tests.usage_books import PROFILE, add_account, add_price, call, use

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
NOON = datetime(2026, 10, 12, 4, tzinfo=UTC)
NOVEMBER_1, NOVEMBER_3 = datetime(2026, 11, 1, 2, tzinfo=UTC), datetime(2026, 11, 3, 2, tzinfo=UTC)
CENTRES = ("logistics", "legal", "it")


async def open_payers(admin: asyncpg.Connection) -> None:
    """bu-06 of the group with three cost centres, d-27 outside it; checks at the demo's prices, certificates at 14.00."""
    await add_account(admin, "bu-06")
    await add_account(admin, "d-27", "external", "Asia/Jakarta", profile=PROFILE)
    for centre in CENTRES:
        await admin.execute("INSERT INTO catalog.cost_centre VALUES ('cc_' || $1, 'bu-06', $1)", centre)
    for audience, steps in CHECK.items():
        tiers = {"tiers": [{"up_to": up_to, "unit_price": price, "flat_fee": "0"} for up_to, price in steps]}
        await add_price(admin, f"check-{audience}", "customs/check", "graduated", tiers)
    await add_price(admin, "certificate", "customs/certificate", price={"unit_price": "14.00"})
    await publish(admin, customs_passport())


def checks(
    account_id: str, count: int, moment: datetime = NOON, environment: Environment = "live"
) -> list[UsageEvent]:
    """So many checks, a minute apart."""
    audience = "internal" if account_id.startswith("bu") else "external"
    return [
        call(
            account_id,
            moment + timedelta(minutes=number),
            operation="customs/check",
            price_version=f"check-{audience}",
            environment=environment,
        )
        for number in range(count)
    ]


def certificates(account_id: str, count: int, moment: datetime = NOON) -> list[UsageEvent]:
    """So many certificates, a minute apart."""
    return [
        call(
            account_id,
            moment + timedelta(minutes=number),
            operation="customs/certificate",
            price_version="certificate",
        )
        for number in range(count)
    ]


async def close_october(pool: asyncpg.Pool, calls: Iterable[UsageEvent], at: datetime = NOVEMBER_1) -> None:
    """Use and close."""
    await use(pool, calls)
    await close(pool, OCTOBER, ManualClock(at))


async def assert_books_agree(pool: asyncpg.Pool) -> None:
    """Nothing is lost, doubled or mispriced, and rebuilding finds no difference."""
    async with one_snapshot(pool) as connection:
        for environment in ("live", "test"):
            found = await compare(connection, environment)
            assert (found.diff, found.money_diff, found.differences) == (0, Decimal(0), ())
            assert sum(one.amount for one in await balances(connection, environment)) == 0
    assert await verify(pool, ()) == []


async def ledger(admin: asyncpg.Connection, like: str) -> dict[tuple[str, str], Decimal]:
    """The balances of ledger accounts whose names are like this, by whose they are and by name."""
    rows = await admin.fetch(
        "SELECT account_id, ledger_account, sum(amount) AS amount FROM billing.posting "
        "WHERE ledger_account LIKE $1 GROUP BY 1, 2 HAVING sum(amount) <> 0",
        like,
    )
    return {(row["account_id"], row["ledger_account"]): row["amount"] for row in rows}

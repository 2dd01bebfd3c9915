"""Disputes for tests of what becomes of them: opened as the gateway opens them, decided as the provider decides.

And a payer with contract terms and taxes, `acct_x`, whose documents they are over.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg

from billing.desk import Contested, close, open_dispute
from billing.invoice.contested import line_of
from billing.invoice.dispute import accept_dispute
from billing.invoice.disputed import Dispute
from billing.invoice.month import Month
from billing.invoice.note_document import credit_note_document
from billing.invoice.rate_pending import rate_pending
from billing.transaction import all_accounts
from billing.view import Document, document
from catalog.accounts.account import find_account
from catalog.accounts.contract_terms import ContractTerms, set_terms
from catalog.accounts.tax import TaxRate, set_tax_rate
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.settled_books import ledger
from tests.usage_books import PROFILE, add_account, add_price, call, use

BY: Mapping[str, Any] = {"actor": "operator@test", "now": datetime(2026, 8, 1, tzinfo=UTC)}


@asynccontextmanager
async def as_gateway(database: Database, account_id: str = "*") -> AsyncIterator[asyncpg.Connection]:
    """One transaction of the gateway's role."""
    connection = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": account_id}))
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


async def read_document(pool: asyncpg.Pool, month: Month) -> Document:
    """A month's document."""
    async with all_accounts(pool) as connection:
        return await document(connection, month)


async def contest(
    database: Database, pool: asyncpg.Pool, month: Month, position: int, amount: str, now: datetime
) -> Dispute:
    """Contest so much of a line of a month's document, again where it was rejected before."""
    found = await read_document(pool, month)
    contested = Contested(line_of(found, position), Decimal(amount), "it was not ours")
    async with as_gateway(database, month.account_id) as connection:
        return await open_dispute(connection, found, contested, "key/x", now, again=True)


async def concede(pool: asyncpg.Pool, dispute_id: str, now: datetime, amount: str | None = None) -> Dispute:
    """The provider agrees, with all of it or with so much."""
    part = None if amount is None else Decimal(amount)
    async with all_accounts(pool) as connection:
        return await accept_dispute(connection, dispute_id, "it was not", "operator@test", now, part)


def day_in(period: Period, day: int = 5) -> datetime:
    """Midnight of a day of a month."""
    return datetime(period.year, period.month, day, tzinfo=UTC)


def after(period: Period) -> datetime:
    """When a month is closed."""
    return day_in(period.next(), 2)


def month_of(period: Period) -> Month:
    """A live month of acct_x."""
    return Month("acct_x", "live", period)


async def agree(database: Database, starts_on: date, service: str = "", **terms: Any) -> None:
    """Contract terms of acct_x; money and percentages as text."""
    async with as_gateway(database) as gateway:
        account = await find_account(gateway, "acct_x")
        fields: dict[str, Any] = {
            name: Decimal(value) if isinstance(value, str) else value for name, value in terms.items()
        }
        await set_terms(gateway, account, ContractTerms("", service, starts_on, **fields), **BY)


async def set_tax(database: Database, region: str, percent: str, service: str = "") -> None:
    """A region's rate in percent."""
    async with as_gateway(database) as gateway:
        rate = TaxRate(region, service, date(2026, 1, 1), "sales tax", Decimal(percent))
        await set_tax_rate(gateway, rate, **BY)


async def sell(admin: asyncpg.Connection, country: str = "US", kind: str = "external") -> None:
    """acct_x pays 1.00 for a check, 0.39 for a reservation, and 2.50 for a certificate."""
    await add_account(admin, "acct_x", kind, timezone="UTC", profile={**PROFILE, "country": country})
    for operation, price in (
        ("address/validate", "1"),
        ("stock/reserve", "0.39"),
        ("customs/certificate", "2.50"),
    ):
        await add_price(admin, operation, operation, price={"unit_price": price})


async def use_in(pool: asyncpg.Pool, period: Period, operation: str, count: int) -> None:
    """So many calls of acct_x on the fifth of a month."""
    await use(
        pool,
        [
            call(
                "acct_x",
                day_in(period),
                operation=operation,
                price_version=operation,
                subscription_id="sub_x",
            )
            for _ in range(count)
        ],
    )


async def close_month(pool: asyncpg.Pool, period: Period) -> None:
    """The day after it ended."""
    await close(pool, period, ManualClock(after(period)))


async def rate_in(pool: asyncpg.Pool, period: Period) -> None:
    """While the month runs."""
    await rate_pending(pool, ManualClock(day_in(period, 20)))


async def note_parts(pool: asyncpg.Pool, number: str | None) -> list[tuple[str, str, str]]:
    """Kind, service and amount of a credit note's lines, which sum to its total."""
    assert number is not None
    async with all_accounts(pool) as connection:
        found = await credit_note_document(connection, number)
    assert sum(Decimal(line.amount) for line in found.lines) == Decimal(found.total)
    return [(line.kind, line.service, line.amount) for line in found.lines]


async def owed_by_payer(admin: asyncpg.Connection) -> Decimal:
    """What acct_x owes beside what is held."""
    found = await ledger(admin, "receivable")
    return found.get(("acct_x", "receivable"), Decimal(0))

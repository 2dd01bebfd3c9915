"""Accounts under capacity prices, for tests: the tiers, the versions, the calls, and what the month comes to."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import asyncpg
import msgspec

from billing.desk import close
from billing.invoice.month import Month
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import Document, document
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.usage_books import call

OCTOBER = Period(2026, 10)
CLOSED = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))
LONG_AGO = date(2026, 1, 1)


def tiers(*bounds: Mapping[str, str], fees: Sequence[str] = ("31.00", "62.00", "310.00")) -> dict[str, Any]:
    """Tiers of these bounds and one beyond them."""
    return {"tiers": [{"max": most, "price": fee} for most, fee in zip((*bounds, None), fees, strict=False)]}


async def add_version(
    admin: asyncpg.Connection,
    version: int,
    starts_on: date,
    price: Mapping[str, Any],
    model: str = "capacity",
    plan: str = "v",
    supersedes_after: datetime | None = None,
) -> None:
    """A version of the price of a plan, `v1`, that was published before it begins."""
    await admin.execute(
        "INSERT INTO catalog.price_version (id, service, plan_id, audience, operation, currency, version, effective_from, "
        "effective_on, supersedes_after, billable_on, model, price, published_at) "
        "VALUES ($1, 'address', $2, 'both', 'address/validate', 'CNY', $3, $4, $5, $6, 'success', $7, $8, now())",
        f"{plan}{version}",
        plan,
        version,
        datetime.combine(starts_on, time.min, UTC) - timedelta(hours=14),
        starts_on,
        supersedes_after,
        model,
        msgspec.json.encode(price).decode(),
    )


def calls(
    moment: datetime, count: int, price_version: str = "v1", account_id: str = "acct_a", **fields: Any
) -> list[UsageEvent]:
    """So many calls at one moment."""
    return [call(account_id, moment, price_version=price_version, **fields) for _ in range(count)]


async def closed(pool: asyncpg.Pool, month: Period = OCTOBER) -> Document:
    """The document of a month of `acct_a`, issued, in books that agree."""
    await close(pool, month, CLOSED)
    assert await verify(pool, ()) == []
    async with all_accounts(pool) as connection:
        return await document(connection, Month("acct_a", "live", month))


def amounts(found: Document) -> Sequence[tuple[str, str]]:
    """What a document asks for, by price version."""
    return [(line.price_version, line.amount) for line in found.lines]

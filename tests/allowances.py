"""Quotas, budgets and credit for tests: set as an operator sets them, and looked at behind the scenes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg

from billing.budget.budgets import Budget, Scope, set_budget
from billing.prepaid.grants import PRIORITY_DEFAULT, Category, Grant, grant_credit
from catalog.accounts.account import Account
from catalog.vocabulary.ids import Environment
from deploy.database import Database
from deploy.roles import BILLING, GATEWAY
from tests.gateways import RunningGateway


async def grant(
    database: Database,
    account: Account,
    amount: str,
    now: datetime,
    *,
    environment: Environment = "live",
    category: Category = "paid",
    priority: int = PRIORITY_DEFAULT,
    valid_until: datetime | None = None,
) -> Grant:
    """Credit for an account."""
    connection = await asyncpg.connect(**database.as_role(BILLING, {"ordergate.account": "*"}))
    try:
        async with connection.transaction():
            return await grant_credit(
                connection,
                account,
                environment,
                Decimal(amount),
                category=category,
                priority=priority,
                valid_until=valid_until,
                actor="test",
                now=now,
            )
    finally:
        await connection.close()


async def budget(
    database: Database,
    account: Account,
    amount: str,
    now: datetime,
    *,
    scope: Scope = "account",
    scope_id: str = "",
    hard: bool = True,
    thresholds_pct: tuple[int, ...] = (80, 100),
    environment: Environment = "live",
) -> Budget:
    """A budget of an account."""
    connection = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        async with connection.transaction():
            return await set_budget(
                connection,
                account,
                environment,
                scope,
                scope_id,
                Decimal(amount),
                hard=hard,
                thresholds_pct=thresholds_pct,
                actor="test",
                now=now,
            )
    finally:
        await connection.close()


async def add_limit(
    admin: asyncpg.Connection,
    kind: str,
    subject: str = "",
    *,
    starts_on: date,
    scope: str = "acct_a",
    amount: str = "5.00",
    leased: str = "0",
) -> int:
    """A limit of acct_a that calls have been held to already; of a budget with its terms."""
    if kind == "budget":
        subject = f"budget of {scope}"
        await admin.execute(
            "INSERT INTO billing.budget (id, account_id, environment, scope, scope_id, amount, hard, thresholds_pct, changed_at, "
            "changed_by) VALUES ($1, 'acct_a', 'live', $2, $3, $4, true, '{}', $5, 'test') ON CONFLICT DO NOTHING",
            subject,
            "account" if scope == "acct_a" else "application",
            scope,
            Decimal(amount),
            datetime(2026, 11, 10, 4, tzinfo=UTC),
        )
    made: int = await admin.fetchval(
        "INSERT INTO billing.allowance (account_id, environment, kind, subject, starts_on, used, leased) "
        "VALUES ('acct_a', 'live', $1, $2, $3, 0, $4) RETURNING id",
        kind,
        subject,
        starts_on,
        Decimal(leased),
    )
    return made


async def publish_quota(gateway: RunningGateway, q: int, service: str = "address", **terms: Any) -> None:
    """The service's passport with one hard quota and no rate."""
    quota = {"kind": "quota", "per": "account", "period": "month", "hard": True, "q": q, **terms}

    def change(document: dict[str, Any]) -> None:
        document["limits"] = [quota]

    await gateway.publish(service, change)
    await gateway.settle()


async def standing(admin: asyncpg.Connection, kind: str) -> tuple[Any, Any]:
    """What of all limits of a kind is used, and what is leased."""
    row = await admin.fetchrow(
        "SELECT coalesce(sum(used), 0), coalesce(sum(leased), 0) FROM billing.allowance WHERE kind = $1", kind
    )
    assert row is not None
    return row[0], row[1]


async def nothing_held(admin: asyncpg.Connection) -> bool:
    """Whether no worker holds a part of any limit."""
    return not await admin.fetchval("SELECT coalesce(sum(leased), 0) FROM billing.allowance")


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Wait for what comes by itself."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)

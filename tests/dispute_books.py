"""Disputes for tests of what becomes of them: opened as the gateway opens them, decided as the provider decides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal

import asyncpg

from billing.desk import Contested, line_of, open_dispute
from billing.invoice.dispute import accept_dispute
from billing.invoice.disputed import Dispute
from billing.invoice.month import Month
from billing.transaction import all_accounts
from billing.view import Document, document
from deploy.database import Database
from deploy.roles import GATEWAY


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
    """Contest so much of a line of a month's document."""
    found = await read_document(pool, month)
    contested = Contested(line_of(found, position), Decimal(amount), "it was not ours")
    async with as_gateway(database, month.account_id) as connection:
        return await open_dispute(connection, found, contested, "key/x", now)


async def concede(pool: asyncpg.Pool, dispute_id: str, now: datetime, amount: str | None = None) -> Dispute:
    """The provider agrees, with all of it or with so much."""
    part = None if amount is None else Decimal(amount)
    async with all_accounts(pool) as connection:
        return await accept_dispute(connection, dispute_id, "it was not", "operator@test", now, part)

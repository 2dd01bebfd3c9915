"""Billing's unit of work: one transaction in which every account is in scope."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy


@asynccontextmanager
async def all_accounts(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """A transaction that commits at the end of the block and rolls back on any exception.

    Row-level security fails closed: without the scope set here a billing step would see no account and do nothing.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        yield connection

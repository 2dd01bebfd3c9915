"""Billing's unit of work: one transaction in which every account is in scope."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy

# Row-level security fails closed: without a scope a billing step would see no account and do nothing.
_EVERY_ACCOUNT = "SELECT set_config('ordergate.account', '*', true)"


@asynccontextmanager
async def all_accounts(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """A transaction that commits at the end of the block and rolls back on any exception."""
    async with pool.acquire() as connection, every_account(connection):
        yield connection


@asynccontextmanager
async def every_account(connection: Connection) -> AsyncIterator[None]:
    """The same on a connection that is held for many transactions, one after the other."""
    async with connection.transaction():
        await connection.execute(_EVERY_ACCOUNT)
        yield


@asynccontextmanager
async def one_snapshot(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """The same, but every statement sees the database as it was at the first one, and may take its time: for
    comparing whole books."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        await connection.execute(_EVERY_ACCOUNT)
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection

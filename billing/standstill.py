"""A moment in which nothing is shipped or rolled up, so that all books can be read at one and the same point.

Shipping and rolling up share a lock, each for its own short transaction; whoever needs them to stand still takes it
alone. Calls are not concerned: they are journaled, or recorded with their effect, all the while. An advisory lock gives
its holder no transaction id, so the horizon of transactions that have ended moves on meanwhile.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from billing.transaction import Connection, all_accounts

_SHARE = "SELECT pg_advisory_xact_lock_shared(hashtextextended('billing.standstill', 0))"
_TAKE = "SELECT pg_advisory_xact_lock(hashtextextended('billing.standstill', 0))"


@asynccontextmanager
async def moving(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """A transaction of all accounts that moves usage on; it begins when no standstill is under way.

    Raises asyncpg.LockNotAvailableError where one lasts longer than the connection's `lock_timeout`.
    """
    async with all_accounts(pool) as connection:
        await connection.execute(_SHARE)
        yield connection


@asynccontextmanager
async def standstill(pool: asyncpg.Pool) -> AsyncIterator[None]:
    """Within the block nothing that is `moving` begins, and what had begun has ended; keep it short.

    Raises asyncpg.LockNotAvailableError where that takes longer than the connection's `lock_timeout`.
    """
    async with all_accounts(pool) as connection:
        await connection.execute(_TAKE)
        yield

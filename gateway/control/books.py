"""Reading and writing in the scope of one account: the second wall between accounts is the database's."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg

from catalog.transaction import Transaction
from gateway.stores.unit_of_work import open_pool

_READERS_MAX = 4
_ACQUIRE_TIMEOUT_S = 2.0


class Books:
    """Transactions for the control plane: `read` as the reading role, `write` as the gateway's.

    Row-level security sees the account of the transaction, so a question that forgot to name it finds nothing.
    """

    def __init__(self, reader: Mapping[str, Any], writer: asyncpg.Pool) -> None:
        """`reader` are asyncpg's arguments of the reading role; its pool opens with the first question."""
        self._reader = reader
        self._readers: asyncpg.Pool | None = None
        self._writer = writer

    @contextlib.asynccontextmanager
    async def read(self, account_id: str) -> AsyncIterator[Transaction]:
        """One consistent view of an account's rows, which cannot write."""
        if self._readers is None:
            self._readers = await open_pool(self._reader, _READERS_MAX)
        async with (
            self._readers.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await _scope(connection, account_id)
            yield connection

    @contextlib.asynccontextmanager
    async def write(self, account_id: str) -> AsyncIterator[Transaction]:
        """A transaction that commits when the block ends well."""
        async with self._writer.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection, connection.transaction():
            await _scope(connection, account_id)
            yield connection

    async def close(self) -> None:
        """Give the reading role's connections back."""
        if self._readers is not None:
            self._readers.terminate()


async def _scope(connection: Transaction, account_id: str) -> None:
    await connection.execute("SELECT set_config('ordergate.account', $1, true)", account_id)

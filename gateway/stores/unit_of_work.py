"""One transaction for a call, or for several of one account: effect, usage row and stored reply of each, all or nothing."""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg

from catalog.vocabulary.problem import Problem
from gateway.stores.failures import DATABASE_FAILURES, is_away, is_lost, is_passing
from gateway.unit_of_work import DatabaseAway

_ACCOUNT_ID = re.compile(r"[a-z0-9_-]+")
_ACQUIRE_TIMEOUT_S = 2.0


class PostgresUnitOfWork:
    """An open transaction in the scope of one account. Services see only `connection`; only the pipeline commits."""

    __slots__ = ("_begin", "connection")

    def __init__(self, connection: Any, begin: str) -> None:
        """`begin` is the statement that has opened the transaction."""
        self.connection = connection
        self._begin = begin

    async def start_over(self) -> None:
        """Take everything back, and begin anew: nothing is locked any more, and what others have committed is seen.

        No savepoint, to which one could return: it would cost every call a transaction id, for the few refusals.
        """
        await self.connection.execute(f"ROLLBACK; {self._begin}")

    async def commit(self) -> None:
        """Make all of it durable. If the connection is lost here the outcome is unknown: `Problem` unavailable."""
        try:
            done = await self.connection.execute("COMMIT")
        except DATABASE_FAILURES as error:
            if not is_away(self.connection, error):
                raise
            raise Problem(
                "unavailable",
                "The connection to the books was lost at the last step: repeat the call with the same Idempotency-Key "
                "to learn its outcome.",
                retry_after_s=1,
            ) from None
        assert done == "COMMIT", (
            "PostgreSQL answers ROLLBACK where a statement had failed, and nothing is kept"
        )

    async def roll_back(self) -> bool:
        """Take everything back; False if the connection was lost, which takes it back as well."""
        return await _roll_back(self.connection)


class PostgresUnitsOfWork:
    """Opens units of work on a bounded pool; waits for a connection at most two seconds."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """`pool` connects as the gateway's role; see `open_pool`."""
        self._pool = pool

    @contextlib.asynccontextmanager
    async def begin(self, account_id: str) -> AsyncIterator[PostgresUnitOfWork]:
        """A transaction that ends rolled back unless it is committed.

        `DatabaseAway` if there is none to be had, or if a statement of the block meets a connection that is lost or a
        lock that is held too long.
        """
        assert _ACCOUNT_ID.fullmatch(account_id), (
            "account ids are made by us, of letters that need no quoting"
        )
        # One round trip with the scope of row-level security.
        begin = f"BEGIN; SET LOCAL ordergate.account = '{account_id}'"
        connection = await self._open(begin)
        try:
            yield PostgresUnitOfWork(connection, begin)
        except DATABASE_FAILURES as error:
            if not (is_away(connection, error) or is_passing(error)):
                raise
            raise DatabaseAway from error
        finally:
            await _give_back(self._pool, connection)

    async def _open(self, begin: str) -> Any:
        """A connection in a transaction; `DatabaseAway`."""
        failure: Exception | None = None
        # Connections may have been lost while they lay idle: at most all of them.
        for _ in range(self._pool.get_max_size() + 1):
            try:
                connection = await self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S)
            except DATABASE_FAILURES as error:
                raise DatabaseAway from error
            try:
                await connection.execute(begin)
            except DATABASE_FAILURES as error:
                failure = error
                await _give_back(self._pool, connection)
            else:
                return connection
        raise DatabaseAway from failure


async def open_pool(connect: Mapping[str, Any], size: int) -> asyncpg.Pool:
    """A pool of at most `size` connections whose statements and lock waits are bounded."""
    settings = {
        **connect.get("server_settings", {}),
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "15s",
    }
    pool = asyncpg.create_pool(
        **{**connect, "server_settings": settings},
        min_size=0,
        max_size=size,
        command_timeout=15,
        timeout=_ACQUIRE_TIMEOUT_S,
        reset=_leave_as_it_is,
    )
    return await pool


async def _give_back(pool: asyncpg.Pool, connection: Any) -> None:
    """Leave nothing open for the next call. Never fails for the connection: what was committed has happened."""
    try:
        await _roll_back(connection)
    finally:
        # A connection that cannot be given back is closed by the pool.
        with contextlib.suppress(*DATABASE_FAILURES):
            await pool.release(connection)


async def _roll_back(connection: Any) -> bool:
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except DATABASE_FAILURES:
        if not is_lost(connection):
            connection.terminate()
        return False
    return True


async def _leave_as_it_is(_: Any) -> None:
    """Settings are local to transactions and nothing else is changed on a connection, so there is nothing to reset."""

"""The installation that a command works on, whether it is being served or stands still."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from billing.store.connection import billing_pool
from catalog.transaction import Transaction
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.home import Home
from deploy.roles import BILLING, GATEWAY, READER

_ALL_ACCOUNTS = {"ordergate.account": "*"}


class NotInstalled(Exception):
    """There is no installation where the command looks for one; the message says what to do."""


@contextmanager
def open_database(home: Home, url: str | None) -> Iterator[Database]:
    """The installation's database for the duration of the block; call it from the main thread, outside an event loop.

    The one named by `url`; else that of the running product; else the embedded server, started for this block and
    brought to this version's schema. Raises `NotInstalled` where nothing was ever started, and `EmbeddedPostgresError`.
    """
    if url is not None:
        yield Database(url=url)
        return
    running = home.running()
    if running is not None:
        if not running.socket_dir:
            raise NotInstalled(
                f"The product that serves {home.path} uses a PostgreSQL server of its own: "
                "set ORDERGATE_DATABASE_URL as it was set for `ordergate up`."
            )
        yield Database(socket_dir=Path(running.socket_dir))
        return
    if not (home.postgres / "data").exists():
        raise NotInstalled(
            f"There is no installation in {home.path}. Start one with `make run` (or `ordergate up`), "
            "or set ORDERGATE_HOME or ORDERGATE_DATABASE_URL to where it is."
        )
    # Only here are the migrations needed, and they take longer to load than most commands to run.
    from deploy.migrate import migrate

    with EmbeddedPostgres(home.path) as server:
        database = Database(socket_dir=server.socket_dir)
        asyncio.run(migrate(database))
        yield database


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[Transaction]:
    """One consistent view of all accounts that cannot change anything."""
    connection = await asyncpg.connect(**database.as_role(READER, _ALL_ACCOUNTS))
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def acting(database: Database) -> AsyncIterator[Transaction]:
    """A transaction as the local operator, all accounts in scope; it commits at the end of the block."""
    connection = await asyncpg.connect(**database.as_role(GATEWAY, _ALL_ACCOUNTS))
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def keeping_books(database: Database) -> AsyncIterator[asyncpg.Pool]:
    """Billing's pool, all accounts in scope; a statement takes as long as the server lets it."""
    pool = await billing_pool(database.as_role(BILLING), client_timeout_s=None)
    try:
        yield pool
    finally:
        await pool.close()

"""Fixtures that every folder of tests shares."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.database import Database
from deploy.roles import BILLING, GATEWAY, READER
from tests.control_plane import Installation, control_plane
from tests.databases import DatabaseServer
from tests.gateways import RunningGateway, running_gateway


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    """One PostgreSQL server for the session, started in the main thread: it dies with the thread that started it."""
    server = DatabaseServer()
    try:
        server.start()
        asyncio.run(server.prepare())
        yield server
    finally:
        server.remove()


@pytest.fixture
async def database(database_server: DatabaseServer) -> AsyncIterator[Database]:
    """A fresh, migrated database; gone after the test."""
    database = await database_server.create()
    yield database
    await database_server.drop(database)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the test's database, for arranging and for looking: no row policy applies."""
    connection = await asyncpg.connect(**database.admin())
    yield connection
    await connection.close()


@pytest.fixture
async def gateway_pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    """The gateway's role, without a scope: each transaction sets `ordergate.account` itself."""
    async with asyncpg.create_pool(**database.as_role(GATEWAY), min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
async def billing_pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    """Billing's role, with every account in scope."""
    settings = {"ordergate.account": "*"}
    async with asyncpg.create_pool(**database.as_role(BILLING, settings), min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
async def reader_pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    """The reading role, without a scope."""
    async with asyncpg.create_pool(**database.as_role(READER), min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
async def gateway(
    database: Database, tmp_path: Path, admin: asyncpg.Connection
) -> AsyncIterator[RunningGateway]:
    """A gateway worker that answers real HTTP; see tests/gateways.py."""
    async with running_gateway(database, tmp_path / "home", admin) as running:
        yield running


@pytest.fixture
async def plane(
    database: Database, gateway_pool: asyncpg.Pool, tmp_path: Path
) -> AsyncIterator[Installation]:
    """A control plane with the built-in services on sale; see tests/control_plane.py."""
    async with control_plane(database, gateway_pool, tmp_path) as installation:
        yield installation

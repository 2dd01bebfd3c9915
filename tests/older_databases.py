"""Databases with the schema of an earlier revision, for tests of what an upgrade makes of the rows that are there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import deploy.migrations
from deploy.database import Database
from deploy.roles import OWNER, prepare_roles
from tests.databases import DatabaseServer


@asynccontextmanager
async def older_database(server: DatabaseServer, name: str, revision: str) -> AsyncIterator[Database]:
    """An empty database with the schema that it had at a revision; it goes with the block."""
    database = Database(socket_dir=server.database("x").socket_dir, name=name)
    postgres = await asyncpg.connect(**server.database("postgres").admin())
    await postgres.execute(f"CREATE DATABASE {name}")
    try:
        await _prepare(database, revision)
        yield database
    finally:
        await postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await postgres.close()


async def _prepare(database: Database, revision: str) -> None:
    admin = await asyncpg.connect(**database.admin())
    await prepare_roles(admin)
    await admin.execute(f"GRANT CREATE ON SCHEMA public TO {OWNER}")
    await admin.close()

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(**database.as_role(OWNER, {"ordergate.account": "*"}))

    def migrate_to(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(deploy.migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate_to)
    await engine.dispose()

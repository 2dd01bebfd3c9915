"""Runs the revisions with Alembic. Imported only where something is to be migrated: it is the slowest import of a start."""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from deploy.database import Database
from deploy.roles import OWNER

# Statements wait this long for a lock before they give way to live traffic, and run this long at most.
_SETTINGS = {"lock_timeout": "2s", "statement_timeout": "60s", "ordergate.account": "*"}


async def upgrade(database: Database) -> None:
    """Run every revision that has not run, as the owner; the caller sees to it that no other process migrates."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(**database.as_role(OWNER, _SETTINGS))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()

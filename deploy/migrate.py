"""Bring the database to this version's schema: one migrator at a time, never waiting long for a lock."""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from deploy.database import Database
from deploy.roles import MIGRATION_LOCK, OWNER, prepare_roles

# Statements wait this long for a lock before they give way to live traffic, and run this long at most.
_SETTINGS = {"lock_timeout": "2s", "statement_timeout": "60s", "ordergate.account": "*"}


async def migrate(database: Database) -> None:
    """Create the roles and run every revision that has not run; safe to call from several processes at once."""
    admin = await asyncpg.connect(**database.admin())
    try:
        await prepare_roles(admin)
        if not await admin.fetchval("SELECT to_regclass('public.schema_version') IS NOT NULL"):
            await admin.execute(f"GRANT CREATE ON SCHEMA public TO {OWNER}")
    finally:
        await admin.close()

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(**database.as_role(OWNER, _SETTINGS))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def newest_revision() -> str | None:
    """The revision that this version's schema has."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.commit()
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()

"""Bring the database to this version's schema: one migrator at a time, never waiting long for a lock."""

from collections.abc import Callable
from pathlib import Path

import asyncpg

from deploy.database import Database
from deploy.roles import MIGRATION_LOCK, OWNER, prepare_roles


async def migrate(database: Database, notice: Callable[[str], object] | None = None) -> None:
    """Create the roles and run every revision that has not run; safe to call from several processes at once.

    One does it, the others wait for it, however long that takes, and tell `notice` so. A database that is up to date
    costs one query: every start but the first after an upgrade.
    """
    admin = await asyncpg.connect(**database.admin())
    try:
        if await _revision(admin) == newest_revision():
            return
        # Held by this session to its end: the revisions run on a connection whose locks must never wait long.
        if not await admin.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK):
            if notice is not None:
                notice("Another process is preparing the database; waiting for it …")
            await admin.execute("SET lock_timeout = 0; SET statement_timeout = 0")
            await admin.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
            if await _revision(admin) == newest_revision():
                return
        await prepare_roles(admin)
        await admin.execute(f"GRANT CREATE ON SCHEMA public TO {OWNER}")
        from deploy.migrations.upgrade import upgrade

        await upgrade(database)
    finally:
        await admin.close()


def newest_revision() -> str:
    """The revision that this version's schema has: files are named by their number."""
    return max(
        path.name.split("_", 1)[0] for path in (Path(__file__).parent / "migrations/versions").glob("0*.py")
    )


async def _revision(admin: asyncpg.Connection) -> str | None:
    if not await admin.fetchval("SELECT to_regclass('public.schema_version') IS NOT NULL"):
        return None
    revision: str | None = await admin.fetchval("SELECT version_num FROM public.schema_version")
    return revision

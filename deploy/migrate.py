"""Bring the database to this version's schema: one migrator at a time, never waiting long for a lock."""

from pathlib import Path

import asyncpg

from deploy.database import Database
from deploy.roles import OWNER, prepare_roles


async def migrate(database: Database) -> None:
    """Create the roles and run every revision that has not run; safe to call from several processes at once.

    A database that is up to date costs one query: every start but the first after an upgrade.
    """
    admin = await asyncpg.connect(**database.admin())
    try:
        if await _revision(admin) == newest_revision():
            return
        await prepare_roles(admin)
        await admin.execute(f"GRANT CREATE ON SCHEMA public TO {OWNER}")
    finally:
        await admin.close()
    from deploy.migrations.upgrade import upgrade

    await upgrade(database)


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

"""Every start finds or makes this version's schema; several starts at once do not get into each other's way."""

import asyncio

import asyncpg
from alembic.config import Config
from alembic.script import ScriptDirectory

from deploy.database import Database
from deploy.migrate import migrate, newest_revision
from deploy.roles import MIGRATION_LOCK
from tests.databases import DatabaseServer


def test_files_are_numbered_as_alembic_orders_them() -> None:
    config = Config()
    config.set_main_option("script_location", "deploy/migrations")
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == newest_revision()
    assert len(script.get_heads()) == 1


async def test_three_starts_at_once_on_an_empty_database_migrate_it_once(
    database_server: DatabaseServer,
) -> None:
    empty = Database(socket_dir=database_server.database("x").socket_dir, name="migrating")
    admin = await asyncpg.connect(**database_server.database("postgres").admin())
    await admin.execute("CREATE DATABASE migrating")
    try:
        await asyncio.gather(migrate(empty), migrate(empty), migrate(empty))
        connection = await asyncpg.connect(**empty.admin())
        assert await connection.fetchval("SELECT version_num FROM public.schema_version") == newest_revision()
        await connection.close()
        await migrate(empty)
    finally:
        await admin.execute("DROP DATABASE migrating WITH (FORCE)")
        await admin.close()


async def test_a_second_start_waits_for_the_first_and_says_so(database_server: DatabaseServer) -> None:
    empty = Database(socket_dir=database_server.database("x").socket_dir, name="waiting")
    admin = await asyncpg.connect(**database_server.database("postgres").admin())
    await admin.execute("CREATE DATABASE waiting")
    try:
        first = await asyncpg.connect(**empty.admin())
        await first.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        said: list[str] = []
        second = asyncio.create_task(migrate(empty, said.append))
        # Longer than a revision's statement waits for a lock.
        await asyncio.sleep(2.3)
        assert said == ["Another process is preparing the database; waiting for it …"]
        assert not second.done()
        await first.close()
        async with asyncio.timeout(30):
            await second
        connection = await asyncpg.connect(**empty.admin())
        assert await connection.fetchval("SELECT version_num FROM public.schema_version") == newest_revision()
        await connection.close()
    finally:
        await admin.execute("DROP DATABASE waiting WITH (FORCE)")
        await admin.close()

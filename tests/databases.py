"""PostgreSQL for the tests: one server a session, one migrated template, one fresh database a test."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg

from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.migrate import migrate
from deploy.roles import prepare_roles

_TEMPLATE = "ordergate_template"
# Where the machine keeps files in memory and has room for some dozens of databases, a fresh one costs 20 ms, not 150.
_MEMORY = Path("/dev/shm")
_MEMORY_FREE_BYTES = 2 * 1024**3


def _folder() -> Path | None:
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_FREE_BYTES:
        return _MEMORY
    return None


class DatabaseServer:
    """An embedded server in a folder of its own, and the databases made on it."""

    def __init__(self) -> None:
        """Nothing is written before `start`."""
        self._home = Path(tempfile.mkdtemp(prefix="ordergate-tests-", dir=_folder()))
        # The server runs as an unprivileged user, who has to pass through here.
        self._home.chmod(0o711)
        self._postgres = EmbeddedPostgres(self._home)
        self._numbers = count(1)

    def start(self) -> None:
        """Start, or start again after `stop`; only in the main thread."""
        self._postgres.start()

    def stop(self) -> None:
        """Go away as a server does that is shut down: sessions end, data stays."""
        self._postgres.stop()

    def remove(self) -> None:
        """Stop for good and delete everything."""
        self._postgres.stop()
        shutil.rmtree(self._home)

    def database(self, name: str) -> Database:
        """How to reach a database of this server by name."""
        return Database(socket_dir=self._postgres.socket_dir, name=name)

    async def prepare(self) -> None:
        """Make the template: an empty database, brought to this version's schema by the real migrations."""
        async with self._maintenance() as connection:
            await connection.execute(f"CREATE DATABASE {_TEMPLATE}")
        await migrate(self.database(_TEMPLATE))

    async def create(self) -> Database:
        """A fresh copy of the template, with the roles' rights on it."""
        database = self.database(f"test_{next(self._numbers)}")
        async with self._maintenance() as connection:
            await connection.execute(
                f"CREATE DATABASE {database.name} TEMPLATE {_TEMPLATE} STRATEGY = FILE_COPY"
            )
        admin = await asyncpg.connect(**database.admin())
        try:
            await prepare_roles(admin)  # rights on a database are not copied from its template
        finally:
            await admin.close()
        return database

    async def drop(self, database: Database) -> None:
        """Remove a database, whoever is still connected to it."""
        async with self._maintenance() as connection:
            await connection.execute(f"DROP DATABASE {database.name} WITH (FORCE)")

    @asynccontextmanager
    async def _maintenance(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(**self.database("postgres").admin())
        try:
            yield connection
        finally:
            await connection.close()

"""PostgreSQL for the tests: one server a session, one migrated template, one fresh database a test."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import asyncpg

from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.migrate import migrate
from deploy.roles import prepare_roles

_TEMPLATE = "ordergate_template"
_PREFIX = "ordergate-databases-"
# Where the machine keeps files in memory and has room for some dozens of databases, a fresh one costs 20 ms, not 150.
_MEMORY = Path("/dev/shm")
_MEMORY_FREE_BYTES = 2 * 1024**3


def _folder() -> Path:
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_FREE_BYTES:
        return _MEMORY
    return Path(tempfile.gettempdir())


def _lock(folder: Path) -> int | None:
    """The lock that a session holds on its folder as long as it lives, or None while another one lives."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(parent: Path) -> None:
    """Remove what sessions that were killed have left behind, at most a session's size in memory each."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError, PermissionError):
            descriptor = _lock(folder)
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


class DatabaseServer:
    """An embedded server in a folder of its own, and the databases made on it."""

    def __init__(self) -> None:
        """A folder of its own, and nothing in it before `start`."""
        parent = _folder()
        _sweep(parent)
        # Locked under another name first, so that a sweep never meets a living session's folder without its lock.
        unlocked = Path(tempfile.mkdtemp(prefix=".ordergate-", dir=parent))
        self._lock = _lock(unlocked)
        self._home = unlocked.rename(parent / f"{_PREFIX}{unlocked.name.removeprefix('.ordergate-')}")
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
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

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

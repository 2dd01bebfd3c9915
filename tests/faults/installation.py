"""Installations of the embedded database for the tests that break them, and ways to look into them."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import deploy
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.embedded_postgres.leftovers import read_postmaster_pid

PROJECT = Path(deploy.__file__).resolve().parents[1]
RESTART_SECONDS_MAX = 2.0
IS_ROOT = os.geteuid() == 0

only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="reads procfs and relies on the parent-death signal"
)
only_root = pytest.mark.skipif(not IS_ROOT, reason="the choice of another user is root's problem")

SUPERVISOR = """
import sys, time
from pathlib import Path
from deploy.embedded_postgres import EmbeddedPostgres
database = EmbeddedPostgres(Path(sys.argv[1]))
database.start()
print("ready", flush=True)
time.sleep(300)
"""

BUSY = "SET statement_timeout = '60s'; DO 'BEGIN LOOP END LOOP; END'"


@cache
def installation_in(folder: Path) -> Path:
    """The session's stopped installation, whose table `kept` has the row `yesterday`.

    Making or copying one takes a second or more, so the tests share it: each leaves it stopped, or crashed where the
    next start is the proof that it recovers, and adds rows of its own only.
    """
    home = folder / "embedded-database"
    home.mkdir(mode=0o700)
    with EmbeddedPostgres(home) as database:
        query(database, "CREATE TABLE kept (word text PRIMARY KEY)")
        query(database, "INSERT INTO kept VALUES ('yesterday')")
    return home


def copy_of(stopped: Path, home: Path) -> Path:
    """The same cluster in another place, as a new installation."""
    home.mkdir(mode=0o700)
    (home / "postgres").mkdir(mode=0o700)
    shutil.copytree(stopped / "postgres" / "data", home / "postgres" / "data")
    return home


def query(database: EmbeddedPostgres, sql: str) -> list[tuple[Any, ...]]:
    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(database.url("postgres", "ordergate"))
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(run())


def kept(database: EmbeddedPostgres) -> list[str]:
    return [word for (word,) in query(database, "SELECT word FROM kept ORDER BY word")]


def timed_start(database: EmbeddedPostgres) -> float:
    begin = time.monotonic()
    database.start()
    return time.monotonic() - begin


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the expected state was not reached in time"
        time.sleep(0.005)


def data_folder(database: EmbeddedPostgres) -> Path:
    ((folder,),) = query(database, "SHOW data_directory")
    return Path(folder)


def postmaster_pid(home: Path) -> int:
    pid = read_postmaster_pid(home / "postgres" / "data")
    assert pid is not None
    return pid


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def supervise(home: Path) -> subprocess.Popen[str]:
    """A supervisor in a process of its own, returned when its server is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(home)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def start_endless_query(database: EmbeddedPostgres) -> tuple["subprocess.Popen[str]", int]:
    """A client whose backend computes until its time-out, longer than any test; and the backend's pid."""
    client = subprocess.Popen(
        [database.bin("psql"), "-X", "-q", "-c", BUSY],
        env=database.client_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    found: list[int] = []

    def is_busy() -> bool:
        rows = query(
            database,
            "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%END LOOP%' "
            "AND pid <> pg_backend_pid()",
        )
        found.extend(pid for (pid,) in rows)
        return bool(found)

    wait_until(is_busy)
    return client, found[0]

"""The audit log whose end was cut off, or that was made anew: its own chain says nothing of that, what was kept elsewhere does."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from catalog.registry import audit
from catalog.registry.audit import Head
from deploy.audit_head import advance_head, keep_head, kept_head
from deploy.database import Database
from deploy.home import Home
from tests.command_lines import Run, command_line
from tests.scenarios.test_publishing import transaction

NOW = datetime(2026, 6, 15, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.make()
    return found


@pytest.fixture
def run(database: Database, home: Home) -> Run:
    return command_line(database, home.path)


async def _append(pool: asyncpg.Pool, *actions: str) -> None:
    async with transaction(pool) as connection:
        for action in actions:
            await audit.append(connection, "tests", action, "service/echo", {}, NOW)


async def _cut(admin: asyncpg.Connection, seq: int) -> None:
    """Take away entries from one on, as only whoever owns the server can."""
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM catalog.audit WHERE seq >= $1", seq)
    await admin.execute("SET session_replication_role = origin")


async def test_a_log_is_compared_with_where_it_ended_once(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection
) -> None:
    await _append(gateway_pool, "one", "two", "three")
    async with transaction(gateway_pool) as connection:
        kept = await audit.head(connection)
        assert (await audit.verify(connection, kept)).is_sound
        assert kept.entries == 3
    await _cut(admin, 3)
    async with transaction(gateway_pool) as connection:
        assert (await audit.verify(connection)).is_sound, "what is left is a chain"
        found = await audit.verify(connection, kept)
    assert (found.broken_at, found.reason) == (3, "the log was cut off: it had 3 entries")
    await _append(gateway_pool, "another", "more")
    async with transaction(gateway_pool) as connection:
        assert (await audit.verify(connection)).is_sound
        found = await audit.verify(connection, kept)
        assert not await audit.goes_on_from(connection, kept)
    assert (found.broken_at, found.reason[:23]) == (3, "the log was made anew: ")


async def test_every_start_keeps_where_the_log_ends_and_never_what_does_not_go_on(
    gateway_pool: asyncpg.Pool, admin: asyncpg.Connection, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    async def start() -> Head | None:
        async with transaction(gateway_pool) as connection:
            await advance_head(connection, home)
        return kept_head(home)

    assert await start() == Head(0, bytes(32).hex())
    await _append(gateway_pool, "one", "two")
    kept = await start()
    assert kept is not None
    assert kept.entries == 2
    assert (home.audit_head.stat().st_mode & 0o777, caplog.records) == (0o600, [])
    await _cut(admin, 2)
    assert await start() == kept
    await _append(gateway_pool, "another", "more")
    assert await start() == kept
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL] * 2
    home.audit_head.write_text("nothing")
    async with transaction(gateway_pool) as connection:
        await advance_head(connection, home)
    assert home.audit_head.read_text() == "nothing"
    assert "cannot be read" in caplog.messages[-1]


def test_the_doctor_says_that_the_end_was_cut_off(run: Run, home: Home) -> None:
    for name in ("bu-01", "bu-02"):
        run("account", "create", name)
    assert not home.audit_head.exists()
    run("doctor", fails=1)
    kept = kept_head(home)
    assert kept is not None
    assert f"{kept.entries} entries hold, the last one is {kept.hash}" in run("doctor", fails=1).output
    keep_head(home, Head(kept.entries + 1, bytes(32).hex()))
    told = {one["subject"]: one for one in json.loads(run("doctor", "--json", fails=1).output)}["audit log"]
    assert not told["in_order"]
    assert told["seen"] == f"entry {kept.entries + 1}: the log was cut off: it had {kept.entries + 1} entries"
    assert kept_head(home) == Head(kept.entries + 1, bytes(32).hex()), "evidence stays"
    home.audit_head.write_text("{")
    assert "head.json cannot be read" in run("doctor", fails=1).output

"""Without the pepper under which its keys were digested an installation does not start, whatever the file says it holds."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import pytest

from catalog.accounts.open import open_account
from catalog.registry import audit
from catalog.transaction import Transaction
from deploy.peppers import PeppersMissing, note_peppers, require_peppers
from gateway.stores.keys import create_key, revoke_key
from gateway.stores.peppers import load_peppers, pepper_file

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@asynccontextmanager
async def operator(pool: asyncpg.Pool) -> AsyncIterator[Transaction]:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ordergate.account = '*'")
        yield connection


async def start(pool: asyncpg.Pool, home: Path) -> None:
    """What a start does about peppers."""
    async with operator(pool) as connection:
        await require_peppers(connection, home)
        await note_peppers(connection, home, "ordergate up", NOW)


async def make_key(pool: asyncpg.Pool, home: Path) -> str:
    async with operator(pool) as connection:
        opened = await open_account(
            connection, name="bu-01", kind="internal", currency="CNY", timezone="UTC", actor="test", now=NOW
        )
        entry, _ = await create_key(
            connection,
            opened.account,
            opened.application,
            "live",
            ["*"],
            load_peppers(home),
            actor="test",
            now=NOW,
        )
    return entry.public_id


def put(home: Path, peppers: object) -> None:
    """Replace the file."""
    pepper_file(home).write_bytes(msgspec.json.encode(peppers))


def another() -> str:
    return secrets.token_bytes(32).hex()


async def test_another_pepper_of_the_same_version_stops_the_start_until_the_right_one_is_back(
    gateway_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    await start(gateway_pool, tmp_path)
    key = await make_key(gateway_pool, tmp_path)
    await start(gateway_pool, tmp_path)
    right = pepper_file(tmp_path).read_bytes()
    put(tmp_path, {"1": another()})
    with pytest.raises(PeppersMissing, match=r"pepper\.json holds another pepper than the one of 1 keys"):
        await start(gateway_pool, tmp_path)
    pepper_file(tmp_path).write_bytes(right)
    await start(gateway_pool, tmp_path)

    # Where nobody could present a key, any pepper will do, and it is the one that counts from then on.
    async with operator(gateway_pool) as connection:
        await revoke_key(connection, key, actor="test", now=NOW)
    put(tmp_path, {"1": another()})
    await start(gateway_pool, tmp_path)
    await start(gateway_pool, tmp_path)


async def test_a_pepper_that_is_added_is_noted_and_the_old_one_still_has_to_be_right(
    gateway_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    await start(gateway_pool, tmp_path)
    await make_key(gateway_pool, tmp_path)
    kept = msgspec.json.decode(pepper_file(tmp_path).read_bytes())
    put(tmp_path, {**kept, "2": another()})
    await start(gateway_pool, tmp_path)
    put(tmp_path, {"1": another(), "2": another()})
    with pytest.raises(PeppersMissing):
        await start(gateway_pool, tmp_path)


@pytest.mark.parametrize("content", [{}, {"1": ""}, {"1": "00"}, {"one": "00" * 32}, [], {"1": 7}])
async def test_a_file_without_a_pepper_of_256_bits_is_refused_by_name(
    gateway_pool: asyncpg.Pool, tmp_path: Path, content: object
) -> None:
    await start(gateway_pool, tmp_path)
    put(tmp_path, content)
    with pytest.raises(PeppersMissing, match=r"pepper\.json cannot be read"):
        await start(gateway_pool, tmp_path)


async def test_what_is_noted_tells_the_pepper_to_nobody_and_a_start_notes_it_once(
    gateway_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    for _ in range(3):
        await start(gateway_pool, tmp_path)
    pepper = load_peppers(tmp_path)[1]
    async with operator(gateway_pool) as connection:
        rows = await connection.fetch(
            "SELECT detail FROM catalog.audit WHERE object = 'installation/peppers'"
        )
        assert (await audit.verify(connection)).is_sound
    assert len(rows) == 1
    assert pepper.hex() not in rows[0]["detail"]
    assert pepper.hex()[:16] not in rows[0]["detail"]

"""Keys: the secret is shown once and stored nowhere, and a revoked key is refused within a second."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypedDict, TypeVar

import asyncpg
import pytest

from atomic_services.registry import built_in_passports
from catalog.accounts.open import OpenedAccount, open_account
from catalog.registry.publish import publish_built_in
from catalog.vocabulary.clock import SystemClock
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from deploy.roles import GATEWAY
from gateway.api_key import parse_key
from gateway.authenticate import Authenticator
from gateway.proofs import Caller
from gateway.stores.directory import DirectoryStore
from gateway.stores.keys import create_key, list_keys, revoke_key

NOW = datetime(2026, 6, 15, 10, 30, tzinfo=UTC)


class By(TypedDict):
    """Who does it, and when."""

    actor: str
    now: datetime


BY: By = {"actor": "operator@tests", "now": NOW}
T = TypeVar("T")
PEPPERS = {1: b"old" * 11, 2: b"new" * 11}


@asynccontextmanager
async def scope(pool: asyncpg.Pool, account: str = "*") -> AsyncIterator[Any]:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', $1, true)", account)
        yield connection


async def opened(pool: asyncpg.Pool, name: str) -> OpenedAccount:
    async with scope(pool) as connection:
        return await open_account(
            connection, name=name, kind="internal", currency="CNY", timezone="Asia/Shanghai", **BY
        )


@pytest.mark.timed
async def test_a_key_works_at_once_and_is_refused_within_a_second_of_its_revocation(
    gateway_pool: asyncpg.Pool, database: Database, admin: asyncpg.Connection
) -> None:
    async with scope(gateway_pool) as connection:
        await publish_built_in(connection, built_in_passports(), "tests", NOW)
    owner = await opened(gateway_pool, "bu-01")
    directory = DirectoryStore(database.as_role(GATEWAY), SystemClock(), stale_max_s=300)
    await directory.start()
    try:
        authenticate = Authenticator(directory.current, PEPPERS)
        async with scope(gateway_pool, owner.account.id) as connection:
            entry, secret = await create_key(
                connection,
                owner.account,
                owner.application,
                "test",
                ["stock/*", "address/validate"],
                PEPPERS,
                **BY,
            )
        assert secret.startswith(entry.shown)
        credential = f"Bearer {secret}".encode()
        caller = await _eventually(lambda: accepted(authenticate, credential))
        assert (caller.account_id, caller.environment) == (owner.account.id, "test")
        assert caller.scopes == {"stock/*", "address/validate"}
        async with scope(gateway_pool) as connection:
            await revoke_key(connection, entry.shown, **BY)
        assert await _eventually(lambda: refused_as(authenticate, credential)) == "The key has been revoked."
    finally:
        await directory.stop()
    dump = str([tuple(row) for row in await admin.fetch("SELECT * FROM gateway.api_key, catalog.audit")])
    assert secret[22:] not in dump
    assert await admin.fetchval("SELECT pepper_version FROM gateway.api_key") == 2


def refused_as(authenticate: Authenticator, credential: bytes) -> str | None:
    try:
        authenticate(credential)
    except Problem as problem:
        return problem.detail
    return None


def accepted(authenticate: Authenticator, credential: bytes) -> Caller | None:
    return authenticate(credential) if refused_as(authenticate, credential) is None else None


async def _eventually(look: Callable[[], T | None]) -> T:
    """What is seen within a second."""
    async with asyncio.timeout(1):
        while (seen := look()) is None:
            await asyncio.sleep(0.01)
    return seen


async def test_keys_are_listed_and_revoked_by_whatever_names_them(gateway_pool: asyncpg.Pool) -> None:
    owner = await opened(gateway_pool, "bu-01")
    async with scope(gateway_pool, owner.account.id) as connection:
        made = [
            await create_key(connection, owner.account, owner.application, "live", ["*"], PEPPERS, **BY)
            for _ in range(3)
        ]
    names = (made[0][0].public_id, made[1][0].shown, made[2][1])
    async with scope(gateway_pool) as connection:
        for (entry, secret), name in zip(made, names, strict=True):
            assert parse_key(secret.encode()).public_id == entry.public_id
            assert (await revoke_key(connection, name, **BY)).revoked_at == NOW
        again = await revoke_key(connection, names[0], actor="other", now=datetime(2027, 1, 1, tzinfo=UTC))
        assert again.revoked_at == NOW
        listed = await list_keys(connection, owner.account)
    assert {key.public_id for key in listed} == {entry.public_id for entry, _ in made}
    assert {key.revoked_at for key in listed} == {NOW}


async def test_a_key_of_another_account_cannot_be_revoked_or_seen(gateway_pool: asyncpg.Pool) -> None:
    mine, other = await opened(gateway_pool, "bu-01"), await opened(gateway_pool, "bu-02")
    async with scope(gateway_pool, other.account.id) as connection:
        entry, _ = await create_key(
            connection, other.account, other.application, "live", ["*"], PEPPERS, **BY
        )
    async with scope(gateway_pool, mine.account.id) as connection:
        assert await list_keys(connection, other.account) == ()
        for name in (entry.public_id, "nonsense", "og_live_"):
            with pytest.raises(Problem, match="There is no such key; `ordergate key list ACCOUNT`"):
                await revoke_key(connection, name, **BY)


@pytest.mark.parametrize(
    ("fields", "pointer", "rule", "remedy"),
    [
        ({"scopes": []}, "/scopes", "required", "at least one"),
        ({"scopes": ["*", "stock"]}, "/scopes/1", "scope", "stock/*"),
        ({"scopes": ["stock/reserve now"]}, "/scopes/0", "scope", "stock/reserve"),
        (
            {"scopes": ["nonsense/x"]},
            "/scopes/0",
            "reference",
            "no service 'nonsense'; on sale are address, stock;",
        ),
        (
            {"scopes": ["nonsense/*"]},
            "/scopes/0",
            "reference",
            "SERVICE/* or SERVICE/OPERATION, and usage/report",
        ),
        (
            {"scopes": ["usage/report", "stock/vanish"]},
            "/scopes/1",
            "reference",
            "write stock/* or stock/configure, stock/",
        ),
        (
            {"scopes": ["bench/echo"]},
            "/scopes/0",
            "reference",
            "no service 'bench'; on sale are address, stock;",
        ),
        ({"label": "l" * 81}, "/label", "length", "80"),
        ({"label": "two\nlines"}, "/label", "length", "visible"),
    ],
)
async def test_a_key_is_refused_with_field_rule_and_remedy(
    gateway_pool: asyncpg.Pool, fields: dict[str, Any], pointer: str, rule: str, remedy: str
) -> None:
    async with scope(gateway_pool) as connection:
        await publish_built_in(connection, built_in_passports(), "tests", NOW)
    owner = await opened(gateway_pool, "bu-01")
    terms = {"scopes": ["*"], "label": "", **fields}
    async with scope(gateway_pool) as connection:
        with pytest.raises(Problem) as refused:
            await create_key(
                connection,
                owner.account,
                owner.application,
                "live",
                terms["scopes"],
                PEPPERS,
                label=terms["label"],
                **BY,
            )
    (error,) = refused.value.errors
    assert (error.pointer, error.rule) == (pointer, rule)
    assert remedy in error.detail

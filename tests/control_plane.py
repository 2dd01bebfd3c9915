"""A worker's control plane over a real database, directory and journal, for tests of what it answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import msgspec
from prometheus_client import CollectorRegistry

from atomic_services import registry
from catalog.accounts.open import OpenedAccount, open_account
from catalog.registry.publish import publish_built_in
from catalog.vocabulary.clock import ManualClock, SystemClock
from catalog.vocabulary.ids import Environment
from deploy.database import Database
from deploy.roles import GATEWAY, READER
from gateway.authenticate import Authenticator
from gateway.control.build import build_control
from gateway.control.context import ControlContext
from gateway.stores.directory import DirectoryStore
from gateway.stores.keys import create_key
from tests.usage_calls import open_journal

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PEPPERS = {1: b"pepper" * 6}
T = TypeVar("T")


class Owner(msgspec.Struct, frozen=True):
    """An account with a live and a test key that may do everything."""

    opened: OpenedAccount
    live: str
    test: str

    @property
    def id(self) -> str:
        """The account's id."""
        return self.opened.account.id


class Installation(msgspec.Struct, frozen=True):
    """The control plane as a client reaches it."""

    client: httpx.AsyncClient
    gateway_pool: asyncpg.Pool
    directory: DirectoryStore
    context: ControlContext

    async def get(self, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        """One GET, with the key if there is one."""
        return await self.client.get(path, headers=_headers(key, headers))

    async def send(self, method: str, path: str, key: str, body: Any = None) -> httpx.Response:
        """One request with a JSON body."""
        return await self.client.request(method, path, headers=_headers(key, {}), json=body)

    async def open(self, name: str, kind: str = "internal") -> Owner:
        """An account that the directory knows already."""
        async with self.gateway_pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('ordergate.account', '*', true)")
            opened = await open_account(
                connection,
                name=name,
                kind=kind,
                currency="CNY",
                timezone="Asia/Shanghai",
                actor="tests",
                now=NOW,
            )
            keys = {}
            environment: Environment
            for environment in ("live", "test"):
                _, keys[environment] = await create_key(
                    connection,
                    opened.account,
                    opened.application,
                    environment,
                    ["*"],
                    PEPPERS,
                    actor="tests",
                    now=NOW,
                )
        owner = Owner(opened, keys["live"], keys["test"])
        await self.known(owner.test)
        return owner

    async def limited_key(self, owner: Owner, *scopes: str) -> str:
        """A live key that may do only this."""
        reply = await self.send("POST", "/api/keys", owner.live, {"scopes": scopes})
        secret: str = reply.json()["secret"]
        await self.known(secret)
        return secret

    async def known(self, key: str) -> None:
        """Return once a key works."""

        async def works() -> bool:
            return (await self.get("/api/account", key)).status_code == 200

        await eventually(works)


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Return once it is so; TimeoutError after a second."""
    async with asyncio.timeout(1):
        while not await look():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def control_plane(
    database: Database, gateway_pool: asyncpg.Pool, folder: Path, reader: dict[str, Any] | None = None
) -> AsyncIterator[Installation]:
    """The built-in services on sale and nobody to call them yet; the calendar stands still at `NOW`."""
    async with gateway_pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', '*', true)")
        await publish_built_in(connection, registry.built_in_passports(), "tests", NOW)
    directory = DirectoryStore(database.as_role(GATEWAY), SystemClock(), stale_max_s=300)
    await directory.start()
    async with open_journal(folder / "journal") as journal:
        context = ControlContext(
            clock=ManualClock(NOW),
            directory=directory,
            authenticate=Authenticator(directory.current, PEPPERS),
            pool=gateway_pool,
            reader=reader or database.as_role(READER),
            journal=journal,
            metrics_registry=CollectorRegistry(),
            metrics_dir=None,
            metrics_token="operator",
            peppers=PEPPERS,
        )
        control = build_control(context)
        transport = httpx.ASGITransport(app=control, raise_app_exceptions=False)  # type: ignore[arg-type]
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
                yield Installation(client, gateway_pool, directory, context)
        finally:
            await control.close()
            await directory.stop()


def _headers(key: str | None, headers: dict[str, str]) -> dict[str, str]:
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return shown if key is None else {"authorization": f"Bearer {key}", **shown}

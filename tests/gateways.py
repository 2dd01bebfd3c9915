"""A gateway worker in the test's own event loop: real HTTP on a real port, real PostgreSQL, a real journal."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec

from atomic_services.registry import built_in_passport, built_in_passports
from billing.store.partitions import ensure_upcoming
from catalog.accounts.open import OpenedAccount, open_account
from catalog.passport import check_passport, document_of
from catalog.registry.publish import publish, publish_built_in
from catalog.vocabulary.clock import Clock, SystemClock, from_ns
from catalog.vocabulary.ids import Environment
from deploy.database import Database
from deploy.home import Home
from deploy.roles import BILLING, GATEWAY
from gateway.app import Gateway
from gateway.server import server_of
from gateway.settings import Settings
from gateway.stores.keys import create_key, revoke_key
from gateway.stores.peppers import load_peppers

BERLIN = {"country": "DE", "postal_code": "10115", "locality": "Berlin", "lines": ["Invalidenstr. 116"]}


class RunningGateway:
    """A served worker, and what a test needs to arrange and to look behind it."""

    def __init__(
        self, home: Home, database: Database, gateway: Gateway, port: int, admin: asyncpg.Connection
    ) -> None:
        self.home = home
        self.database = database
        self.gateway = gateway
        self.port = port
        self.admin = admin
        self.clock: Clock = SystemClock()
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20)

    async def open_account(self, name: str = "brand", kind: str = "internal", **terms: Any) -> OpenedAccount:
        """An account with an application, subscribed to all that fits it."""
        async with self._operator() as connection:
            return await open_account(
                connection,
                name=name,
                kind=kind,
                currency=terms.pop("currency", "CNY"),
                timezone=terms.pop("timezone", "Asia/Shanghai"),
                actor="test",
                now=from_ns(self.clock.now_ns()),
                **terms,
            )

    async def create_key(
        self, opened: OpenedAccount, environment: Environment = "live", scopes: tuple[str, ...] = ("*",)
    ) -> str:
        """A new key of the account's first application, known to the worker."""
        async with self._operator() as connection:
            _, secret = await create_key(
                connection,
                opened.account,
                opened.application,
                environment,
                scopes,
                load_peppers(self.home.path),
                actor="test",
                now=from_ns(self.clock.now_ns()),
            )
        await self.settle()
        return secret

    async def revoke_key(self, key: str) -> None:
        """Revoke a key, with the worker knowing it."""
        async with self._operator() as connection:
            await revoke_key(connection, key, actor="test", now=from_ns(self.clock.now_ns()))
        await self.settle()

    async def publish(self, service: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Publish the service's own passport with changed terms, as an operator does."""
        own = built_in_passport(service)
        assert own is not None
        document = document_of(own)
        change(document)
        async with self._operator() as connection:
            await publish(connection, check_passport(document), own, "test", from_ns(self.clock.now_ns()))

    async def settle(self) -> None:
        """Wait until the worker has seen every change of the catalogue made so far."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(0.15)
        # On a busy machine the copy may be older than that still.
        while self.gateway.directory.age_s > loop.time() - begun:
            await asyncio.sleep(0.02)

    async def call(self, key: str, operation: str, body: Any, **headers: str) -> httpx.Response:
        """A call; `body` is encoded unless it is bytes already; header names are written with underscores."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        return await self.client.post(f"/v1/{operation}", content=content, headers=sent)

    @contextlib.asynccontextmanager
    async def _operator(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(**self.database.as_role(GATEWAY, {"ordergate.account": "*"}))
        try:
            async with connection.transaction():
                yield connection
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def running_gateway(
    database: Database, folder: Path, admin: asyncpg.Connection
) -> AsyncIterator[RunningGateway]:
    """Publish the built-in passports, start a worker and serve it."""
    home = Home(folder)
    home.make()
    clock = SystemClock()
    now = from_ns(clock.now_ns())
    billing = await asyncpg.connect(**database.as_role(BILLING, {"ordergate.account": "*"}))
    await ensure_upcoming(billing, now.date())
    await billing.close()
    connection = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    async with connection.transaction():
        await publish_built_in(connection, built_in_passports(), "test", now)
    await connection.close()
    settings = Settings(
        home=folder,
        database_url=None,
        socket_dir=database.socket_dir,
        auth_stale_max_s=300,
        journal_mirror=None,
        database_connections=8,
        otlp_endpoint=None,
        metrics_token=None,
        metrics_dir=None,
    )
    gateway = Gateway(settings, database.as_role)
    await gateway.start()
    listener = socket.create_server(("127.0.0.1", 0))
    server = server_of(gateway)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    running = RunningGateway(home, database, gateway, listener.getsockname()[1], admin)
    try:
        yield running
    finally:
        await running.client.aclose()
        server.should_exit = True
        await serving
        await gateway.stop()
        listener.close()

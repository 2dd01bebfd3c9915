"""An installation of our own for a benchmark: an embedded PostgreSQL, an account, a key and one real worker."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import asyncpg
import msgspec

from atomic_services.registry import built_in_passport, built_in_passports
from billing.store.partitions import ensure_upcoming
from catalog.accounts.open import OpenedAccount, open_account
from catalog.passport import check_passport, document_of
from catalog.registry.publish import publish, publish_built_in
from catalog.vocabulary.clock import Clock, SystemClock, from_ns
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.home import Home
from deploy.migrate import migrate
from deploy.roles import BILLING, GATEWAY
from gateway.stores.keys import create_key
from gateway.stores.peppers import load_peppers
from tests.performance.servers import running

_ACTOR = "benchmark"
# A rate that is counted like any other and never reached.
_RATE = {"kind": "rate", "per": "application", "q": 1_000_000, "w": 1}
SUBSCRIPTIONS = {"bench": "bench", "address": "internal-2026", "stock": "internal-2026"}


class Installation(msgspec.Struct, frozen=True):
    """A home with its database, and the key of an account that may call the services of `SUBSCRIPTIONS`."""

    home: Home
    database: Database
    account: OpenedAccount
    key: str


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """Everything but the worker, for the duration of the block; call it in the main thread, outside an event loop."""
    home = Home(folder / "home")
    home.make()
    (home.run / "metrics").mkdir()
    with EmbeddedPostgres(home.path) as server:
        database = Database(socket_dir=server.socket_dir)
        account, key = asyncio.run(_prepare(home, database, SystemClock()))
        yield Installation(home, database, account, key)


def environment_of(installation: Installation) -> dict[str, str]:
    """What `ordergate up` gives its workers."""
    home = installation.home
    return {
        **os.environ,
        "ORDERGATE_HOME": str(home.path),
        "ORDERGATE_SOCKET_DIR": str(installation.database.socket_dir),
        "PROMETHEUS_MULTIPROC_DIR": str(home.run / "metrics"),
    }


@contextmanager
def worker(installation: Installation, log: Path) -> Iterator[tuple[int, int]]:
    """One gateway worker as `ordergate up` starts it, on the measured core; yields its process id and port."""
    environment = environment_of(installation)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "gateway", "--fd", str(listener.fileno())]
        with running(
            command,
            port=port,
            log=log,
            environment=environment,
            descriptors=(listener.fileno(),),
            is_ready=answers,
        ) as pid:
            yield pid, port


@asynccontextmanager
async def acting(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A transaction as an operator; it commits at the end of the block."""
    connection = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


async def _prepare(home: Home, database: Database, clock: Clock) -> tuple[OpenedAccount, str]:
    await migrate(database)
    now = from_ns(clock.now_ns())
    billing = await asyncpg.connect(**database.as_role(BILLING, {"ordergate.account": "*"}))
    try:
        await ensure_upcoming(billing, now.date())
    finally:
        await billing.close()
    async with acting(database) as operator:
        await publish_built_in(operator, built_in_passports(), _ACTOR, now)
        for service in SUBSCRIPTIONS:
            own = built_in_passport(service)
            assert own is not None
            terms = check_passport({**document_of(own), "limits": [_RATE]})
            await publish(operator, terms, own, _ACTOR, now)
        account = await open_account(
            operator,
            name="benchmark",
            kind="internal",
            currency="CNY",
            timezone="Asia/Shanghai",
            actor=_ACTOR,
            now=now,
            plans=SUBSCRIPTIONS,
        )
        _, key = await create_key(
            operator,
            account.account,
            account.application,
            "live",
            ("*",),
            load_peppers(home.path),
            actor=_ACTOR,
            now=now,
        )
    return account, key


def answers(port: int) -> bool:
    """Whether a worker is ready to be called."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False

"""`ordergate up --workers 8`: every pool may be full at once, and the database never runs out of connections."""

import asyncio
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy.connections import max_connections
from deploy.database import Database
from tests.fakes.journal_disk import is_torture, memory_directory
from tests.faults.installation import only_linux
from tests.faults.product import Product
from tests.load.plan import Credential

pytestmark = only_linux

_WORKERS = 8
_AT_ONCE = 160
_ROUNDS = 2
_HELD_S = 1.0
_IN_USE = "SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL"


@pytest.mark.skipif(not is_torture(), reason="eight workers take half a minute to start: `make torture`")
def test_eight_workers_with_full_pools_never_run_out_of_connections() -> None:
    with memory_directory() as folder:
        folder.chmod(0o711)
        product = Product(folder, _WORKERS)
        (credential, *_) = product.prepare("brand")
        try:
            product.start()
            running = product.home.running()
            assert running is not None
            statuses, granted, used = asyncio.run(
                _fill(product, credential, Database(socket_dir=Path(running.socket_dir)))
            )
            assert statuses == {200}, product.said()
            assert granted == max_connections(_WORKERS, 8)
            # Every worker waits on several connections; calls with an effect share some of theirs.
            assert 5 * _WORKERS <= used < granted
            assert "too many" not in product.said()
        finally:
            product.end()


async def _fill(product: Product, credential: Credential, database: Database) -> tuple[set[int], int, int]:
    """Statuses of calls with an effect and of questions, all at once; connections granted, and most seen in use."""
    headers = {"Authorization": f"Bearer {credential.key}"}
    used: list[int] = []
    statuses: set[int] = set()
    admin = await asyncpg.connect(**database.admin())
    limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=product.url, headers=headers, timeout=60, limits=limits) as client:

        async def ask(number: int) -> None:
            if number % 3 == 0:
                reply = await client.get("/api/calls")
            else:
                body = {"sku": f"S{number}", "warehouse": "W1", "quantity": 1, "reason": "count"}
                reply = await client.post(
                    "/v1/stock/adjust", json=body, headers={"Idempotency-Key": f"{len(used)}-{number}"}
                )
            statuses.add(reply.status_code)

        for _ in range(_ROUNDS):
            async with admin.transaction():
                # Everybody has to wait for a moment, each on a connection of its own.
                await admin.execute("LOCK TABLE billing.usage_event IN ACCESS EXCLUSIVE MODE")
                asking = asyncio.gather(*[ask(number) for number in range(_AT_ONCE)])
                await asyncio.sleep(_HELD_S)
                used.append(await admin.fetchval(_IN_USE))
            await asking
    granted = int(await admin.fetchval("SHOW max_connections"))
    await admin.close()
    return statuses, granted, max(used)

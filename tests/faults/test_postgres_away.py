"""While PostgreSQL is away, calls without an effect go on; what needs it is refused; everything arrives afterwards."""

import asyncio

import asyncpg

from tests.databases import DatabaseServer
from tests.gateways import BERLIN, RunningGateway

ADJUST = {"sku": "A", "warehouse": "W1", "quantity": 1, "reason": "count"}


async def test_calls_without_effect_go_on_and_calls_with_one_wait_for_its_return(
    gateway: RunningGateway, database_server: DatabaseServer
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    assert (await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="before")).status_code == 200
    await gateway.admin.close()
    database_server.stop()
    try:
        assert (await gateway.call(key, "address/validate", BERLIN)).status_code == 200
        refused = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="during")
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ordergate-charge"] == "0 CNY"
        ready = await gateway.client.get("/readyz")
        assert ready.status_code == 200
    finally:
        database_server.start()
    for _ in range(100):
        again = await gateway.call(key, "stock/adjust", ADJUST, Idempotency_Key="during")
        if again.status_code == 200:
            break
        await asyncio.sleep(0.1)
    assert again.json()["on_hand"] == 2
    connection = await asyncpg.connect(**gateway.database.admin())
    stored = await connection.fetchval("SELECT count(*) FROM billing.usage_event WHERE class = 'ok'")
    await connection.close()
    assert stored == 2, "the refused attempt left nothing behind but its record in the journal"


async def test_keys_are_not_trusted_for_ever_while_they_cannot_be_checked(
    gateway: RunningGateway, database_server: DatabaseServer
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.admin.close()
    directory = gateway.gateway.directory
    database_server.stop()
    try:
        directory._stale_max_ns = 500_000_000
        await asyncio.sleep(0.8)
        refused = await gateway.call(key, "address/validate", BERLIN)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
    finally:
        database_server.start()
    for _ in range(100):
        reply = await gateway.call(key, "address/validate", BERLIN)
        if reply.status_code == 200:
            break
        await asyncio.sleep(0.1)
    assert reply.status_code == 200

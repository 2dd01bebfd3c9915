"""A call with an effect is all or nothing at every statement: effect, usage row and stored reply, or none of them.

Whatever breaks, the caller's repetition under the same Idempotency-Key ends with exactly one effect and one receipt.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.database import Database
from tests.faults.database_proxy import DatabaseProxy
from tests.gateways import RunningGateway, running_gateway

# The statement with which the gateway opens the transaction of a call.
_CALL_BEGINS = b"SAVEPOINT effect"
_RECEIVED = {"sku": "A", "warehouse": "W1", "quantity": 10, "reason": "count"}
# Everything that a call leaves behind in PostgreSQL, by its id.
_TRACES = """
    SELECT (SELECT count(*) FROM billing.usage_event WHERE recorded_by = 'transaction') AS recorded,
           (SELECT count(DISTINCT call_id) FROM stock.movement WHERE call_id IS NOT NULL) AS effects,
           (SELECT count(*) FROM gateway.stored_reply) AS replies
"""
_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"


def reservation(number: int) -> dict[str, Any]:
    return {"reservation_id": f"R-{number}", "lines": [{"sku": "A", "quantity": 1}], "ttl_s": 3600}


@pytest.fixture
async def proxy(database: Database, tmp_path: Path) -> AsyncIterator[DatabaseProxy]:
    assert database.socket_dir is not None
    async with DatabaseProxy(tmp_path, database.socket_dir) as proxy:
        proxy.counts_from = _CALL_BEGINS
        yield proxy


@pytest.fixture
async def gateway(
    database: Database, proxy: DatabaseProxy, tmp_path: Path, admin: asyncpg.Connection
) -> AsyncIterator[RunningGateway]:
    through_proxy = Database(socket_dir=tmp_path, name=database.name)
    async with running_gateway(through_proxy, tmp_path / "home", admin) as running:
        yield running


async def traces(admin: asyncpg.Connection) -> tuple[int, int, int]:
    """Usage rows, effects and stored replies, once no transaction is open any more."""
    while await admin.fetchval(_OPEN):
        pass
    row = await admin.fetchrow(_TRACES)
    assert row is not None
    return row["recorded"], row["effects"], row["replies"]


@pytest.mark.parametrize("operation", ["stock/adjust", "stock/reserve"])
async def test_a_connection_lost_at_any_statement_leaves_all_or_nothing_and_the_repetition_resolves_it(
    gateway: RunningGateway, proxy: DatabaseProxy, admin: asyncpg.Connection, operation: str
) -> None:
    key = await gateway.create_key(await gateway.open_account())
    await gateway.call(key, "stock/adjust", {**_RECEIVED, "quantity": 1000}, Idempotency_Key="first")
    done = 1
    outcomes = []
    while True:
        body = _RECEIVED if operation == "stock/adjust" else reservation(done)
        proxy.break_at(done)
        reply = await gateway.call(key, operation, body, Idempotency_Key=f"key-{done}")
        broken, statements = proxy.broken, proxy.statements
        proxy.break_at(0)
        left = await traces(admin)
        if not broken:
            break
        assert (reply.status_code, reply.json()["type"]) == (503, "/problems/unavailable"), statements
        assert left in ((done, done, done), (done + 1, done + 1, done + 1)), statements
        outcomes.append(left[0] > done)
        again = await gateway.call(key, operation, body, Idempotency_Key=f"key-{done}")
        assert again.status_code == 200, again.text
        done += 1
        assert await traces(admin) == (done, done, done)
        assert ("idempotent-replayed" in again.headers) == outcomes[-1]
        stored = await admin.fetchval(
            "SELECT class FROM billing.usage_event WHERE id = $1",
            again.headers["ordergate-call-id"].removeprefix("call_"),
        )
        assert stored == "ok"
    # Only the loss of COMMIT's own reply leaves something behind.
    assert outcomes == [False] * (len(outcomes) - 1) + [True]
    assert len(outcomes) > 10

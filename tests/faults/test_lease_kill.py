"""Workers killed at random at a hard limit: exceeded by nothing, and in the end granted to the last call."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from catalog.vocabulary.clock import from_ns
from deploy.database import Database
from tests.allowances import grant, publish_quota, standing
from tests.fakes.journal_disk import is_torture, memory_directory
from tests.faults.lease_storm import lease_storm
from tests.gateways import RunningGateway, running_gateway

_WORKERS, _KILLS, _CLIENTS = (8, 60, 32) if is_torture() else (2, 3, 8)
_CALLS = 30_000 if is_torture() else 400
_KILL_EVERY_S = 0.4
_PRICE = Decimal("0.055")
_TAKEN = """
    SELECT count(*) FILTER (WHERE class IN ('ok', 'declined')) AS counted,
           coalesce(sum((SELECT sum(amount) FROM unnest(lease_amounts) AS amount)), 0) AS taken
    FROM billing.usage_event
"""


@pytest.fixture
async def gateway(database: Database, admin: asyncpg.Connection) -> AsyncIterator[RunningGateway]:
    with memory_directory() as folder:
        async with running_gateway(database, folder / "home", admin) as running:
            yield running


@pytest.mark.parametrize("seed", range(3 if is_torture() else 1))
async def test_a_quota_is_never_exceeded_and_granted_whole_whoever_dies(
    gateway: RunningGateway, admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path, seed: int
) -> None:
    await publish_quota(gateway, _CALLS)
    key = await gateway.create_key(await gateway.open_account())
    async with lease_storm(gateway, key, billing_pool, tmp_path, workers=_WORKERS, seed=seed) as storm:
        await asyncio.gather(storm.kill(_KILLS, _KILL_EVERY_S), storm.use_up(_CLIENTS, with_effect=False))
        await storm.use_up(_CLIENTS, with_effect=False)
        row = await admin.fetchrow(_TAKEN)
        assert row is not None
        print(
            f"{seed=} {_WORKERS=} {_KILLS=} limit={_CALLS} recorded={row['counted']} answered={dict(storm.said)}"
        )
        assert storm.said[200] <= row["counted"] <= _CALLS, "no acknowledged call is lost, none is too many"
        assert row["counted"] >= 0.99 * _CALLS
        assert row["taken"] == row["counted"]
        assert await standing(admin, "quota") == (row["counted"], 0)


@pytest.mark.parametrize("seed", range(3 if is_torture() else 1))
async def test_credit_is_spent_to_the_last_call_and_not_beyond_whoever_dies(
    gateway: RunningGateway, admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path, seed: int
) -> None:
    opened = await gateway.open_account()
    now = from_ns(gateway.clock.now_ns())
    first = Decimal("10.01")
    whole = (_CALLS * _PRICE).quantize(Decimal("0.01"))
    await grant(gateway.database, opened.account, str(first), now, priority=1)
    await grant(gateway.database, opened.account, str(whole - first), now)

    def unlimited(document: dict[str, object]) -> None:
        document["limits"] = []

    await gateway.publish("address", unlimited)
    await gateway.publish("stock", unlimited)
    key = await gateway.create_key(opened)
    async with lease_storm(gateway, key, billing_pool, tmp_path, workers=_WORKERS, seed=seed) as storm:
        await asyncio.gather(storm.kill(_KILLS, _KILL_EVERY_S), storm.use_up(_CLIENTS, with_effect=True))
        await storm.use_up(_CLIENTS, with_effect=True)
        row = await admin.fetchrow(_TAKEN)
        assert row is not None
        used, leased = await standing(admin, "credit")
        print(f"{seed=} {_WORKERS=} {_KILLS=} limit={whole} taken={used} answered={dict(storm.said)}")
        assert storm.said[200] <= row["counted"]
        assert (row["taken"], leased) == (used, 0)
        assert whole - _PRICE < used <= whole

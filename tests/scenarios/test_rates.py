"""A limit is the same number however many workers there are, and whoever knocks in vain takes nothing from others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from billing.journal import JournalReader, journal_directories
from catalog.accounts.application import create_application
from catalog.usage_event import USAGE_EVENT_KIND
from catalog.vocabulary.clock import from_ns
from deploy.database import Database
from tests.fakes.journal_disk import memory_directory
from tests.gateways import BERLIN, RunningGateway, running_gateway
from tests.workers import running_workers

_BODY = msgspec.json.encode(BERLIN)


@pytest.fixture
async def gateway(database: Database, admin: asyncpg.Connection) -> AsyncIterator[RunningGateway]:
    """Its home is in memory: every worker begins a journal of 64 MiB, which costs more than all else on a disk."""
    with memory_directory() as folder:
        async with running_gateway(database, folder / "home", admin) as running:
            yield running


async def test_exactly_the_limit_is_admitted_over_three_worker_processes(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    def fifty_an_hour(document: dict[str, Any]) -> None:
        document["limits"] = [{"kind": "rate", "per": "application", "q": 50, "w": 3600}]

    await gateway.publish("address", fifty_an_hour)
    headers = {
        "Authorization": f"Bearer {await gateway.create_key(await gateway.open_account())}",
        "Content-Type": "application/json",
    }

    async def call(url: str, client: httpx.AsyncClient) -> httpx.Response:
        # Each on a connection of its own, so that the kernel deals them out.
        return await client.post(url, content=_BODY, headers={**headers, "Connection": "close"})

    async with (
        running_workers(gateway, tmp_path, count=3) as workers,
        httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=60)) as client,
    ):
        url = f"http://127.0.0.1:{workers.port}/v1/address/validate"
        replies = await asyncio.gather(*(call(url, client) for _ in range(300)))
        statuses = sorted(reply.status_code for reply in replies)
        assert statuses == [200] * 50 + [429] * 250
        remaining = sorted(int(reply.headers["ratelimit"].split("r=")[1].split(";")[0]) for reply in replies)
        assert remaining == [0] * 251 + list(range(1, 50)), "each admitted call was told another remainder"
        assert await workers.stop() == 0
    per_worker = sorted(count for count in _recorded(gateway) if count)
    assert sum(per_worker) == 50
    assert len(per_worker) > 1, "more than one worker has served"


def _recorded(gateway: RunningGateway) -> list[int]:
    """Usage events in each worker's journal."""
    counts = []
    for directory in journal_directories(gateway.home.journals):
        reader = JournalReader(directory)
        records = reader.read_after(0, 10**8).records
        counts.append(sum(record.kind == USAGE_EVENT_KIND for record in records))
        reader.close()
    return counts


async def test_an_application_over_its_own_limit_takes_nothing_from_the_accounts(
    gateway: RunningGateway,
) -> None:
    def five_each_and_eight_together(document: dict[str, Any]) -> None:
        document["limits"] = [
            {"kind": "rate", "per": "application", "q": 5, "w": 3600},
            {"kind": "rate", "per": "account", "q": 8, "w": 3600},
        ]

    await gateway.publish("address", five_each_and_eight_together)
    opened = await gateway.open_account()
    async with gateway._operator() as connection:
        second = await create_application(
            connection, opened.account, "second", "test", from_ns(gateway.clock.now_ns())
        )
    greedy = await gateway.create_key(opened)
    modest = await gateway.create_key(msgspec.structs.replace(opened, application=second))
    statuses = [(await gateway.call(greedy, "address/validate", BERLIN)).status_code for _ in range(30)]
    assert statuses == [200] * 5 + [429] * 25
    statuses = [(await gateway.call(modest, "address/validate", BERLIN)).status_code for _ in range(5)]
    assert statuses == [200] * 3 + [429] * 2

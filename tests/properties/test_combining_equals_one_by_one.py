"""However calls meet - same key or another, same body or another, granted or refused - they end as one after the other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.combining import OPERATION, Adjusting, adjustment
from tests.databases import DatabaseServer
from tests.gateways import RunningGateway, running_gateway


class Sent(Struct, frozen=True):
    """A call: its idempotency key and how many units it adds or takes; each call of a group is sent at once."""

    key: str
    quantity: int


_CALLS = st.builds(Sent, st.sampled_from("abcde"), st.sampled_from([1, 2, 5, -1, -3, 0]))
_GROUPS = st.lists(st.lists(_CALLS, min_size=1, max_size=8), min_size=1, max_size=4)
_sku = count()


class Worker:
    """A running gateway whose `stock/adjust` runs together, and a key for it."""

    gateway: RunningGateway
    key: str
    adjusting: Adjusting

    async def start(self, server: DatabaseServer, folder: Path, stack: AsyncExitStack) -> None:
        """Everything real."""
        database = await server.create()
        stack.push_async_callback(server.drop, database)
        admin = await asyncpg.connect(**database.admin())
        stack.push_async_callback(admin.close)
        self.gateway = await stack.enter_async_context(running_gateway(database, folder, admin))
        self.key = await self.gateway.create_key(await self.gateway.open_account())
        self.adjusting = Adjusting(self.gateway)

    @asynccontextmanager
    async def line_is_held(self, sku: str, number: int) -> AsyncIterator[None]:
        """A call is in its transaction until the end of the block, so that those which come meanwhile are one batch."""
        self.adjusting.go.clear()
        self.adjusting.batches.clear()
        body = adjustment(reason="held", sku=sku)
        holding = asyncio.create_task(
            self.gateway.call(self.key, OPERATION, body, Idempotency_Key=f"{sku}-{number}")
        )
        async with asyncio.timeout(10):
            while not self.adjusting.batches:
                await asyncio.sleep(0.001)
        yield
        self.adjusting.go.set()
        assert (await holding).status_code == 200

    async def arrived(self, calls: int) -> None:
        """Returns when so many wait in the line."""
        lines = self.gateway.gateway.pipeline._combiner._lines
        async with asyncio.timeout(10):
            while sum(len(line.waiting) for line in lines.values()) < calls:
                await asyncio.sleep(0.001)

    async def send(self, call: Sent, sku: str) -> httpx.Response:
        """Until the call has ended: while its key is in flight it is sent again."""
        body = adjustment(call.quantity, sku=sku)
        reply = await self.gateway.call(self.key, OPERATION, body, Idempotency_Key=f"{sku}-{call.key}")
        while reply.status_code == 409 and reply.json()["type"] == "/problems/idempotency-in-flight":
            reply = await self.gateway.call(self.key, OPERATION, body, Idempotency_Key=f"{sku}-{call.key}")
        return reply


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def worker(
    runner: asyncio.Runner, database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    worker, stack = Worker(), AsyncExitStack()
    runner.run(worker.start(database_server, tmp_path_factory.mktemp("home"), stack))
    yield worker
    runner.run(stack.aclose())


def expected(calls: list[Sent]) -> list[tuple[int, int | None]]:
    """Status and units on hand of each call, one after the other."""
    on_hand, first, ends = 0, dict[str, tuple[Sent, tuple[int, int | None]]](), list[tuple[int, int | None]]()
    for call in calls:
        if call.key in first:
            earlier, end = first[call.key]
            ends.append(end if earlier == call else (422, None))
            continue
        if call.quantity == 0:
            end = (400, None)
        elif on_hand + call.quantity < 0:
            end = (409, None)
        else:
            on_hand += call.quantity
            end = (200, on_hand)
        first[call.key] = call, end
        ends.append(end)
    return ends


@given(groups=_GROUPS)
@example(groups=[[Sent("a", 1), Sent("a", 1), Sent("b", -3), Sent("a", 2), Sent("c", 5)]])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_calls_that_meet_end_as_one_after_the_other(
    runner: asyncio.Runner, worker: Worker, groups: list[list[Sent]]
) -> None:
    sku = f"SKU-{next(_sku)}"

    async def play() -> list[httpx.Response]:
        replies: list[httpx.Response] = []
        for number, group in enumerate(groups):
            async with worker.line_is_held(f"{sku}-held", number):
                tasks = []
                for call in group:
                    tasks.append(asyncio.create_task(worker.send(call, sku)))
                    await worker.arrived(len(tasks))
            replies += await asyncio.gather(*tasks)
        return replies

    replies = runner.run(play())
    calls = [call for group in groups for call in group]
    assert [
        (reply.status_code, reply.json().get("on_hand") if reply.status_code == 200 else None)
        for reply in replies
    ] == expected(calls)
    for one, reply in zip(calls, replies, strict=True):
        same = {
            other.content
            for call, other in zip(calls, replies, strict=True)
            if call == one and other.status_code != 422
        }
        assert reply.status_code == 422 or same == {reply.content}, "the same intent has the same reply"
    kept = "SELECT count(*) FROM gateway.stored_reply WHERE idempotency_key ~ $1"
    stored = runner.run(worker.gateway.admin.fetchval(kept, f"^{sku}-[a-e]$"))
    assert stored == len({call.key for call in calls})

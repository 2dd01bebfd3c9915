"""Workers that are killed at random while clients use up a limit to its end; then the books are asked what was granted."""

import asyncio
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import msgspec

from billing.flow import Flow
from tests.gateways import BERLIN, RunningGateway

_READY_S = 60.0
# Forks workers, tells their pids, and forks another one for each that ends, until it is told to stop. A signal that
# comes during a fork waits until parent and child know who they are.
_MAKER = """
import contextlib, os, signal, sys
from gateway.__main__ import main
workers = set()
stopping = []
def stop(*_):
    stopping.append(True)
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGTERM)
signal.signal(signal.SIGTERM, stop)
def fork():
    signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
    worker = os.fork()
    if worker == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {{signal.SIGTERM}})
        os._exit(main())
    workers.add(worker)
    print(worker, flush=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {{signal.SIGTERM}})
for _ in range({count}):
    fork()
while workers:
    try:
        worker, _ = os.wait()
    except InterruptedError:
        continue
    workers.discard(worker)
    if not stopping:
        fork()
"""
_STOCKED = {"sku": "A", "warehouse": "W1", "quantity": 1, "reason": "count"}


class Storm:
    """Clients, a killer and the flow over some workers; `said` counts the statuses that clients were answered."""

    def __init__(self, gateway: RunningGateway, key: str, port: int, flow: Flow, seed: int) -> None:
        self._gateway = gateway
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._url = f"http://127.0.0.1:{port}"
        self._flow = flow
        self._random = random.Random(seed)
        self.pids: list[int] = []
        self.said: Counter[int] = Counter()
        self.refusal: dict[str, Any] = {}
        self._number = 0

    async def call(self, client: httpx.AsyncClient, *, with_effect: bool) -> int:
        """One call; 0 where its worker died."""
        operation = "address/validate"
        body: Mapping[str, Any] = BERLIN
        headers = self._headers
        if with_effect:
            self._number += 1
            operation, body = "stock/adjust", _STOCKED
            headers = {**headers, "Idempotency-Key": f"storm-{self._number}"}
        try:
            reply = await client.post(
                f"{self._url}/v1/{operation}", content=msgspec.json.encode(body), headers=headers
            )
        except httpx.TransportError:
            self.said[0] += 1
            return 0
        self.said[reply.status_code] += 1
        if reply.status_code in (402, 429):
            self.refusal = reply.json()
        return reply.status_code

    async def use_up(self, clients: int, *, with_effect: bool) -> None:
        """Call until nothing is granted any more and nothing is held."""
        refused_in_a_row = 0

        async def one() -> None:
            nonlocal refused_in_a_row
            async with httpx.AsyncClient(timeout=30) as client:
                while refused_in_a_row < 10 * clients:
                    effect = with_effect and self._random.random() < 0.3
                    status = await self.call(client, with_effect=effect)
                    spent = status in (402, 429) and not float(self.refusal["allowance"]["reserved"])
                    refused_in_a_row = refused_in_a_row + 1 if spent else 0
                    if status != 200:
                        await asyncio.sleep(0.01)

        await asyncio.gather(*(one() for _ in range(clients)))

    async def kill(self, times: int, every_s: float) -> None:
        """kill -9 of a random worker, several times."""
        for _ in range(times):
            await asyncio.sleep(every_s * self._random.uniform(0.5, 1.5))
            pid = self.pids.pop(self._random.randrange(len(self.pids)))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def flow_on(self) -> None:
        """What the billing process does, for ever."""
        while True:
            await self._flow.ship()
            await self._flow.roll_up()
            await self._flow.settle_leases()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def lease_storm(
    gateway: RunningGateway, key: str, pool: asyncpg.Pool, folder: Path, *, workers: int, seed: int
) -> AsyncIterator[Storm]:
    """Workers that are made anew when they die, and the flow that settles what they leave."""
    assert gateway.database.socket_dir is not None
    url = f"postgresql://postgres@/{gateway.database.name}?host={quote(str(gateway.database.socket_dir), safe='')}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDERGATE_")}
    environment |= {"ORDERGATE_HOME": str(gateway.home.path), "ORDERGATE_DATABASE_URL": url}
    flow = Flow(pool, gateway.home.journals, None, gateway.clock)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener, (folder / "log").open("wb") as log:
        maker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _MAKER.format(count=workers), "--fd", str(listener.fileno())),
            env=environment,
            pass_fds=[listener.fileno()],
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        storm = Storm(gateway, key, listener.getsockname()[1], flow, seed)
        try:
            # Should the flow break, nothing is settled any more and the test ends with what broke it.
            async with asyncio.TaskGroup() as beside:
                reading, flowing = (
                    beside.create_task(_read_pids(maker, storm)),
                    beside.create_task(storm.flow_on()),
                )
                async with asyncio.timeout(_READY_S):
                    while len(list(gateway.home.journals.iterdir())) < workers + 1:
                        await asyncio.sleep(0.02)
                yield storm
                reading.cancel()
                flowing.cancel()
        finally:
            maker.send_signal(signal.SIGTERM)
            await maker.wait()
            flow.close()


async def _read_pids(maker: asyncio.subprocess.Process, storm: Storm) -> None:
    assert maker.stdout is not None
    async for line in maker.stdout:
        storm.pids.append(int(line))

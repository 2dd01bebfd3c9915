"""Gateway workers as `ordergate up` starts them: processes of their own, on one port, with one installation's state."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import httpx

from tests.gateways import RunningGateway

_READY_S = 60.0


class Workers:
    """Running workers. `log` is the file that their standard error goes to."""

    def __init__(self, processes: list[asyncio.subprocess.Process], port: int, log: Path) -> None:
        """Use `running_workers`."""
        self._processes = processes
        self.port = port
        self.log = log

    async def stop(self) -> list[int | None]:
        """Ask all to end, wait for it, and answer their statuses."""
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        return [await process.wait() for process in self._processes]


@asynccontextmanager
async def running_workers(
    gateway: RunningGateway, folder: Path, count: int = 1, program: str | None = None, **variables: str
) -> AsyncIterator[Workers]:
    """Workers beside the test's own one, with its keys, journals and counters.

    `program` is Python text that runs in place of `python -m gateway`; `variables` are added to the environment.
    """
    socket_dir = quote(str(gateway.database.socket_dir), safe="")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ORDERGATE_", "OTEL_"))},
        "ORDERGATE_HOME": str(gateway.home.path),
        "ORDERGATE_DATABASE_URL": f"postgresql://postgres@/{gateway.database.name}?host={socket_dir}",
        **variables,
    }
    log = folder / "workers.log"
    started = ("-m", "gateway") if program is None else ("-c", program)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener, log.open("wb") as errors:
        arguments = (*started, "--fd", str(listener.fileno()))
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, *arguments, env=environment, pass_fds=[listener.fileno()], stderr=errors
            )
            for _ in range(count)
        ]
        workers = Workers(processes, listener.getsockname()[1], log)
        try:
            await _until_all_serve(workers, gateway, count)
            yield workers
        finally:
            await workers.stop()


async def _until_all_serve(workers: Workers, gateway: RunningGateway, count: int) -> None:
    """Each worker holds a journal of its own from when it can record calls; then one answer says that it serves."""
    async with asyncio.timeout(_READY_S), httpx.AsyncClient() as client:
        while len(list(gateway.home.journals.iterdir())) < count + 1:
            await asyncio.sleep(0.02)
        while (await client.get(f"http://127.0.0.1:{workers.port}/readyz", timeout=_READY_S)).status_code != 200:
            await asyncio.sleep(0.02)

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
# The modules are imported once, which is most of a start, and then as many workers as are wanted begin from there.
_FORK = """
import os, signal, sys
from gateway.__main__ import main
workers = []
signal.signal(signal.SIGTERM, lambda *_: [os.kill(worker, signal.SIGTERM) for worker in workers])
for _ in range({count}):
    worker = os.fork()
    if worker == 0:
        os._exit(main())
    workers.append(worker)
sys.exit(max(abs(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])) for worker in workers))
"""


class Workers:
    """Running workers. `log` is the file that their standard error goes to."""

    def __init__(self, parent: asyncio.subprocess.Process, port: int, log: Path) -> None:
        """Use `running_workers`."""
        self._parent = parent
        self.port = port
        self.log = log

    async def stop(self) -> int:
        """Ask all to end and wait for it; 0 if all have ended well."""
        if self._parent.returncode is None:
            self._parent.send_signal(signal.SIGTERM)
        return await self._parent.wait()


@asynccontextmanager
async def running_workers(
    gateway: RunningGateway, folder: Path, count: int = 1, program: str | None = None, **variables: str
) -> AsyncIterator[Workers]:
    """Workers beside the test's own one, with its keys, journals and counters.

    `program` is Python text that runs in place of what starts them, as the one worker; `variables` are added to the environment.
    """
    socket_dir = quote(str(gateway.database.socket_dir), safe="")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ORDERGATE_", "OTEL_"))},
        "ORDERGATE_HOME": str(gateway.home.path),
        "ORDERGATE_DATABASE_URL": f"postgresql://postgres@/{gateway.database.name}?host={socket_dir}",
        **variables,
    }
    log = folder / "workers.log"
    text = _FORK.format(count=count) if program is None else program
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener, log.open("wb") as errors:
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", text, "--fd", str(listener.fileno())),
            env=environment,
            pass_fds=[listener.fileno()],
            stderr=errors,
        )
        workers = Workers(parent, listener.getsockname()[1], log)
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
        while (
            await client.get(f"http://127.0.0.1:{workers.port}/readyz", timeout=_READY_S)
        ).status_code != 200:
            await asyncio.sleep(0.02)

"""Gateway workers, one at a time on one port, that a test kills and starts again."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from deploy.database import Database


class WorkersToKill:
    """The maker of gateway workers on one port, and the worker that runs now."""

    def __init__(self, maker: asyncio.subprocess.Process, port: int) -> None:
        assert maker.stdin is not None
        assert maker.stdout is not None
        self._stdin, self._stdout = maker.stdin, maker.stdout
        self._url = f"http://127.0.0.1:{port}"
        self._pid = 0

    async def start(self) -> None:
        """A worker, which takes the calls that wait for one."""
        self._stdin.write(b"go\n")
        self._pid = int(await self._stdout.readline())

    async def kill(self) -> None:
        """kill -9."""
        os.kill(self._pid, signal.SIGKILL)

    async def ended(self) -> None:
        """Returns when the worker that was killed has ended."""
        assert int(await self._stdout.readline()) == signal.SIGKILL

    async def call(self, key: str, operation: str, body: Any, idempotency_key: str) -> httpx.Response:
        """A call on a connection of its own."""
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key}
        async with httpx.AsyncClient(base_url=self._url, timeout=20) as client:
            return await client.post(f"/v1/{operation}", json=body, headers=headers)


@asynccontextmanager
async def workers_to_kill(home: Path, socket_dir: Path, database: Database) -> AsyncIterator[WorkersToKill]:
    """Workers that reach their database through the socket in `socket_dir`; the first one runs."""
    url = f"postgresql://postgres@/{database.name}?host={quote(str(socket_dir), safe='/')}&port=5432"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        maker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.gateway_process",
            "--fd",
            str(listener.fileno()),
            env={**os.environ, "ORDERGATE_HOME": str(home), "ORDERGATE_DATABASE_URL": url},
            pass_fds=(listener.fileno(),),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        workers = WorkersToKill(maker, listener.getsockname()[1])
        try:
            await workers.start()
            yield workers
        finally:
            await workers.kill()
            await workers.ended()
            assert maker.stdin is not None
            maker.stdin.close()
            await maker.wait()

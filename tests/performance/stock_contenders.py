"""Who sells the hot article in `bench_stock`: our workers, and servers that give every call a transaction of its own."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import msgspec

from gateway.pipeline import BATCH_MAX
from tests.performance import plain_server
from tests.performance.installation import Installation, answers, environment_of
from tests.performance.load import call_once_with

UNITS = 1_000_000_000
_START_S = 30.0


class Ours(msgspec.Struct, frozen=True):
    """Our gateway: how many workers, and how many calls one transaction may hold."""

    workers: int
    batch_max: int = BATCH_MAX

    def __str__(self) -> str:
        combined = f"combined, up to {self.batch_max}" if self.batch_max > 1 else "one by one"
        return f"ours, {_counted(self.workers, 'worker')}, {combined}"

    @contextmanager
    def running(self, installation: Installation, log: Path) -> Iterator[tuple[int, str]]:
        """Port and path of the workers, with the article in stock; a repetition of that is answered from the record."""
        environment = {**environment_of(installation), "BENCH_BATCH_MAX": str(self.batch_max)}
        command = [sys.executable, "-m", "tests.performance.batch_worker"]
        with _processes(command, self.workers, environment, log, answers) as port:
            body = {"sku": "HOT", "warehouse": "W1", "quantity": UNITS, "reason": "receipt"}
            status, answer = call_once_with(
                port, "/v1/stock/adjust", installation.key, msgspec.json.encode(body), "receipt"
            )
            assert status == 200, answer
            yield port, "/v1/stock/reserve"


class Plain(msgspec.Struct, frozen=True):
    """`plain_server`: how many processes, with how many connections each, and how they send their statements."""

    processes: int
    pool: int
    statements: str

    def __str__(self) -> str:
        sent = {"separate": "UPDATE + 2 INSERT", "single": "one statement"}[self.statements]
        return f"plain, {_counted(self.processes, 'process', 'es')}, {sent}, pool {self.pool}"

    @contextmanager
    def running(self, installation: Installation, log: Path) -> Iterator[tuple[int, str]]:
        """Port and path of the servers, with the article in stock."""
        folder = installation.database.socket_dir
        assert folder is not None
        asyncio.run(_stock_plainly(installation))
        command = [sys.executable, "-m", "tests.performance.plain_server", "--socket-dir", str(folder)]
        command += ["--pool", str(self.pool), "--statements", self.statements]
        with _processes(command, self.processes, environment_of(installation), log, _sells) as port:
            yield port, "/"


Contender = Ours | Plain


def _counted(number: int, what: str, plural: str = "s") -> str:
    return f"{number} {what}{plural if number > 1 else ''}"


async def _stock_plainly(installation: Installation) -> None:
    admin = await asyncpg.connect(**installation.database.admin())
    try:
        await admin.execute(plain_server.SCHEMA)
        await admin.execute(
            "INSERT INTO plain.level (sku, on_hand) VALUES ('HOT', $1) ON CONFLICT DO NOTHING", UNITS
        )
    finally:
        await admin.close()


def _sells(port: int) -> bool:
    """Whether a plain server is ready: it refuses an article that it does not have."""
    body = b'{"reservation_id":"ready","lines":[{"sku":"NONE","quantity":1}],"ttl_s":1}'
    try:
        status, _ = call_once_with(port, "/", "none", body)
    except OSError:
        return False
    return status == 409


@contextmanager
def _processes(
    command: Sequence[str],
    number: int,
    environment: Mapping[str, str],
    log: Path,
    is_ready: Callable[[int], bool],
) -> Iterator[int]:
    """So many processes that share a port, which is yielded once one of them answers there."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        port = int(listener.getsockname()[1])
        output = stack.enter_context(log.open("ab"))
        for _ in range(number):
            process = subprocess.Popen(
                [*command, "--fd", str(listener.fileno())],
                env=dict(environment),
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        deadline = time.monotonic() + _START_S
        while not is_ready(port):
            assert time.monotonic() < deadline, log.read_text("utf-8", "replace")[-2000:]
            time.sleep(0.02)
        yield port

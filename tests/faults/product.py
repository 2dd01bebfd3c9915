"""The product as an operator runs it: `ordergate up` in a process of its own, its children, and its command line."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from atomic_services.registry import built_in_passport, built_in_passports
from catalog.accounts.open import open_account
from catalog.passport import check_passport, document_of
from catalog.registry.publish import publish, publish_built_in
from catalog.vocabulary.clock import SystemClock, from_ns
from catalog.vocabulary.ids import ENVIRONMENTS
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.home import Home
from deploy.installation import acting
from deploy.migrate import migrate
from gateway.stores.keys import ALL_SCOPES, create_key
from gateway.stores.peppers import load_peppers
from tests.load.plan import Credential

Part = Literal["gateway", "billing", "postgres"]

_COMMAND = str(Path(sys.executable).with_name("ordergate"))
_READY_S = 90.0
_POLL_S = 0.02
_ACTOR = "tests"
# A rate that is counted like any other and never reached.
_RATE = {"kind": "rate", "per": "application", "q": 1_000_000, "w": 1}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for `condition` and say how many seconds it took; AssertionError naming `what` after `seconds`."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(_POLL_S)
    return time.monotonic() - begin


class Product:
    """One installation in a folder of its own. Only processes that it has started itself are ever signalled."""

    def __init__(self, folder: Path, workers: int = 2, variables: Mapping[str, str] | None = None) -> None:
        """`variables` are added to the environment of every process."""
        self.home = Home(folder / "home")
        self.host = (variables or {}).get("ORDERGATE_HOST", "127.0.0.1")
        self.port = free_port()
        self.log = folder / "up.log"
        self._workers = workers
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ORDERGATE_")},
            "ORDERGATE_HOME": str(self.home.path),
            **(variables or {}),
        }
        self._up: subprocess.Popen[bytes] | None = None

    @property
    def errors(self) -> Path:
        """What the processes log: standard error, beside the log of what `ordergate up` says."""
        return self.log.with_suffix(".errors")

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return f"http://{self.host}:{self.port}"

    @property
    def supervisor(self) -> "subprocess.Popen[bytes]":
        """The process of `ordergate up`."""
        assert self._up is not None, "the product was started"
        return self._up

    def spawn(self, terminal: int | None = None) -> "subprocess.Popen[bytes]":
        """Start `ordergate up` and do not wait; what it says goes to `log` or a `terminal`, what it logs to `errors`."""
        with self.log.open("ab") as log, self.errors.open("ab") as errors:
            self._up = subprocess.Popen(
                [_COMMAND, "up", "--port", str(self.port), "--workers", str(self._workers)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log if terminal is None else terminal,
                stderr=errors,
            )
        return self._up

    def start(self) -> float:
        """Start `ordergate up` and wait until it serves; how many seconds that took."""
        supervisor = self.spawn()

        def serves() -> bool:
            assert supervisor.poll() is None, f"`ordergate up` has ended:\n{self.said()}"
            running = self.home.running()
            return running is not None and running.pid == supervisor.pid and self.is_ready()

        return until(serves, _READY_S, "the product serves")

    def spawn_and_wait(self) -> int:
        """Start `ordergate up` where it is expected to end by itself; its exit status."""
        try:
            return self.spawn().wait(60)
        finally:
            self.end()

    def stop(self) -> int:
        """Ctrl-C; the exit status."""
        self.supervisor.send_signal(signal.SIGINT)
        return self.supervisor.wait(60)

    def end(self) -> None:
        """Leave nothing running, whatever happened before."""
        if self._up is None or self._up.poll() is not None:
            return
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()

    def kill_supervisor(self) -> None:
        """kill -9 of `ordergate up` alone."""
        self.supervisor.kill()
        self.supervisor.wait()

    def pids(self, part: Part) -> list[int]:
        """The supervisor's children that are this part of the product."""
        return [pid for pid in _children(self.supervisor.pid) if _part(pid) == part]

    def kill(self, part: Part, index: int = 0) -> int:
        """kill -9 of one of the part's processes, as soon as there is one; its pid."""
        until(lambda: bool(self.pids(part)), 30, f"{part} runs")
        pids = self.pids(part)
        pid = pids[index % len(pids)]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    def is_ready(self) -> bool:
        """Whether a worker says that calls can be recorded."""
        try:
            with urlopen(f"{self.url}/readyz", timeout=2) as reply:  # noqa: S310 - our own gateway
                return bool(reply.status == 200)
        except (OSError, URLError):
            return False

    def is_listening(self) -> bool:
        """Whether anybody takes connections on the port."""
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def call(
        self, key: str, operation: str, body: Any, idempotency_key: str | None = None
    ) -> tuple[int, Any]:
        """One metered call on a connection of its own: status and decoded body."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        request = Request(f"{self.url}/v1/{operation}", json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with urlopen(request, timeout=20) as reply:  # noqa: S310 - our own gateway
                return reply.status, json.load(reply)
        except HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def run(self, *arguments: str, fails: bool = False) -> str:
        """A command of `ordergate` on this installation: what it printed; AssertionError unless it went as expected."""
        done = subprocess.run(
            [_COMMAND, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == fails, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def prepare(self, *accounts: str) -> tuple[Credential, ...]:
        """Make the installation before its first start: accounts that can call everything as fast as they like.

        Each has a live key, and the first a test key as well. An installation with accounts gets no demo group.
        """
        self.home.make()
        with EmbeddedPostgres(self.home.path) as server:
            return asyncio.run(_prepare(self.home, Database(socket_dir=server.socket_dir), accounts))

    def said(self) -> str:
        """The end of what `ordergate up` and its children have written."""
        return "".join(path.read_text("utf-8", "replace")[-4000:] for path in (self.log, self.errors))


async def _prepare(home: Home, database: Database, accounts: tuple[str, ...]) -> tuple[Credential, ...]:
    await migrate(database)
    now = from_ns(SystemClock().now_ns())
    credentials: list[Credential] = []
    async with acting(database) as operator:
        await publish_built_in(operator, built_in_passports(), _ACTOR, now)
        for service in ("address", "stock"):
            own = built_in_passport(service)
            assert own is not None
            await publish(operator, check_passport({**document_of(own), "limits": [_RATE]}), own, _ACTOR, now)
        for name in accounts:
            opened = await open_account(
                operator,
                name=name,
                kind="internal",
                currency="CNY",
                timezone="Asia/Shanghai",
                actor=_ACTOR,
                now=now,
            )
            for environment in ENVIRONMENTS if name == accounts[0] else ENVIRONMENTS[:1]:
                _, key = await create_key(
                    operator,
                    opened.account,
                    opened.application,
                    environment,
                    ALL_SCOPES,
                    load_peppers(home.path),
                    actor=_ACTOR,
                    now=now,
                )
                credentials.append(Credential(opened.account.id, key))
    return tuple(credentials)


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _part(pid: int) -> Part | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    if Path(os.fsdecode(words[0])).name == "postgres":
        return "postgres"
    modules: dict[bytes, Part] = {b"gateway": "gateway", b"billing.worker": "billing"}
    return modules.get(words[2]) if len(words) > 2 and words[1] == b"-m" else None

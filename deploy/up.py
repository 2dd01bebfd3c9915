"""`ordergate up`: the embedded PostgreSQL, the gateway's workers and billing, kept running until Ctrl-C."""

import asyncio
import errno
import logging
import os
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType

from catalog.vocabulary.clock import Clock, SystemClock
from catalog.vocabulary.logs import log_json
from deploy.child import Child, ChildSpec, stop_all
from deploy.connections import max_connections
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from deploy.first_start import Welcome, prepare
from deploy.home import Home, Running
from deploy.listening import is_exposed, listen, reached_at
from gateway.settings import from_environment as gateway_settings

log = logging.getLogger(__name__)

_TICK_S = 0.2
_WORKER_GRACE_S = 25.0
_BILLING_GRACE_S = 15.0
# Until so long after the death of their supervisor its workers finish what they had begun.
_ORPHANS_S = 25.0
_POSTGRES_PAUSE_S = 1.0
# A worker that ends so often before anything is served will not start at all.
_ATTEMPTS = 2


class StartRefused(Exception):
    """Ordergate cannot start; the message says why and what to do."""


class Supervisor:
    """Starts everything in order, restarts what dies, stops everything in reverse."""

    def __init__(
        self, home: Home, host: str, port: int, workers: int, database_url: str | None, *, demo: bool = True
    ) -> None:
        """`host` is an address that `listening_address` let pass; `database_url` takes the place of the embedded server;
        without `demo` a first start opens no demo group."""
        self._home = home
        self._host = host
        self._reached_at = reached_at(host)
        self._port = port
        self._workers = workers
        self._url = database_url
        self._demo = demo
        self._per_worker = 0
        self._clock: Clock = SystemClock()
        self._stopping = False
        self._interrupt: Callable[[], object] = _nothing
        self._postgres: EmbeddedPostgres | None = None
        self._postgres_due_ns = 0
        self._children: list[Child] = []
        self._billing: Child | None = None

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM; 0 after a clean stop."""
        log_json("supervisor", logging.WARNING)
        self._per_worker = gateway_settings().database_connections
        self._home.make()
        killed = self._home.claim()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        try:
            with self._listen(killed) as listener:
                self._serve(listener)
        finally:
            self._stop_all()
        if sys.stdout.isatty():
            _say("Stopped.")
        return 0

    def _serve(self, listener: socket.socket) -> None:
        _say("Starting PostgreSQL …" if self._url is None else "Connecting to PostgreSQL …")
        database = self._start_database()
        _say(f"Preparing schema, catalogue{' and demo group' if self._demo else ''} …")
        welcome = asyncio.run(self._prepared(database))
        if welcome is None:
            return
        _say("Starting the workers …")
        self._start_children(listener, database)
        self._home.announce(
            {
                "pid": os.getpid(),
                "host": self._reached_at,
                "port": self._port,
                "socket_dir": str(database.socket_dir or ""),
                "workers": self._workers,
            }
        )
        self._wait_until_served()
        if not self._stopping:
            greet(self._address, welcome, exposed=is_exposed(self._host))
        while not self._stopping:
            self._tend()
            signal.sigtimedwait({signal.SIGCHLD}, _TICK_S)

    async def _prepared(self, database: Database) -> Welcome | None:
        """None if it is interrupted: what is half done then is done again by the next start."""
        if self._stopping:
            return None
        task = asyncio.ensure_future(prepare(self._home, database, self._clock, _say, demo=self._demo))
        loop = asyncio.get_running_loop()
        self._interrupt = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return None
        finally:
            self._interrupt = _nothing

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        self._interrupt()

    def _listen(self, killed: Running | None) -> socket.socket:
        """The listening socket. Workers of a supervisor that was `killed` are given time to leave its port."""
        deadline_ns = self._clock.monotonic_ns()
        if killed is not None and killed.port == self._port:
            deadline_ns += int(_ORPHANS_S * 1_000_000_000)
        while True:
            try:
                return listen(self._host, self._port)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise StartRefused(
                        f"{self._host} is not an address of this machine. Name one of its own with --host or ORDERGATE_HOST: "
                        "127.0.0.1 for this machine alone, 0.0.0.0 for all of its addresses."
                    ) from None
                if self._stopping or self._clock.monotonic_ns() >= deadline_ns:
                    raise StartRefused(
                        f"Port {self._port} on {self._host} cannot be used ({error.strerror}). "
                        "Stop what uses it, or choose another one with PORT=."
                    ) from None
            signal.sigtimedwait({signal.SIGCHLD}, _TICK_S)

    def _start_database(self) -> Database:
        if self._url is not None:
            return Database(url=self._url)
        connections = max_connections(self._workers, self._per_worker)
        self._postgres = EmbeddedPostgres(self._home.path, connections=connections)
        self._postgres.start()
        return Database(socket_dir=self._postgres.socket_dir)

    def _start_children(self, listener: socket.socket, database: Database) -> None:
        metrics = self._home.run / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(parents=True, exist_ok=True)
        # Arrival times count from boot, so counters of an earlier boot mean nothing.
        (self._home.run / "rates").unlink(missing_ok=True)
        environment = {
            **_inherited(os.environ),
            "ORDERGATE_HOME": str(self._home.path),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }
        if database.socket_dir is not None:
            environment["ORDERGATE_SOCKET_DIR"] = str(database.socket_dir)
        probing = {"ORDERGATE_PROBE_URL": self._address, **environment}
        self._billing = Child(ChildSpec("billing", "billing.worker", (), probing), self._clock)
        self._children = [
            Child(
                ChildSpec(
                    f"gateway-{index}",
                    "gateway",
                    ("--fd", str(listener.fileno())),
                    environment,
                    (listener.fileno(),),
                ),
                self._clock,
            )
            for index in range(self._workers)
        ]
        for child in self._all:
            child.start()

    def _tend(self) -> list[str]:
        """Start again what has ended by itself; the names of the children that just did."""
        self._tend_database()
        ended = []
        for child in self._all:
            if (status := child.tend()) is not None:
                log.error(
                    "a process has ended; starting it again",
                    extra={"child": child.spec.name, "status": status},
                )
                ended.append(child.spec.name)
        return ended

    def _tend_database(self) -> None:
        """Start the server again if it has ended; if that fails, again after a pause, for calls go on meanwhile."""
        if self._postgres is None or self._postgres.is_running():
            return
        if self._clock.monotonic_ns() < self._postgres_due_ns:
            return
        log.error("PostgreSQL has ended; starting it again")
        try:
            self._postgres.stop()
            self._postgres.start()
        except EmbeddedPostgresError as error:
            log.error(
                "PostgreSQL does not start; trying again",
                extra={"reason": str(error), "pause_s": _POSTGRES_PAUSE_S},
            )
            self._postgres_due_ns = self._clock.monotonic_ns() + int(_POSTGRES_PAUSE_S * 1_000_000_000)

    def _wait_until_served(self) -> None:
        ended: Counter[str] = Counter()
        deadline_ns = self._clock.monotonic_ns() + 60_000_000_000
        while not self._stopping and self._clock.monotonic_ns() < deadline_ns:
            if _answers(self._reached_at, self._port):
                return
            ended.update(self._tend())
            for name, times in ended.items():
                if times == _ATTEMPTS:
                    raise StartRefused(
                        f"{name} cannot start: it has ended {times} times; the log above says why."
                    )
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        if not self._stopping:
            raise StartRefused("No worker answered within 60 seconds; the log above says why.")

    @property
    def _address(self) -> str:
        return f"http://{self._reached_at}:{self._port}"

    @property
    def _all(self) -> tuple[Child, ...]:
        return (*self._children, self._billing) if self._billing is not None else ()

    def _stop_all(self) -> None:
        # Workers first, so that billing ships all they have recorded, then the database that both need.
        stop_all(self._children, _WORKER_GRACE_S)
        if self._billing is not None:
            stop_all([self._billing], _BILLING_GRACE_S)
        self._home.withdraw()
        if self._postgres is not None:
            self._postgres.stop()


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environment.items() if name not in ("PYTHONSTARTUP", "PYTHONINSPECT")
    }


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1) as probe:
            probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return probe.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def greet(address: str, welcome: Welcome, *, exposed: bool = False) -> None:
    """What a person at the terminal is told once everything is served: where, and what to do first.

    `exposed` where other machines reach it, too.
    """
    lines = [f"Ordergate is ready: {address}"]
    if exposed:
        lines += [
            "",
            "Other machines reach it, and their keys travel in clear text: let a proxy that ends TLS stand in front,",
            "as deploy/runbooks/deployment.md says.",
        ]
    if welcome.key is not None:
        lines += [
            "",
            "A first metered call:",
            f"  curl -i {address}/v1/address/validate -H 'Authorization: Bearer {welcome.key}' \\",
            "    -H 'Content-Type: application/json' \\",
            """    -d '{"country":"DE","postal_code":"10115","locality":"Berlin","lines":["Invalidenstr. 116"]}'""",
        ]
    if welcome.is_empty:
        lines += [
            "",
            "Nobody can call yet. Open an account and make its key:",
            "  ordergate account create NAME",
            "  ordergate key create NAME",
        ]
    if welcome.sign_in is not None:
        lines += ["", f"Sign in as operator, once, within a day: {address}{welcome.sign_in}"]
    lines += ["", "Stop with Ctrl-C."]
    print("\n".join(lines), flush=True)  # noqa: T201 - what `make run` prints is its interface


def _nothing() -> None:
    """There is nothing to interrupt."""


def _say(text: str) -> None:
    """For the person at the terminal; what concerns the log goes to stderr as JSON."""
    print(text, flush=True)  # noqa: T201 - as above

"""`ordergate up`: the embedded PostgreSQL, the gateway's workers and billing, kept running until Ctrl-C."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from types import FrameType

from catalog.vocabulary.clock import Clock, SystemClock
from deploy.child import Child, ChildSpec, stop_all
from deploy.database import Database
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.first_start import Welcome, prepare
from deploy.home import Home

_TICK_S = 0.2
_WORKER_GRACE_S = 25.0
_BILLING_GRACE_S = 15.0


class StartRefused(Exception):
    """Ordergate cannot start; the message says why and what to do."""


class Supervisor:
    """Starts everything in order, restarts what dies, stops everything in reverse."""

    def __init__(self, home: Home, host: str, port: int, workers: int, database_url: str | None) -> None:
        """`database_url` takes the place of the embedded server."""
        self._home = home
        self._host = host
        self._port = port
        self._workers = workers
        self._url = database_url
        self._clock: Clock = SystemClock()
        self._stopping = False
        self._postgres: EmbeddedPostgres | None = None
        self._children: list[Child] = []
        self._billing: Child | None = None

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM; 0 after a clean stop."""
        self._home.make()
        listener = self._listen()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        try:
            database = self._start_database()
            welcome = asyncio.run(prepare(self._home, database, self._clock))
            self._start_children(listener, database)
            self._home.announce(
                {"pid": os.getpid(), "port": self._port, "socket_dir": str(database.socket_dir or "")}
            )
            self._wait_until_served()
            if not self._stopping:
                _greet(f"http://{self._host}:{self._port}", welcome)
            while not self._stopping:
                self._tend()
                signal.sigtimedwait({signal.SIGCHLD}, _TICK_S)
        finally:
            self._stop_all()
            listener.close()
        return 0

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError as error:
            listener.close()
            raise StartRefused(
                f"Port {self._port} on {self._host} cannot be used ({error.strerror}). "
                "Stop what uses it, or choose another one with PORT=."
            ) from None
        listener.listen(2048)
        return listener

    def _start_database(self) -> Database:
        if self._url is not None:
            return Database(url=self._url)
        self._postgres = EmbeddedPostgres(self._home.path)
        self._postgres.start()
        return Database(socket_dir=self._postgres.socket_dir)

    def _start_children(self, listener: socket.socket, database: Database) -> None:
        metrics = self._home.run / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(parents=True)
        # Arrival times count from boot, so counters of an earlier boot mean nothing.
        (self._home.run / "rates").unlink(missing_ok=True)
        environment = {
            **_inherited(os.environ),
            "ORDERGATE_HOME": str(self._home.path),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }
        if database.socket_dir is not None:
            environment["ORDERGATE_SOCKET_DIR"] = str(database.socket_dir)
        self._billing = Child(ChildSpec("billing", "billing.worker", (), environment), self._clock)
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
        for child in (*self._children, self._billing):
            child.start()

    def _tend(self) -> None:
        if self._postgres is not None and not self._postgres.is_running():
            _say("PostgreSQL has ended; starting it again")
            self._postgres.stop()
            self._postgres.start()
        for child in (*self._children, self._billing):
            if child is not None and (status := child.tend()) is not None:
                _say(f"{child.spec.name} has ended with status {status}; starting it again")

    def _wait_until_served(self) -> None:
        deadline_ns = self._clock.monotonic_ns() + 60_000_000_000
        while not self._stopping and self._clock.monotonic_ns() < deadline_ns:
            if _answers(self._host, self._port):
                return
            self._tend()
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        if not self._stopping:
            raise StartRefused("No worker answered within 60 seconds; the log above says why.")

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


def _greet(address: str, welcome: Welcome) -> None:
    lines = [f"Ordergate is ready: {address}"]
    if welcome.key is not None:
        lines += [
            "",
            "A first metered call:",
            f"  curl -i {address}/v1/address/validate -H 'Authorization: Bearer {welcome.key}' \\",
            "    -H 'Content-Type: application/json' \\",
            """    -d '{"country":"DE","postal_code":"10115","locality":"Berlin","lines":["Invalidenstr. 116"]}'""",
        ]
    lines += ["", "Stop with Ctrl-C."]
    print("\n".join(lines), flush=True)  # noqa: T201 - what `make run` prints is its interface


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201

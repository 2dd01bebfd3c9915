"""The supervisor of one PostgreSQL server."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from catalog.vocabulary.clock import Clock, SystemClock
from deploy.embedded_postgres.binaries import find_binaries
from deploy.embedded_postgres.cluster import DATABASE, SUPERUSER, child_environment, create_cluster
from deploy.embedded_postgres.configuration import CONNECTIONS_MIN, server_arguments
from deploy.embedded_postgres.error import EmbeddedPostgresError
from deploy.embedded_postgres.leftovers import clear_leftovers
from deploy.embedded_postgres.lock import SupervisorLock
from deploy.embedded_postgres.run_as import RunAs
from deploy.embedded_postgres.state import StateFolder

_POLL_SECONDS = 0.005
# Recovery reads at most max_wal_size; a minute of it is already a very slow disk.
_READY_SECONDS = 180
_FAST_STOP_SECONDS = 20
_IMMEDIATE_STOP_SECONDS = 5
_STATUS_LINE = 7
_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 8


class EmbeddedPostgres:
    """A PostgreSQL 18 server that lives as long as this process, with its data in `home/postgres/data`.

    The cluster has the superuser `postgres` and the database `ordergate`. Clients reach it through a Unix socket that
    only its owner (and root) can open. However server or supervisor end, the next `start` brings the data back.
    """

    def __init__(self, home: Path, clock: Clock | None = None, *, connections: int = CONNECTIONS_MIN) -> None:
        """`home` is ORDERGATE_HOME, existing or not; nothing is read or written before `start`.

        `connections` is how many clients the server takes at once, at least `CONNECTIONS_MIN`.
        """
        self._connections = connections
        self._state = StateFolder(home)
        self._lock = SupervisorLock(self._state.lock)
        self._clock = SystemClock() if clock is None else clock
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Return when the server takes connections: one to a few seconds the first time, 0.2 s later; at once when it runs.

        Also the way to restart it after `poll` told of its end. Blocks, and belongs into the main thread: the kernel
        ends the server together with the thread that started it. Raises `EmbeddedPostgresError`.
        """
        if self.is_running():
            return
        if threading.current_thread() is not threading.main_thread():
            raise EmbeddedPostgresError(
                "The database was started from a thread, and would end together with it.",
                "Call start() from the main thread, before the event loop or directly inside it.",
            )
        try:
            self._state.make()
            self._lock.acquire()
            self._start()
        except (OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise EmbeddedPostgresError(
                f"The database in {self._state.folder} could not be started: {error}",
                "Check that the folder can be written and has free space, or set ORDERGATE_HOME to another one.",
            ) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all sessions, write everything down and let the next supervisor in; harmless when not running."""
        if self._server is not None:
            for number, patience in (
                (signal.SIGINT, _FAST_STOP_SECONDS),
                (signal.SIGQUIT, _IMMEDIATE_STOP_SECONDS),
            ):
                if self._ends_within(self._server, number, patience):
                    break
            else:
                self._server.kill()
                self._server.wait()
            self._server = None
        self._lock.release()

    def is_running(self) -> bool:
        """Whether the server was started here and has not ended."""
        return self._server is not None and self._server.poll() is None

    def poll(self) -> int | None:
        """The server's exit status if it ended without `stop` (negative: by that signal), otherwise None."""
        return None if self._server is None else self._server.poll()

    @property
    def socket_dir(self) -> Path:
        """The folder with the server's socket; also right in a process that did not start the server."""
        return self._state.socket

    def url(self, user: str = SUPERUSER, database: str = DATABASE) -> str:
        """The address for asyncpg, libpq and SQLAlchemy; the port is named so that `PGPORT` cannot misdirect it."""
        host = quote(str(self.socket_dir), safe="/")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port=5432"

    def bin(self, name: str) -> Path:
        """The path of a client program such as `pg_dump`, `pg_restore` or `psql`."""
        program = find_binaries() / name
        if not program.is_file():
            raise EmbeddedPostgresError(
                f"PostgreSQL has no program {name!r} here.", f"Look in {program.parent} for those there are."
            )
        return program

    def client_environment(self) -> dict[str, str]:
        """The environment with which a client program finds this server, its superuser and its database."""
        return child_environment(find_binaries()) | {
            "PGHOST": str(self.socket_dir),
            "PGPORT": "5432",
            "PGUSER": SUPERUSER,
            "PGDATABASE": DATABASE,
            "PGCLIENTENCODING": "UTF8",
        }

    def _start(self) -> None:
        binaries = find_binaries()
        run_as = self._state.decide_user(binaries)
        clear_leftovers(self._state, run_as, self._clock)
        if not self._state.data.exists():
            create_cluster(self._state, binaries, run_as)
        socket = self._state.open_socket_folder(run_as)
        log = self._state.open_log()
        try:
            log_start = os.fstat(log).st_size
            self._server = self._launch(binaries, run_as, socket, log)
        finally:
            os.close(log)
        self._wait_until_ready(self._server, log_start)

    def _launch(self, binaries: Path, run_as: RunAs, socket: Path, log: int) -> subprocess.Popen[bytes]:
        """A session of its own keeps a terminal's Ctrl-C away: the supervisor stops the application first."""
        return subprocess.Popen(
            run_as.execute(
                binaries / "postgres", *server_arguments(self._state.data, socket, self._connections)
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self._state.folder,
            env=child_environment(binaries),
            umask=0o077,
            start_new_session=True,
        )

    def _wait_until_ready(self, server: subprocess.Popen[bytes], log_start: int) -> None:
        deadline = self._clock.monotonic_ns() + _READY_SECONDS * 1_000_000_000
        while not self._is_ready(server.pid):
            status = server.poll()
            if status is not None:
                self._fail(
                    f"The database server ended with status {status} while it was starting.", log_start
                )
            if self._clock.monotonic_ns() > deadline:
                self._fail(f"The database server is not ready after {_READY_SECONDS} s.", log_start)
            time.sleep(_POLL_SECONDS)

    def _is_ready(self, pid: int) -> bool:
        """The postmaster writes its state into line 8 of `postmaster.pid`; line 1 tells ours from a stale file."""
        try:
            lines = (self._state.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _STATUS_LINE and lines[0] == str(pid) and lines[_STATUS_LINE].strip() == "ready"

    def _fail(self, message: str, log_start: int) -> None:
        with self._state.log.open("rb") as log:
            log.seek(max(log_start, os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES))
            said = log.read().decode(errors="replace").strip().splitlines()[-_LOG_TAIL_LINES:]
        raise EmbeddedPostgresError(
            "\n".join([message, *said]),
            f"Check free disk space and memory; the whole log is {self._state.log}.",
        )

    @staticmethod
    def _ends_within(server: subprocess.Popen[bytes], number: signal.Signals, seconds: int) -> bool:
        server.send_signal(number)
        try:
            server.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

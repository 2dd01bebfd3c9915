"""Where the database's files are, and whose they are.

    home/                ORDERGATE_HOME; made when missing
      postgres/          the supervisor's own; the server's group may pass through, nobody else may
        data/            the cluster, 0700, the server's
        socket           a folder, 0700, the server's; or a link to one where this path is too long for a socket
        server.log       the server's messages, opened by the supervisor
        run_as           the mode chosen by `run_as`
        supervisor.lock  who runs this cluster

Root keeps `postgres/` to itself and hands over only `data` and `socket`: in a folder of theirs, other processes of the
server's user could swap a file that root is about to write for a link.
"""

import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from deploy.embedded_postgres.error import EmbeddedPostgresError
from deploy.embedded_postgres.run_as import RunAs, decide
from deploy.embedded_postgres.settings import runtime_folder

_SOCKET_NAME = "/.s.PGSQL.5432"
_SOCKET_PATH_BYTES_MAX = 107
_LIST_SYNTAX = frozenset(',"')
_LOG_BYTES_MAX = 8 * 1024 * 1024


class StateFolder:
    """The paths above, and the steps that make them ready for a server. Not safe without the supervisor's lock."""

    def __init__(self, home: Path) -> None:
        """`home` may be missing; nothing is touched before `make`."""
        self.home = home.resolve()
        self.folder = self.home / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.lock = self.folder / "supervisor.lock"
        self._socket = self.folder / "socket"
        self._run_as = self.folder / "run_as"
        self._made_home = False

    @property
    def socket(self) -> Path:
        """The folder of the server's socket, also for a process that did not start the server."""
        return self._socket.readlink() if self._socket.is_symlink() else self._socket

    def make(self) -> None:
        """Make the folders that are missing, closed to everybody else."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.home.mkdir(mode=0o700)
            self._made_home = True
        self.folder.mkdir(mode=0o700, exist_ok=True)
        owner = self.folder.stat().st_uid
        if os.geteuid() not in {0, owner}:
            raise EmbeddedPostgresError(
                f"The database folder {self.folder} belongs to user {owner}, not to you.",
                "Start as that user, or set ORDERGATE_HOME to a folder of your own.",
            )

    def decide_user(self, binaries: Path) -> RunAs:
        """Choose the server's user, open `postgres/` to it and give it the cluster, if there is one.

        A home that `make` has just made is opened as well; one that was there before stays as it is.
        """
        recorded = self._run_as.read_text().strip() if self._run_as.exists() else ""
        run_as = decide(binaries, self.home.parent if self._made_home else self.home, recorded)
        for folder in (self.home, self.folder) if self._made_home else (self.folder,):
            if run_as.owner_uid == os.geteuid():
                folder.chmod(0o700)
            else:
                os.chown(folder, os.geteuid(), run_as.owner_gid)
                folder.chmod(0o710)
        if self.data.exists() and self.data.stat().st_uid != run_as.owner_uid:
            _hand_over(self.data, run_as)
        if recorded != run_as.mode:
            self._run_as.write_text(f"{run_as.mode}\n")
        return run_as

    def open_socket_folder(self, run_as: RunAs) -> Path:
        """An empty socket folder of the server's user with a path short enough for PostgreSQL and its clients."""
        if self._socket.is_dir() and not self._socket.is_symlink():
            shutil.rmtree(self._socket)
        self._socket.unlink(missing_ok=True)
        folder = self._socket
        if not _carries_a_socket(folder):
            name = hashlib.sha256(os.fsencode(f"{self.data} {run_as.owner_uid}")).hexdigest()[:24]
            folder = runtime_folder() / f"ordergate-{name}"
            self._socket.symlink_to(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        # In a temporary folder anybody may have been here first.
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {os.geteuid(), run_as.owner_uid}:
            raise EmbeddedPostgresError(
                f"The socket folder {folder} belongs to user {status.st_uid}.",
                "Remove it, or set ORDERGATE_HOME to a folder with a shorter path.",
            )
        os.chown(folder, run_as.owner_uid, run_as.owner_gid, follow_symlinks=False)
        folder.chmod(0o700)
        # PostgreSQL would take a socket's lock file seriously when the pid in it now belongs to another program.
        for stale in folder.glob(".s.PGSQL.*"):
            stale.unlink()
        return folder

    def open_log(self) -> int:
        """A descriptor that appends to the log; an old log beyond 8 MiB is kept once, as `server.log.1`."""
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES_MAX:
            self.log.replace(self.log.with_name("server.log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.log, flags, 0o600)


def _carries_a_socket(folder: Path) -> bool:
    """Whether the socket's path fits `sockaddr_un` and has nothing that the setting or a URL reads as list syntax."""
    fits = len(os.fsencode(f"{folder}{_SOCKET_NAME}")) <= _SOCKET_PATH_BYTES_MAX
    return fits and not _LIST_SYNTAX & set(str(folder))


def _hand_over(folder: Path, run_as: RunAs) -> None:
    """Give a tree to the server's user; the top comes last, so that an interrupted hand-over is done again."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, run_as.owner_uid, run_as.owner_gid, follow_symlinks=False)
    os.chown(folder, run_as.owner_uid, run_as.owner_gid)

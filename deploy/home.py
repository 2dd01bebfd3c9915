"""The state directory of an installation, ORDERGATE_HOME: what is where, and whether somebody serves it.

home/
  journals/       usage that is recorded and not yet pruned, a directory for each worker
  secrets/        0600 files: the peppers of the key digests, the local keys
  postgres/       the embedded database
  audit/          where the audit log of the database ended, when that was looked at last
  run/            what lives as long as the running product
    ordergate.json  who serves it, on which port; locked while that is true
"""

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from catalog.vocabulary.settings import LOOPBACK

FREE_BYTES_MIN = 1024**3
"""With less on its disk an installation is in danger: journals without room acknowledge no call."""


class AlreadyRunning(Exception):
    """Another process serves this home."""


class Running(msgspec.Struct, frozen=True):
    """The supervisor's process, the port of the gateway, the embedded server's socket folder or "" for a server elsewhere,
    how many gateway workers there are, and the address by which this machine reaches them."""

    pid: int
    port: int
    socket_dir: str = ""
    workers: int = 1
    host: str = LOOPBACK

    @property
    def address(self) -> str:
        """Where the gateway answers on this machine."""
        return f"http://{self.host}:{self.port}"


class Home:
    """The paths above. Nothing is touched before `make`."""

    def __init__(self, path: Path) -> None:
        """`path` may be missing."""
        self.path = path.resolve()
        self.journals = self.path / "journals"
        self.secrets = self.path / "secrets"
        self.postgres = self.path / "postgres"
        self.audit_head = self.path / "audit" / "head.json"
        self.run = self.path / "run"
        self._announcement = self.run / "ordergate.json"
        self._lock: int | None = None

    def make(self) -> None:
        """Make the folders that are missing. The home itself belongs to the embedded database, which opens it to its user."""
        self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        for folder in (self.journals, self.secrets, self.run):
            folder.mkdir(mode=0o700, exist_ok=True)

    def claim(self) -> Running | None:
        """Serve the home alone until `withdraw` or the end of this process; `AlreadyRunning` if another one does.

        Answers what the last one had announced if it was killed: children of its may still be on their way out.
        """
        descriptor = os.open(self._announcement, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunning(
                f"Another process serves {self.path}. Stop it first, or set ORDERGATE_HOME to another folder."
            ) from None
        left = _read(descriptor)
        os.ftruncate(descriptor, 0)
        self._lock = descriptor
        return left

    def announce(self, fields: Mapping[str, object]) -> None:
        """Tell other processes where the home is served, until `withdraw` or the end of this process.

        Claims the home first if that was not done: `AlreadyRunning`.
        """
        if self._lock is None:
            self.claim()
        assert self._lock is not None, "claimed"
        os.pwrite(self._lock, msgspec.json.encode(msgspec.convert(fields, Running)), 0)

    def withdraw(self) -> None:
        """Give the home back; harmless when it is not claimed."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def running(self) -> Running | None:
        """Who serves this home now; None after its end, however it ended, because the kernel gives the lock back."""
        try:
            descriptor = os.open(self._announcement, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            return _read(descriptor)
        finally:
            os.close(descriptor)


def _read(descriptor: int) -> Running | None:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Running)
    return None

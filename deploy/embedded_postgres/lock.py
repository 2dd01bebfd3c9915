"""One supervisor for one cluster."""

import fcntl
import os
from pathlib import Path

from deploy.embedded_postgres.error import EmbeddedPostgresError


class SupervisorLock:
    """An advisory lock that the kernel drops when its holder dies, however it dies.

    PostgreSQL refuses a second server on one data folder by itself; this lock also keeps a second supervisor from
    cleaning up "leftovers" that are the first one's living server.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the lock file; it is made when missing and never removed, since removing it would split the lock."""
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise `EmbeddedPostgresError` that names the holder; harmless when already held."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
            os.close(descriptor)
            raise EmbeddedPostgresError(
                f"The database in {self._path.parent} is already supervised by process {holder}.",
                f"Stop that process first (kill {holder}), or set ORDERGATE_HOME to another folder.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next supervisor in; harmless when not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

"""What a crash can leave behind, cleared before each start. The caller holds the supervisor's lock."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from catalog.vocabulary.clock import Clock
from deploy.embedded_postgres.cluster import remove_unfinished_clusters, unfinished_clusters
from deploy.embedded_postgres.error import EmbeddedPostgresError
from deploy.embedded_postgres.run_as import RunAs
from deploy.embedded_postgres.state import StateFolder

_SEARCH_SECONDS = 20
_POLL_SECONDS = 0.02
# A server whose supervisor died is writing its last checkpoint; backends without a server leave at SIGQUIT.
_POSTMASTER_PATIENCE_SECONDS = 30
_PATIENCE_SECONDS = 5


def clear_leftovers(state: StateFolder, run_as: RunAs, clock: Clock) -> None:
    """End the processes of an earlier server, and remove its stale lock file and half-made clusters.

    A backend that was busy when its postmaster was killed lives on for its whole query, holds the shared memory and
    keeps a new server from starting.
    """
    leftovers = _find(state, run_as)
    postmaster = read_postmaster_pid(state.data)
    if leftovers:
        _end(state, run_as, clock, leftovers, postmaster)
    elif sys.platform == "linux" and postmaster is not None and _exists(postmaster):
        # The pid was given to another program, as happens after a restart of a container; PostgreSQL would believe it.
        (state.data / "postmaster.pid").unlink(missing_ok=True)
    remove_unfinished_clusters(state)


def read_postmaster_pid(data: Path) -> int | None:
    """The pid in the first line of `postmaster.pid`, or None when there is no such file or nothing in it."""
    try:
        first = (data / "postmaster.pid").read_text().partition("\n")[0]
    except FileNotFoundError:
        return None
    return int(first) if first.strip().isdigit() else None


def _end(state: StateFolder, run_as: RunAs, clock: Clock, found: set[int], postmaster: int | None) -> None:
    for number, only_postmaster, patience in (
        (signal.SIGINT, True, _POSTMASTER_PATIENCE_SECONDS),
        (signal.SIGQUIT, False, _PATIENCE_SECONDS),
        (signal.SIGKILL, False, _PATIENCE_SECONDS),
    ):
        if only_postmaster and postmaster not in found:
            continue
        for pid in found:
            if pid == postmaster or not only_postmaster:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        deadline = clock.monotonic_ns() + patience * 1_000_000_000
        while clock.monotonic_ns() < deadline:
            found = _find(state, run_as)
            if not found:
                return
            time.sleep(_POLL_SECONDS)
    raise EmbeddedPostgresError(
        f"Processes {sorted(found)} of an earlier database server in {state.data} do not end.",
        "They usually wait for a disk that does not answer; check the disk, or restart the machine.",
    )


def _find(state: StateFolder, run_as: RunAs) -> set[int]:
    search = subprocess.run(
        run_as.search([state.folder, state.data, *unfinished_clusters(state)]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SEARCH_SECONDS,
        check=True,
    )
    return {int(line) for line in search.stdout.split()}


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

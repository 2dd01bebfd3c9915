"""The first start: a cluster that is there completely or not at all."""

import os
import shutil
import subprocess
from pathlib import Path

from deploy.embedded_postgres.error import EmbeddedPostgresError
from deploy.embedded_postgres.run_as import RunAs
from deploy.embedded_postgres.state import StateFolder

SUPERUSER = "postgres"
DATABASE = "ordergate"

_UNFINISHED = "data.new."
_STEP_SECONDS = 300


def unfinished_clusters(state: StateFolder) -> list[Path]:
    """Folders in which an earlier first start was interrupted."""
    return sorted(state.folder.glob(f"{_UNFINISHED}*"))


def remove_unfinished_clusters(state: StateFolder) -> None:
    """Remove them; nothing may be working in them any more."""
    for folder in unfinished_clusters(state):
        shutil.rmtree(folder)


def create_cluster(state: StateFolder, binaries: Path, run_as: RunAs) -> None:
    """Make the cluster with its superuser and its database beside its place, then move it there in one step.

    The folder's name carries our pid: an `initdb` that was interrupted removes the folder it was given, and may still
    be at it. The locale is PostgreSQL's own, so that the same data sort the same on every host.
    """
    unfinished = state.folder / f"{_UNFINISHED}{os.getpid()}"
    unfinished.mkdir(mode=0o700)
    os.chown(unfinished, run_as.owner_uid, run_as.owner_gid)
    _run(
        state,
        binaries,
        run_as.execute(
            binaries / "initdb",
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
            "--set=timezone=UTC",
        ),
    )
    single_user = run_as.execute(binaries / "postgres", "--single", "-D", str(unfinished), "postgres")
    _run(state, binaries, single_user, f"CREATE DATABASE {DATABASE}\n")
    unfinished.rename(state.data)
    _sync(state.folder)


def child_environment(binaries: Path) -> dict[str, str]:
    """The whole environment of the server's programs; nothing of the supervisor's leaks into it."""
    return {"PATH": f"{binaries}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _run(state: StateFolder, binaries: Path, command: list[str], script: str = "") -> None:
    step = subprocess.run(
        command,
        input=script,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=state.folder,
        env=child_environment(binaries),
        umask=0o077,
        start_new_session=True,
        timeout=_STEP_SECONDS,
        check=False,
    )
    # The single-user server answers a failed statement with a message and status 0.
    if step.returncode != 0 or "ERROR:" in step.stdout:
        last_lines = "\n".join(step.stdout.strip().splitlines()[-8:])
        raise EmbeddedPostgresError(
            f"The database could not be created in {state.folder} (status {step.returncode}):\n{last_lines}",
            "Check free disk space and that the folder's file system keeps owners and modes; then start again.",
        )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

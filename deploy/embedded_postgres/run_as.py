"""As which user the server runs. PostgreSQL refuses to run as root; everything else here follows from that.

| mode | when | files on disk belong to |
|---|---|---|
| `same_user` | the supervisor is not root | the supervisor's user |
| `nobody` | root, and `nobody` can reach state and programs: least privilege | nobody |
| `user_namespace` | root, and some folder on the way is closed to others, such as root's home | root |
| `dac_override` | the same where the kernel or container refuses user namespaces | nobody |

The first that works in this order is taken once and then kept, because a change means handing over every file. In the
last two the server can read what root can read, so the product connects with roles that are not superusers. No mode
of a folder that was there before is ever changed to make a row of this table come true.
"""

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from deploy.embedded_postgres.error import EmbeddedPostgresError

Mode = Literal["same_user", "nobody", "user_namespace", "dac_override"]

_LAUNCHER = Path(__file__).with_name("launcher.py")
_PROBE_SECONDS = 20


class RunAs(msgspec.Struct, frozen=True):
    """A mode, who the server believes to be (`uid`, `gid`) and who owns its files on disk (`owner_uid`, `owner_gid`)."""

    mode: Mode
    uid: int
    gid: int
    owner_uid: int
    owner_gid: int

    def execute(self, program: Path, *arguments: str) -> list[str]:
        """The command line that runs `program` as this user and ends it when this process ends."""
        return self._launch("exec", str(program), *arguments)

    def search(self, folders: Sequence[Path]) -> list[str]:
        """The command line that prints the pids of server programs working in `folders`, one per line."""
        return self._launch("search", *map(str, folders))

    def _launch(self, action: str, *arguments: str) -> list[str]:
        numbers = (str(self.uid), str(self.gid), str(os.getpid()))
        return [sys.executable, "-I", "-S", str(_LAUNCHER), self.mode, *numbers, action, *arguments]


def decide(binaries: Path, reach: Path, recorded: str) -> RunAs:
    """The way to run the server whose state lies in (or below) the existing folder `reach`.

    `recorded` is the mode of the last start, or empty; it is kept while it works. Raises `EmbeddedPostgresError`
    that names the closed folder when nothing works.
    """
    candidates = sorted(_candidates(), key=lambda candidate: candidate.mode != recorded)
    obstacles = []
    for candidate in candidates:
        obstacle = _obstacle(candidate, binaries, reach)
        if obstacle is None:
            return candidate
        obstacles.append(f"{candidate.mode}: {obstacle}")
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and no other user can run it here (" + "; ".join(obstacles) + ").",
        "Set ORDERGATE_HOME to a folder that every user can enter, install the program outside closed folders, "
        "or start as a normal user.",
    )


def can_enter(folder: Path, uid: int, gid: int) -> bool:
    """Whether the mode bits let this user, without capabilities, pass through `folder`."""
    status = folder.stat()
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _candidates() -> list[RunAs]:
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        return [RunAs("same_user", uid, gid, uid, gid)]
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and this system has no user `nobody` to run it.",
            "Start as a normal user.",
        ) from None
    theirs = (nobody.pw_uid, nobody.pw_gid)
    candidates = [RunAs("nobody", *theirs, *theirs)]
    if sys.platform == "linux":
        candidates.append(RunAs("user_namespace", *theirs, uid, gid))
        candidates.append(RunAs("dac_override", *theirs, *theirs))
    return candidates


def _obstacle(candidate: RunAs, binaries: Path, reach: Path) -> str | None:
    """What keeps this candidate from running the server, or None: folder modes first, then a trial run."""
    if candidate.mode in {"nobody", "user_namespace"}:
        for end in (reach, binaries):
            for folder in reversed((end, *end.parents)):
                if not can_enter(folder, candidate.owner_uid, candidate.owner_gid):
                    return f"{folder} is closed to it"
    trial = subprocess.run(
        candidate.execute(binaries / "postgres", "--version"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        timeout=_PROBE_SECONDS,
        check=False,
    )
    if trial.returncode == 0:
        return None
    return (trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"])[-1]

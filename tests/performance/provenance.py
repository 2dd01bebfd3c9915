"""Where a figure comes from: the first line of what a benchmark prints."""

import os
import platform
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def provenance(**conditions: int) -> str:
    """The commit, the machine and the conditions of a run, as one line."""
    facts = {"commit": _commit(), "python": platform.python_version(), "cores": os.cpu_count(), **conditions}
    return " ".join(f"{name}={value}" for name, value in facts.items())


def _commit() -> str:
    """The commit of the working copy, with `-dirty` where files differ from it; `unknown` outside one."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=_ROOT,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()

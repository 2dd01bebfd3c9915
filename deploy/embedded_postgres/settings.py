"""What the embedded database reads from the environment."""

import os
import tempfile
from pathlib import Path


def runtime_folder() -> Path:
    """Where short-lived sockets may live: `XDG_RUNTIME_DIR` for a normal user, otherwise the temporary folder.

    Root's runtime folder is closed to the unprivileged user that runs the server, so root always uses the latter.
    """
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    if named and os.geteuid() != 0 and Path(named).is_dir():
        return Path(named)
    return Path(tempfile.gettempdir()).resolve()

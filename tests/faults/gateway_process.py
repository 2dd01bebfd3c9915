"""Makes gateway workers, quickly: `python -m tests.faults.gateway_process --fd N`.

For each line on stdin it forks a worker that serves the listening socket N; prints its pid at once and, when it has
ended, its wait status. Importing once and forking often is ten times as fast as starting Python for each.
"""

import os
import sys

from litestar import Litestar

from atomic_services.registry import SERVICES
from gateway.__main__ import main as serve


def main() -> None:
    """See above."""
    Litestar([])  # its plugins are imported when the first application is made
    for service in SERVICES.values():
        if service.prepare is not None:
            service.prepare()
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(serve())
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()

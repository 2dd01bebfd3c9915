"""Makes first starts, quickly: `python -m tests.faults.demo_process SOCKET_DIR DATABASE HOME NOW`.

For each line on stdin it forks a process that opens and bills the small demo group; prints its pid at once and, when
it has ended, its wait status.
"""

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path

from catalog.vocabulary.clock import ManualClock
from deploy.database import Database
from tests.demo_groups import first_start


def main() -> None:
    """See above."""
    socket_dir, name, home, now = sys.argv[1:]
    database = Database(socket_dir=Path(socket_dir), name=name)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(first_start(Path(home), database, ManualClock(datetime.fromisoformat(now))))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()

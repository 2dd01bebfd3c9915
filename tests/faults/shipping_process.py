"""Makes processes that ship, quickly: `python -m tests.faults.shipping_process SOCKET_DIR DATABASE JOURNALS`.

For each line on stdin it forks a process that ships and rolls up all there is; prints its pid at once and, when it
has ended, its wait status. Importing once and forking often is ten times as fast as starting Python for each.
"""

import asyncio
import os
import sys
from pathlib import Path

from billing.flow import Flow
from billing.store.connection import billing_pool
from catalog.vocabulary.clock import SystemClock
from deploy.database import Database
from deploy.roles import BILLING


async def _flow(database: Database, journals: Path) -> None:
    pool = await billing_pool(database.as_role(BILLING))
    flow = Flow(pool, journals, None, SystemClock())
    done = await flow.ship()
    while done.records or done.more:
        done = await flow.ship()
    while (await flow.roll_up()).events:
        pass
    flow.close()
    await pool.close()


def main() -> None:
    """See above."""
    socket_dir, name, journals = sys.argv[1:]
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(_flow(Database(socket_dir=Path(socket_dir), name=name), Path(journals)))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()

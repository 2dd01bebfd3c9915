"""PostgreSQL 18 as a child of one supervising process, kept under `ORDERGATE_HOME`.

    database = EmbeddedPostgres(home)
    database.start()
    ... asyncpg.connect(database.url("postgres", "ordergate")) ...
    database.stop()

The files, in the order in which a start uses them: `state` (paths and ownership), `lock` (one supervisor), `run_as`
(which user), `launcher` (how a child becomes that user), `leftovers` (what an earlier crash left behind), `cluster`
(first start), `configuration` (server settings), `server` (start, readiness, stop).
"""

from deploy.embedded_postgres.error import EmbeddedPostgresError
from deploy.embedded_postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

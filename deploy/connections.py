"""How many connections an installation needs, so that no pool ever asks a server that has none left."""

import asyncpg
import msgspec

from billing.store.connection import POOL_SIZE as _BILLING

WORKERS = 2
"""What `ordergate up` starts unless it is told otherwise."""
# Beside the pool for calls with an effect: the control plane's readers, the directory's listener, and one that is being
# given up while its successor connects.
_WORKER_BESIDE = 4 + 1 + 1
# What commands, an observer and a backup's parallel dump take while the product runs.
_COMMANDS = 20
# PostgreSQL keeps three for superusers unless it is told otherwise.
_RESERVED = 3

_LIMITS = """
    SELECT current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           - coalesce(current_setting('reserved_connections', true)::integer, 0) AS server,
           (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()) AS database,
           (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user) AS role
"""


class Room(msgspec.Struct, frozen=True):
    """How many connections a server grants us at most, and which of its limits says so."""

    connections: int
    limit: str


def connections_needed(workers: int, per_worker: int) -> int:
    """The most that `workers` gateway processes, with pools of `per_worker`, billing and commands use together."""
    return workers * (per_worker + _WORKER_BESIDE) + _BILLING + _COMMANDS


def max_connections(workers: int, per_worker: int) -> int:
    """The `max_connections` of a server that only this installation uses."""
    return connections_needed(workers, per_worker) + _RESERVED


async def room(connection: asyncpg.Connection) -> Room:
    """What the server, the database and the log-in of this connection allow."""
    row = await connection.fetchrow(_LIMITS)
    assert row is not None, "settings have values"
    limits = {
        "max_connections of the server": row["server"],
        "the database's CONNECTION LIMIT": row["database"],
        "the user's CONNECTION LIMIT": row["role"],
    }
    connections, limit = min((value, name) for name, value in limits.items() if value is not None)
    return Room(connections, limit)

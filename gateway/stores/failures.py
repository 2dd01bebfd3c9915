"""What asyncpg raises when a statement fails, and which of it is about the connection and not about the statement."""

from typing import Any

import asyncpg
from asyncpg.exceptions import InternalClientError

# InternalClientError: a server that shuts down says so between two statements, and asyncpg takes that for a fault of
# its own until the connection is closed.
DATABASE_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, InternalClientError)


def is_away(connection: Any, error: Exception) -> bool:
    """Whether the server is gone or does not answer: what it does answer is a `PostgresError` on a living connection."""
    return not isinstance(error, asyncpg.PostgresError) or is_lost(connection)


def is_passing(error: Exception) -> bool:
    """Whether the statement only met another transaction: repeated a little later it goes through."""
    return isinstance(error, asyncpg.LockNotAvailableError | asyncpg.TransactionRollbackError)


def is_lost(connection: Any) -> bool:
    """Whether a connection, or a pool's, is closed."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        # A pool takes a connection back when it breaks, and then nothing can be asked of it any more.
        return True

"""The caller's transaction: what the registry and the accounts read and write through, and never commit."""

from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

# A connection with an open transaction, in the scope (`ordergate.account`) of the accounts that it is about.
Transaction: TypeAlias = asyncpg.Connection | PoolConnectionProxy


def require_transaction(transaction: Transaction) -> None:
    """Stop a writer that was called outside a transaction: half of its rows would stay after a failure."""
    assert transaction.is_in_transaction(), "open a transaction first; the caller commits"

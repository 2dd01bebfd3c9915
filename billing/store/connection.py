"""Billing's connections: every account in scope, and no statement or lock that waits for ever."""

from collections.abc import Mapping
from typing import Any

import asyncpg

POOL_SIZE = 4
"""Connections of one pool at most: a step, its lock and what is read beside it."""
CLIENT_TIMEOUT_S = 70.0
_SERVER_SETTINGS = {
    "application_name": "ordergate-billing",
    # Shipping, rolling up and closing are about all accounts; row-level security shows nothing without a scope.
    "ordergate.account": "*",
    "statement_timeout": "60s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
}


async def billing_pool(
    connect: Mapping[str, Any],
    *,
    size_max: int = POOL_SIZE,
    client_timeout_s: float | None = CLIENT_TIMEOUT_S,
) -> asyncpg.Pool:
    """A pool of connections as the billing role; `connect` are keyword arguments of `asyncpg.connect` for that role.

    Connects when a connection is first needed, and again after PostgreSQL was away. Without a `client_timeout_s` a statement
    takes as long as the server lets it: for a person who compares whole books, and may stop.
    """
    arguments = {name: value for name, value in connect.items() if name != "server_settings"}
    return await asyncpg.create_pool(
        **arguments,
        min_size=0,
        max_size=size_max,
        command_timeout=client_timeout_s,
        server_settings={**connect.get("server_settings", {}), **_SERVER_SETTINGS},
    )

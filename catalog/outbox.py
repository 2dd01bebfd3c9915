"""The only way an event leaves a transaction: it is announced in it, and delivered after the commit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.ids import Environment, new_event_id


async def announce(
    transaction: Transaction,
    account_id: str,
    environment: Environment,
    kind: str,
    payload: Mapping[str, Any],
    now: datetime,
) -> UUID:
    """Queue an event of an account for delivery, together with what it tells of; returns its id.

    `kind` is a dotted name such as `statement.issued`; `payload` holds JSON values. A rolled-back transaction
    announces nothing.
    """
    require_transaction(transaction)
    event_id = new_event_id(to_ns(now))
    await transaction.execute(
        """
        INSERT INTO catalog.outbox (id, account_id, environment, kind, payload, announced_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        event_id,
        account_id,
        environment,
        kind,
        msgspec.json.encode(payload).decode(),
        now,
    )
    return event_id

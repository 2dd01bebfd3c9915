"""Expiry without a call: bookkeeping for levels that nobody touches, in batches that stay small."""

from datetime import datetime

from atomic_services.contract import Transaction
from atomic_services.stock.levels import Owner, free_expired, lock_levels
from atomic_services.stock.schema import Line

# Lines freed by one sweep; what is left over waits for the next one and is available to calls meanwhile.
BATCH = 500

_DUE = """
    SELECT account_id, environment, sku, warehouse, expires_at
    FROM stock.reservation_line WHERE state = 'held' AND expires_at <= $1
    ORDER BY expires_at LIMIT $2
"""


async def sweep(transaction: Transaction, now: datetime) -> None:
    """Free the lines that expired first, of all accounts in the transaction's scope; at most a batch and its ties.

    No answer depends on this: every call frees what has expired in the levels it touches before it looks at them.
    """
    due = await transaction.fetch(_DUE, now, BATCH)
    keys: dict[Owner, set[tuple[str, str]]] = {}
    for row in due:
        owner = Owner(row["account_id"], row["environment"])
        keys.setdefault(owner, set()).add((row["sku"], row["warehouse"]))
    for owner in sorted(keys, key=lambda owner: (owner.account_id, owner.environment)):
        places = [Line(sku, 1, warehouse) for sku, warehouse in sorted(keys[owner])]
        locked = await lock_levels(transaction, owner, places)
        await free_expired(transaction, owner, locked, due[-1]["expires_at"])

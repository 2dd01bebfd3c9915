"""Expiry without a call: bookkeeping for levels that nobody touches, in batches that stay small."""

from datetime import datetime

from atomic_services.contract import Transaction
from atomic_services.stock.levels import Owner, Place, lock_levels

# Lines freed by one sweep, so that levels are not locked for long; the next one follows at once while there are more.
BATCH = 500

_DUE = """
    SELECT owner_id, environment, sku, warehouse, expires_at
    FROM stock.reservation_line WHERE state = 'held' AND expires_at <= $1
    ORDER BY expires_at LIMIT $2
"""


async def sweep(transaction: Transaction, now: datetime) -> bool:
    """Free the lines that expired first, of all accounts in the transaction's scope; at most a batch and its ties.

    Answers whether there may be more.

    An owner's call frees what has expired in the levels that it touches before it looks at them; the caller of a
    channel frees what is its own, and sees the rest after the next sweep.
    """
    due = await transaction.fetch(_DUE, now, BATCH)
    if due:
        places = {
            Place(Owner(row["owner_id"], row["environment"]), row["sku"], row["warehouse"]) for row in due
        }
        await lock_levels(transaction, places, due[-1]["expires_at"])
    return len(due) == BATCH

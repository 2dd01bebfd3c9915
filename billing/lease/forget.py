"""Quotas and budgets of periods that have long been over are forgotten, with the leases that were closed on them.

Nothing is compared with them: what was called and charged is told by usage and documents. Credit is kept with its leases,
for ever: what calls took of a grant is held against what its documents came to. A lease that is not closed keeps its limit. A
limit that is asked for again begins from the stored calls, as a new one does.
"""

from datetime import timedelta

import asyncpg

from billing.transaction import all_accounts
from catalog.vocabulary.clock import Clock, from_ns

# From the first day of a period, which is a month at most: for as long after it as journals are kept.
LIMITS_KEPT = timedelta(days=31 + 35)
FORGOTTEN_MAX = 1000
"""Leases, and limits, that one transaction deletes at most."""
_LEASES = """
    DELETE FROM billing.lease WHERE id IN (
        SELECT lease.id FROM billing.allowance JOIN billing.lease ON allowance_id = allowance.id
        WHERE kind <> 'credit' AND starts_on < $1 AND state = 'closed' LIMIT $2)
"""
_LIMITS = """
    DELETE FROM billing.allowance WHERE leased = 0 AND id IN (
        SELECT id FROM billing.allowance WHERE kind <> 'credit' AND starts_on < $1
        AND NOT EXISTS (SELECT FROM billing.lease WHERE allowance_id = allowance.id) LIMIT $2)
"""


async def forget_limits(pool: asyncpg.Pool, clock: Clock) -> bool:
    """Delete one batch, in a transaction of its own; whether there may be more."""
    before = (from_ns(clock.now_ns()) - LIMITS_KEPT).date()
    async with all_accounts(pool) as connection:
        tags = [await connection.execute(one, before, FORGOTTEN_MAX) for one in (_LEASES, _LIMITS)]
    return any(int(tag.split()[-1]) == FORGOTTEN_MAX for tag in tags)

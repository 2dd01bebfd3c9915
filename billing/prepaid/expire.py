"""What is left of a grant when its time is over goes to the house: breakage (IFRS 15.B44 to B47)."""

from datetime import datetime
from decimal import Decimal

import asyncpg

from billing.ledger.accounts import BREAKAGE, HOUSE, PREPAID, PROMOTIONS
from billing.ledger.post import Entry, post
from billing.prepaid.grants import APPLIED
from billing.transaction import Connection, all_accounts
from catalog.outbox import announce
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.money import plain

# Locked first: what is reported or given back meanwhile is then told by the question that follows.
_OVER = """
    SELECT FROM billing.allowance JOIN billing.credit_grant ON credit_grant.id = subject
    WHERE kind = 'credit' AND valid_until <= $1 AND NOT EXISTS (SELECT FROM billing.credit_expiry WHERE grant_id = subject)
    ORDER BY allowance.id FOR UPDATE OF allowance
"""
# Due only when nothing can claim a part of it any more: no lease is open, and documents have taken in all that calls
# and reported usage took of it.
_DUE = f"""
    SELECT credit_grant.id, credit_grant.account_id, credit_grant.environment, amount, currency, category, {APPLIED} AS applied
    FROM billing.credit_grant
    JOIN billing.allowance ON kind = 'credit' AND subject = credit_grant.id AND allowance.account_id = credit_grant.account_id
    WHERE valid_until <= $1 AND leased = 0
      AND NOT EXISTS (SELECT FROM billing.credit_expiry WHERE grant_id = credit_grant.id)
      AND (SELECT coalesce(sum(lease.used), 0) FROM billing.lease WHERE allowance_id = allowance.id)
        = (SELECT coalesce(sum(captured), 0) FROM billing.credit_application WHERE grant_id = credit_grant.id)
    ORDER BY credit_grant.id
"""  # noqa: S608 - constants of this product


async def expire_credit(pool: asyncpg.Pool, clock: Clock) -> int:
    """Book what is left of every grant whose time is over, once, and announce it; how many were booked."""
    now = from_ns(clock.now_ns())
    async with all_accounts(pool) as connection:
        rows = await connection.fetch(_DUE, now) if await connection.fetch(_OVER, now) else []
        for row in rows:
            await _expire(connection, row, now)
    return len(rows)


async def _expire(connection: Connection, row: asyncpg.Record, now: datetime) -> None:
    account_id, environment, currency = row["account_id"], row["environment"], row["currency"]
    left: Decimal = row["amount"] - row["applied"]
    await connection.execute(
        "INSERT INTO billing.credit_expiry (grant_id, account_id, amount, expired_at) VALUES ($1, $2, $3, $4)",
        row["id"],
        account_id,
        left,
        now,
    )
    if left:
        # What was given away was an expense against revenue; what was paid for and not used is revenue.
        house = BREAKAGE if row["category"] == "paid" else PROMOTIONS
        entries = [Entry(account_id, PREPAID, currency, left), Entry(HOUSE, house, currency, -left)]
        await post(connection, "breakage", f"credit_grant:{row['id']}", environment, now, entries)
    told = {"grant": row["id"], "amount": plain(left), "currency": currency}
    await announce(connection, account_id, environment, "credit.expired", told, now)

"""Leases that are not closed yet, for people: who holds them, and what they wait for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from billing.lease.settle import SILENT_S
from billing.lease.terms import Kind
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment

# In the order of a lease's life: see `settle.py`.
_UNSETTLED = """
    SELECT lease.id, lease.account_id, environment, kind, subject, granted, granted_at, lease.journal_id,
           CASE WHEN state = 'open' AND holder.worker_id = lease.worker_id AND seen_at >= $2 THEN 'its worker'
                WHEN bound_xid IS NULL THEN 'the billing process'
                WHEN coalesce(last_seq, 0) < bound_seq THEN 'its journal'
                ELSE 'older transactions' END AS waits_for,
           CASE WHEN bound_seq IS NOT NULL THEN greatest(bound_seq - coalesce(last_seq, 0), 0) END AS unshipped
    FROM billing.lease JOIN billing.allowance ON allowance.id = allowance_id
    LEFT JOIN billing.lease_holder AS holder USING (journal_id)
    LEFT JOIN billing.ship_offset USING (journal_id)
    WHERE state <> 'closed' AND ($1::text IS NULL OR lease.account_id = $1)
    ORDER BY lease.id
"""


class UnsettledLease(msgspec.Struct, frozen=True):
    """A part of a limit that is promised to a worker.

    It waits for its worker, which lives; or, without one, for the billing process to see where the worker's journal ends,
    for that journal to be shipped (`unshipped` records are missing, None where that is not known), and for transactions
    that had begun by then.
    """

    id: int
    account_id: str
    environment: Environment
    kind: Kind
    subject: str
    granted: Decimal
    granted_at: datetime
    journal_id: UUID
    waits_for: Literal["its worker", "the billing process", "its journal", "older transactions"]
    unshipped: int | None


async def unsettled_leases(
    connection: Connection, account_id: str | None, now: datetime
) -> Sequence[UnsettledLease]:
    """Those of an account, or of all accounts in scope, the oldest first."""
    rows = await connection.fetch(_UNSETTLED, account_id, now - timedelta(seconds=SILENT_S))
    return [UnsettledLease(*row) for row in rows]

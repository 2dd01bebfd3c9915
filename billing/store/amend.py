"""Records that amend an earlier one: more or fewer units of the same thing, known later.

Usage from elsewhere may be corrected, and a call whose price waits for a result gets its units when the result is proven.
Nothing that is stored changes: an amending row copies every key of the row that it names and adds its own units to it. It is
no call, so it is counted as none; what it adds or takes away is rated like any usage that comes late.
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

import msgspec

from billing.store.usage_row import COLUMNS
from billing.transaction import Connection
from catalog.vocabulary.ids import new_event_id

# What an amending row says itself; what a call took of limits is not taken twice.
_OWN = {
    "id": "amendment.id",
    "billable": "true",
    "units": "amendment.units",
    "latency_us": "0",
    "recorded_by": "'amendment'",
    "lease_ids": "NULL",
    "lease_amounts": "NULL",
}
# Behind a common table expression `amendment` of (id, amends, units). Each row is looked up by its key, however few rows
# the planner believes in: a day's partition is filled long before it is analysed.
AMENDING = f"""
    INSERT INTO billing.usage_event ({", ".join(COLUMNS)}, amends)
    SELECT {", ".join(_OWN.get(name, f"event.{name}") for name in COLUMNS)}, event.id
    FROM amendment CROSS JOIN LATERAL (
        SELECT * FROM billing.usage_event AS stored WHERE stored.id = amendment.amends AND stored.amends IS NULL LIMIT 1) AS event
"""  # noqa: S608 - constants of this package
_AMEND = f"""
    WITH amendment AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::numeric[]) AS one (id, amends, units))
    {AMENDING}
"""  # noqa: S608 - constants of this package
# Amending rows have ids of their events' milliseconds, so the partitions to look into are known.
_AMENDED = """
    SELECT amends, array_agg(units ORDER BY id) AS units FROM billing.usage_event
    WHERE amends = ANY($1) AND id >= $2 AND id < $3 GROUP BY amends
"""
_MS_SHIFT = 80
_NS_PER_MS = 1_000_000


class Amendment(msgspec.Struct, frozen=True):
    """`units` more than before, or fewer, of the event that `amends` names, which is no amendment itself."""

    amends: UUID
    units: Decimal


async def amend(transaction: Connection, amendments: Sequence[Amendment]) -> list[UUID]:
    """Store amending rows, billable, in the caller's transaction and scope; their ids, in order. Every event that they name
    is stored and in scope. Never commits. Raises what PostgreSQL raises."""
    ids = [new_event_id((one.amends.int >> _MS_SHIFT) * _NS_PER_MS) for one in amendments]
    stored = await transaction.execute(
        _AMEND, ids, [one.amends for one in amendments], [one.units for one in amendments]
    )
    assert stored == f"INSERT 0 {len(amendments)}", "an amendment names one stored event"
    return ids


async def amended_units(connection: Connection, events: Collection[UUID]) -> Mapping[UUID, Sequence[Decimal]]:
    """What each amending row has added to these events so far, or taken from them; events without any are left out."""
    if not events:
        return {}
    low, high = min(one.int for one in events), max(one.int for one in events)
    rows = await connection.fetch(
        _AMENDED,
        list(events),
        UUID(int=low >> _MS_SHIFT << _MS_SHIFT),
        UUID(int=(high >> _MS_SHIFT) + 1 << _MS_SHIFT),
    )
    return {row["amends"]: row["units"] for row in rows}

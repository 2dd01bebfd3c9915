"""Usage rows written beside something else, in that transaction."""

from collections.abc import Iterable

import msgspec

from billing.store.usage_row import COLUMNS, RecordedBy, usage_row
from billing.transaction import Connection
from catalog.usage_event import UsageEvent

# The rows travel as one JSON value: twenty arrays of one element each cost a call more than its row does.
_COLUMN_LIST = ", ".join(COLUMNS)
_INSERT = f"""
    INSERT INTO billing.usage_event ({_COLUMN_LIST})
    SELECT {_COLUMN_LIST} FROM json_populate_recordset(NULL::billing.usage_event, $1::text::json)
"""  # noqa: S608 - constants of this package


async def insert_rows(transaction: Connection, events: Iterable[UsageEvent], recorded_by: RecordedBy) -> None:
    """Write a usage row for each event, in one statement; never commits. Raises what PostgreSQL raises."""
    rows = [dict(zip(COLUMNS, usage_row(event, recorded_by), strict=True)) for event in events]
    await transaction.execute(_INSERT, msgspec.json.encode(rows).decode())

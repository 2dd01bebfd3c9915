"""`ordergate rebuild --verify`: everything that follows from usage, worked out again and compared with what is stored."""

from collections.abc import Iterable

import asyncpg

from billing.audit.corrected import correction_differences
from billing.audit.credited import credit_note_differences
from billing.audit.rebuilt import (
    charge_differences,
    credit_differences,
    document_differences,
    ledger_differences,
    number_differences,
    rating_differences,
)
from billing.audit.settled import settlement_differences
from billing.result.faults import RESULT_FAULT
from billing.rollup.recompute import differences as sum_differences
from billing.rollup.recompute import recompute
from billing.store.usage_row import COLUMNS, usage_row
from billing.transaction import Connection, one_snapshot
from catalog.usage_event import UsageEvent
from catalog.vocabulary.ids import ENVIRONMENTS, call_id_text

_COLUMN_LIST = ", ".join(COLUMNS)
_CREATE = f"CREATE TEMPORARY TABLE journaled ON COMMIT DROP AS SELECT {_COLUMN_LIST} FROM billing.usage_event LIMIT 0"  # noqa: S608 - constants of this product
# A journal that is kept holds every event that was ever written to it from its first kept one on.
_NOT_STORED = f"""
    SELECT id FROM (SELECT {_COLUMN_LIST} FROM journaled EXCEPT ALL
                    SELECT {_COLUMN_LIST} FROM billing.usage_event WHERE recorded_by = 'journal') AS lost ORDER BY id
"""  # noqa: S608 - constants of this product
_SAMPLES_MAX = 100


async def verify(pool: asyncpg.Pool, journals: Iterable[UsageEvent]) -> list[str]:
    """Compare stored rows, hours, rated lines, postings and documents with what their sources come to again.

    `journals` are the usage events of the journals as far back as they are kept; older usage starts from the stored
    rows. Returns one sentence for each difference, at most a hundred of each kind of source row; empty means equal to
    the last byte. Run it while the flow is at rest: what is shipped but not yet rated is a difference.
    """
    found: list[str] = []
    async with one_snapshot(pool) as connection:
        found += await _row_differences(connection, journals)
        await recompute(connection)
        found += [
            f"{sums.table.rpartition('_')[2]} {dict(sums.key)}: stored {sums.stored}, recomputed {sums.recomputed}"
            for sums in await sum_differences(connection, limit=_SAMPLES_MAX)
        ]
        for environment in ENVIRONMENTS:
            found += [text async for text in correction_differences(connection, environment)]
            found += [text async for text in rating_differences(connection, environment)]
            found += [text async for text in charge_differences(connection, environment)]
            found += [text async for text in ledger_differences(connection, environment)]
            found += [text async for text in document_differences(connection, environment)]
            found += [text async for text in settlement_differences(connection, environment)]
            found += [text async for text in credit_note_differences(connection, environment)]
            found += [text async for text in credit_differences(connection, environment)]
            found += [f"{environment} {row[0]}" for row in await connection.fetch(RESULT_FAULT, environment)]
        found += [text async for text in number_differences(connection)]
    return found


async def _row_differences(connection: Connection, events: Iterable[UsageEvent]) -> list[str]:
    await connection.execute(_CREATE)
    await connection.copy_records_to_table(
        "journaled", columns=COLUMNS, records=(usage_row(event, "journal") for event in events)
    )
    rows = await connection.fetch(f"{_NOT_STORED} LIMIT {_SAMPLES_MAX}")
    return [f"{call_id_text(row['id'])}: is in a journal and not stored as it is there" for row in rows]

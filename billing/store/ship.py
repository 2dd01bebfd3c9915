"""One page of a journal -> usage rows, exactly once: the offset moves in the transaction that stores the rows.

Whether a COMMIT whose reply was lost took place is never assumed: whoever ships next reads the offset.
"""

from collections import Counter
from uuid import UUID

import asyncpg
import msgspec

from billing.store.halt import ShippingHalted
from billing.store.partitions import ensure_days
from billing.store.shipment import Shipment
from billing.store.usage_row import COLUMNS
from billing.transaction import Connection

_COLUMN_LIST = ", ".join(COLUMNS)
_BEGIN = (
    "INSERT INTO billing.ship_offset (journal_id, last_seq, chain) VALUES ($1, 0, '') ON CONFLICT DO NOTHING"
)
_ADVANCE = "UPDATE billing.ship_offset SET last_seq = $3, chain = $4, shipped_at = now() WHERE journal_id = $1 AND last_seq = $2"
# COPY goes into no table with row-level security, so rows pass through a table of the session.
_STAGE = "shipment"
_MAKE_STAGE = (
    f"CREATE TEMPORARY TABLE {_STAGE} ON COMMIT DELETE ROWS AS "  # noqa: S608 - constants of this package
    f"SELECT {_COLUMN_LIST} FROM billing.usage_event WITH NO DATA"
)
_HAS_STAGE = "SELECT to_regclass($1) IS NOT NULL"
_STORE = f"INSERT INTO billing.usage_event ({_COLUMN_LIST}) SELECT {_COLUMN_LIST} FROM pg_temp.{_STAGE}"  # noqa: S608
_STORED_ALREADY = "SELECT id FROM billing.usage_event WHERE id = ANY($1::uuid[]) LIMIT 5"
_COUNT_REFUSALS = """
    INSERT INTO billing.refusal_count AS counted (account_id, environment, operation, day, reason, calls)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::date[], $5::text[], $6::bigint[])
    ON CONFLICT (account_id, environment, operation, day, reason) DO UPDATE SET calls = counted.calls + excluded.calls
"""


class Offset(msgspec.Struct, frozen=True):
    """How far a journal is shipped: the last sequence number and the journal's chain after it."""

    last_seq: int
    chain: bytes


START = Offset(0, b"")


async def read_offsets(connection: Connection) -> dict[UUID, Offset]:
    """How far each journal that was ever shipped is shipped; others are at START."""
    rows = await connection.fetch("SELECT journal_id, last_seq, chain FROM billing.ship_offset")
    return {row["journal_id"]: Offset(row["last_seq"], row["chain"]) for row in rows}


async def ship(
    connection: Connection, journal_id: UUID, since: Offset, until: Offset, shipment: Shipment
) -> bool:
    """Store everything between two offsets of a journal, in the caller's transaction.

    False, with nothing written, if the journal is not at `since` any more: another process ships it. Raises
    `ShippingHalted` when the database does not take every single row; the caller rolls back.
    """
    assert since.last_seq < until.last_seq
    if since.last_seq == 0:
        await connection.execute(_BEGIN, journal_id)
    advanced = await connection.execute(_ADVANCE, journal_id, since.last_seq, until.last_seq, until.chain)
    if advanced != "UPDATE 1":
        return False
    if shipment.rows:
        await ensure_days(connection, shipment.days)
        try:
            async with connection.transaction():
                await _store(connection, shipment)
        except asyncpg.UniqueViolationError as error:
            raise ShippingHalted("event-already-stored", await _repeated(connection, shipment)) from error
        except (
            asyncpg.IntegrityConstraintViolationError,
            asyncpg.DataError,
            ArithmeticError,
            ValueError,
        ) as error:
            raise ShippingHalted("event-refused", str(error)) from error
    if shipment.refusals:
        await _count_refusals(connection, shipment)
    return True


async def _store(connection: Connection, shipment: Shipment) -> None:
    if not await connection.fetchval(_HAS_STAGE, f"pg_temp.{_STAGE}"):
        await connection.execute(_MAKE_STAGE)
    await connection.copy_records_to_table(
        _STAGE, schema_name="pg_temp", records=shipment.rows, columns=list(COLUMNS)
    )
    stored = await connection.execute(_STORE)
    expected = f"INSERT 0 {len(shipment.rows)}"
    if stored != expected:
        raise ShippingHalted("stored-count-differs", f"{stored!r} where {expected!r} was due")


async def _repeated(connection: Connection, shipment: Shipment) -> str:
    """Which events, at most five: row-level security keeps the value out of the server's own message."""
    ids = Counter(row[0] for row in shipment.rows)
    stored = await connection.fetch(_STORED_ALREADY, list(ids))
    repeated = [row["id"] for row in stored] or [event for event, times in ids.items() if times > 1]
    return ", ".join(str(event) for event in repeated[:5])


async def _count_refusals(connection: Connection, shipment: Shipment) -> None:
    # Ordered by key: two shippers that add to the same counters take their locks in the same order.
    keys = shipment.refusals.keys()
    await connection.execute(
        _COUNT_REFUSALS,
        [key.account_id for key in keys],
        [key.environment for key in keys],
        [key.operation for key in keys],
        [key.day for key in keys],
        [key.reason for key in keys],
        list(shipment.refusals.values()),
    )

"""The levels: locking them in one order, freeing what has expired, changing and reading them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from atomic_services.contract import CallContext, Transaction
from atomic_services.stock.allocation import Key
from atomic_services.stock.schema import Condition, Line
from catalog.vocabulary.ids import Environment


class Owner(Struct, frozen=True):
    """Whose stock: part of every key, so that neither accounts nor live and test ever meet."""

    account_id: str
    environment: Environment

    @classmethod
    def of(cls, context: CallContext) -> "Owner":
        """The caller's own stock."""
        return cls(context.account_id, context.environment)


class Level(Struct, frozen=True):
    """The units of one SKU in one warehouse."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    quarantined: int

    @property
    def available(self) -> int:
        """Units that can be reserved."""
        return self.on_hand - self.reserved - self.quarantined


# Sorting comes before locking in PostgreSQL's plans, and keys never change: whoever locks several levels locks them in
# the same order, so that no two transactions can wait for each other.
_LOCK = """
    SELECT sku, warehouse, on_hand, reserved, quarantined
    FROM stock.level
    WHERE account_id = $1 AND environment = $2 AND sku = ANY ($3::text[])
      AND EXISTS (
          SELECT FROM unnest($3::text[], $4::text[]) AS wanted (sku, warehouse)
          WHERE wanted.sku = level.sku AND (wanted.warehouse IS NULL OR wanted.warehouse = level.warehouse))
    ORDER BY sku, warehouse
    FOR NO KEY UPDATE OF level
"""

_FREE_EXPIRED = """
    WITH due AS (
        UPDATE stock.reservation_line AS line SET state = 'expired'
        FROM unnest($3::text[], $4::text[]) AS key (sku, warehouse)
        WHERE line.account_id = $1 AND line.environment = $2
          AND line.sku = key.sku AND line.warehouse = key.warehouse
          AND line.state = 'held' AND line.expires_at <= $5
        RETURNING line.sku, line.warehouse, line.reservation_id, line.quantity, line.expires_at
    ), recorded AS (
        INSERT INTO stock.movement
            (account_id, environment, sku, warehouse, kind, reserved_change, reservation_id, occurred_at)
        SELECT $1, $2, sku, warehouse, 'expire', -quantity, reservation_id, expires_at FROM due
    )
    UPDATE stock.level SET reserved = level.reserved - freed.quantity
    FROM (SELECT sku, warehouse, sum(quantity)::bigint AS quantity FROM due GROUP BY sku, warehouse) AS freed
    WHERE level.account_id = $1 AND level.environment = $2
      AND level.sku = freed.sku AND level.warehouse = freed.warehouse
    RETURNING level.sku, level.warehouse, level.on_hand, level.reserved, level.quarantined
"""

_ENSURE = """
    INSERT INTO stock.level (account_id, environment, sku, warehouse) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""

_ADJUST = """
    WITH changed AS (
        UPDATE stock.level SET on_hand = on_hand + $5, quarantined = quarantined + $6
        WHERE account_id = $1 AND environment = $2 AND sku = $3 AND warehouse = $4
          AND available + $5 - $6 >= 0 AND quarantined + $6 >= 0
        RETURNING sku, warehouse, on_hand, reserved, quarantined
    ), recorded AS (
        INSERT INTO stock.movement
            (account_id, environment, sku, warehouse, kind, on_hand_change, quarantined_change, reason, call_id, occurred_at)
        SELECT $1, $2, sku, warehouse, 'adjust', $5, $6, $7, $8, $9 FROM changed
    )
    SELECT sku, warehouse, on_hand, reserved, quarantined FROM changed
"""

_READ = """
    SELECT level.sku, level.warehouse, level.on_hand, level.quarantined,
           level.reserved - coalesce(expired.quantity, 0) AS reserved
    FROM stock.level
    LEFT JOIN LATERAL (
        SELECT sum(line.quantity)::bigint AS quantity FROM stock.reservation_line AS line
        WHERE line.account_id = level.account_id AND line.environment = level.environment
          AND line.sku = level.sku AND line.warehouse = level.warehouse
          AND line.state = 'held' AND line.expires_at <= $4
    ) AS expired ON true
    WHERE level.account_id = $1 AND level.environment = $2 AND level.sku = ANY ($3::text[])
    ORDER BY level.sku, level.warehouse
"""


async def lock_levels(transaction: Transaction, owner: Owner, lines: Sequence[Line]) -> dict[Key, Level]:
    """Lock what the lines may touch, all warehouses where a line names none; answers the levels that exist."""
    rows = await transaction.fetch(
        _LOCK,
        owner.account_id,
        owner.environment,
        [line.sku for line in lines],
        [line.warehouse for line in lines],
    )
    return _levels(rows)


async def free_expired(
    transaction: Transaction, owner: Owner, locked: Mapping[Key, Level], moment: datetime
) -> dict[Key, Level]:
    """Give back what expired by `moment` in levels that this transaction has locked; answers them as they are now."""
    rows = await transaction.fetch(
        _FREE_EXPIRED,
        owner.account_id,
        owner.environment,
        [sku for sku, _ in locked],
        [warehouse for _, warehouse in locked],
        moment,
    )
    return {**locked, **_levels(rows)}


async def ensure_level(transaction: Transaction, owner: Owner, sku: str, warehouse: str) -> None:
    """Make the level of a key that is seen for the first time; it starts at 0."""
    await transaction.execute(_ENSURE, owner.account_id, owner.environment, sku, warehouse)


async def change_on_hand(
    transaction: Transaction,
    owner: Owner,
    key: Key,
    quantity: int,
    *,
    condition: Condition,
    reason: str,
    call_id: UUID,
    moment: datetime,
) -> Level | None:
    """Add signed units to the good or to the quarantined stock of a key; None if it has not so many to take out."""
    row = await transaction.fetchrow(
        _ADJUST,
        owner.account_id,
        owner.environment,
        *key,
        quantity,
        quantity if condition == "quarantined" else 0,
        reason,
        call_id,
        moment,
    )
    return None if row is None else _level(row)


async def read_levels(
    transaction: Transaction, owner: Owner, skus: Sequence[str], moment: datetime
) -> list[Level]:
    """The levels of the SKUs as they are at `moment`: what has expired by then counts as available. Locks nothing."""
    rows = await transaction.fetch(_READ, owner.account_id, owner.environment, list(skus), moment)
    return [_level(row) for row in rows]


def _levels(rows: Sequence[Mapping[str, Any]]) -> dict[Key, Level]:
    return {(row["sku"], row["warehouse"]): _level(row) for row in rows}


def _level(row: Mapping[str, Any]) -> Level:
    return Level(row["sku"], row["warehouse"], row["on_hand"], row["reserved"], row["quarantined"])

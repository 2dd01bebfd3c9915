"""The levels: locking them in one order, freeing what has expired, changing and reading them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from atomic_services.contract import CallContext, Transaction
from atomic_services.stock.sourcing import Key
from catalog.vocabulary.ids import Environment


class Owner(Struct, frozen=True, order=True):
    """Whose stock: part of every key, so that neither accounts nor live and test ever meet."""

    account_id: str
    environment: Environment

    @classmethod
    def of(cls, context: CallContext, account_id: str | None = None) -> "Owner":
        """The caller's own stock, or that of the account it names."""
        return cls(account_id or context.account_id, context.environment)


class Place(Struct, frozen=True, order=True):
    """Levels of an owner: one, or without a warehouse all of a SKU."""

    owner: Owner
    sku: str
    warehouse: str | None = None


class Level(Struct, frozen=True):
    """The units of one SKU in one warehouse."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    quarantined: int
    safety_stock: int = 0

    @property
    def available(self) -> int:
        """Units that are on hand, good, and not reserved."""
        return self.on_hand - self.reserved - self.quarantined


Levels = dict[Owner, dict[Key, Level]]

# Sorting comes before locking in PostgreSQL's plans, and keys never change: whoever locks several levels locks them in
# the same order, so that no two transactions can wait for each other. `due` says whether anything there has expired;
# it asks for the earliest expiry, which an index has. Asked whether there is any, the planner expects many and reads all
# that is held of a hot article, under its lock.
_LOCK = """
    SELECT level.account_id, level.environment, level.sku, level.warehouse, level.on_hand, level.reserved,
           level.quarantined, level.safety_stock,
           (SELECT line.expires_at FROM stock.reservation_line AS line
            WHERE line.owner_id = level.account_id AND line.environment = level.environment
              AND line.sku = level.sku AND line.warehouse = level.warehouse AND line.state = 'held'
            ORDER BY line.expires_at LIMIT 1) <= $5 AS due
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS wanted (owner_id, environment, sku, warehouse)
    JOIN stock.level ON level.account_id = wanted.owner_id AND level.environment = wanted.environment
     AND level.sku = wanted.sku AND (wanted.warehouse IS NULL OR wanted.warehouse = level.warehouse)
    ORDER BY level.account_id, level.environment, level.sku, level.warehouse
    FOR NO KEY UPDATE OF level
"""

_FREE_EXPIRED = """
    WITH due AS (
        UPDATE stock.reservation_line AS line SET state = 'expired'
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS key (owner_id, environment, sku, warehouse)
        WHERE line.owner_id = key.owner_id AND line.environment = key.environment
          AND line.sku = key.sku AND line.warehouse = key.warehouse
          AND line.state = 'held' AND line.expires_at <= $5
        RETURNING line.*
    ), recorded AS (
        INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, reserved_change, reservation_id,
                                    party_id, channel, occurred_at)
        SELECT owner_id, environment, sku, warehouse, 'expire', -quantity, reservation_id,
               nullif(account_id, owner_id), channel, expires_at
        FROM due
    )
    UPDATE stock.level SET reserved = level.reserved - freed.quantity
    FROM (SELECT owner_id, environment, sku, warehouse, sum(quantity)::bigint AS quantity
          FROM due GROUP BY owner_id, environment, sku, warehouse) AS freed
    WHERE level.account_id = freed.owner_id AND level.environment = freed.environment
      AND level.sku = freed.sku AND level.warehouse = freed.warehouse
    RETURNING level.account_id, level.environment, level.sku, level.warehouse, level.on_hand, level.reserved,
              level.quarantined, level.safety_stock
"""

_ENSURE = """
    INSERT INTO stock.level (account_id, environment, sku, warehouse)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    ON CONFLICT DO NOTHING
"""

_ADJUST = """
    WITH change AS (
        SELECT * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::uuid[], $8::timestamptz[])
            WITH ORDINALITY AS change (sku, warehouse, on_hand, quarantined, reason, call_id, occurred_at, n)
    ), recorded AS (
        INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, on_hand_change, quarantined_change,
                                    reason, call_id, occurred_at)
        SELECT $9, $1, sku, warehouse, 'adjust', on_hand, quarantined, reason, call_id, occurred_at FROM change ORDER BY n
    )
    UPDATE stock.level SET on_hand = level.on_hand + total.on_hand, quarantined = level.quarantined + total.quarantined
    FROM (SELECT sku, warehouse, sum(on_hand)::bigint AS on_hand, sum(quarantined)::bigint AS quarantined
          FROM change GROUP BY sku, warehouse) AS total
    WHERE level.account_id = $9 AND level.environment = $1
      AND level.sku = total.sku AND level.warehouse = total.warehouse
"""

_READ = """
    SELECT level.account_id, level.environment, level.sku, level.warehouse, level.on_hand, level.quarantined,
           level.safety_stock, level.reserved - coalesce(expired.quantity, 0) AS reserved
    FROM stock.level
    LEFT JOIN LATERAL (
        SELECT sum(line.quantity)::bigint AS quantity FROM stock.reservation_line AS line
        WHERE line.owner_id = level.account_id AND line.environment = level.environment
          AND line.sku = level.sku AND line.warehouse = level.warehouse
          AND line.state = 'held' AND line.expires_at <= $4
    ) AS expired ON true
    WHERE level.account_id = $1 AND level.environment = $2 AND level.sku = ANY ($3::text[])
    ORDER BY level.sku, level.warehouse
"""


class Change(Struct, frozen=True):
    """Signed units that a call adds to a level, and how many of them are quarantined."""

    key: Key
    on_hand: int
    quarantined: int
    reason: str
    call_id: UUID
    occurred_at: datetime

    def applied_to(self, level: Level) -> Level:
        """The level afterwards."""
        return Level(
            level.sku,
            level.warehouse,
            level.on_hand + self.on_hand,
            level.reserved,
            level.quarantined + self.quarantined,
            level.safety_stock,
        )


async def lock_levels(transaction: Transaction, places: Iterable[Place], moment: datetime | None) -> Levels:
    """Lock what is at these places and free what has expired there by `moment`; answers the levels that exist.

    Without a moment nothing is freed. Of somebody else's stock only the caller's own reservations are freed: others' are the owner's, or a sweep's.
    """
    wanted = sorted(set(places), key=lambda place: (place.owner, place.sku, place.warehouse or ""))
    rows = await transaction.fetch(_LOCK, *_columns(wanted), moment)
    levels = _levels(rows)
    due = [Place(_owner(row), row["sku"], row["warehouse"]) for row in rows if row["due"]]
    if due:
        freed = await transaction.fetch(_FREE_EXPIRED, *_columns(due), moment)
        for owner, changed in _levels(freed).items():
            levels[owner].update(changed)
    return levels


async def ensure_levels(transaction: Transaction, places: Iterable[Place]) -> None:
    """Make the levels of keys that are seen for the first time; they start at 0. Before anything is locked."""
    await transaction.execute(_ENSURE, *_columns(sorted(set(places))))


async def change_levels(transaction: Transaction, owner: Owner, changes: Sequence[Change]) -> None:
    """Add signed units to levels that are locked and have what is taken out."""
    await transaction.execute(
        _ADJUST,
        owner.environment,
        [change.key[0] for change in changes],
        [change.key[1] for change in changes],
        [change.on_hand for change in changes],
        [change.quarantined for change in changes],
        [change.reason for change in changes],
        [change.call_id for change in changes],
        [change.occurred_at for change in changes],
        owner.account_id,
    )


async def read_levels(
    transaction: Transaction, owner: Owner, skus: Sequence[str], moment: datetime
) -> list[Level]:
    """The levels of the SKUs as they are at `moment`: what has expired by then counts as available. Locks nothing."""
    rows = await transaction.fetch(_READ, owner.account_id, owner.environment, list(skus), moment)
    return [_level(row) for row in rows]


def _columns(places: Sequence[Place]) -> tuple[list[str], list[str], list[str], list[str | None]]:
    return (
        [place.owner.account_id for place in places],
        [place.owner.environment for place in places],
        [place.sku for place in places],
        [place.warehouse for place in places],
    )


def _levels(rows: Sequence[Mapping[str, Any]]) -> Levels:
    levels: Levels = {}
    for row in rows:
        levels.setdefault(_owner(row), {})[row["sku"], row["warehouse"]] = _level(row)
    return levels


def _owner(row: Mapping[str, Any]) -> Owner:
    return Owner(row["account_id"], row["environment"])


def _level(row: Mapping[str, Any]) -> Level:
    return Level(
        row["sku"], row["warehouse"], row["on_hand"], row["reserved"], row["quarantined"], row["safety_stock"]
    )

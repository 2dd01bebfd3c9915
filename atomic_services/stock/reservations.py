"""Reservations: making them, finding them, and ending each of their holds exactly once.

Locks are taken in one order everywhere: the reservation, its levels sorted by key, its lines. Freeing what has expired
needs no lock on a reservation, which is why an expiry is never written there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from atomic_services.contract import Transaction
from atomic_services.stock.allocation import Share
from atomic_services.stock.levels import Owner
from atomic_services.stock.schema import (
    Allocation,
    Line,
    ReservationReply,
    ReservedLine,
    ReserveRequest,
    State,
)

Ending = Literal["confirmed", "released"]


class HeldLine(msgspec.Struct, frozen=True):
    """A share as it is stored: its state and, once confirmed, how much of it left the stock."""

    share: Share
    confirmed: int
    state: Literal["held", "expired"] | Ending


class Reservation(msgspec.Struct, frozen=True):
    """A reservation, what it asked for and what it holds or held."""

    id: str
    stored_state: Literal["reserved"] | Ending
    expires_at: datetime
    partial: bool
    requested: tuple[Line, ...]
    lines: tuple[HeldLine, ...]

    @classmethod
    def made_by(cls, request: ReserveRequest, shares: Sequence[Share], expires_at: datetime) -> "Reservation":
        """The reservation that a request makes of these shares."""
        lines = tuple(HeldLine(share, 0, "held") for share in shares)
        return cls(request.reservation_id, "reserved", expires_at, request.partial, request.lines, lines)

    def held(self) -> tuple[Line, ...]:
        """The keys it holds, as lines that name their warehouse."""
        return tuple(Line(line.share.sku, line.share.quantity, line.share.warehouse) for line in self.lines)

    def ended(self, confirmed: Sequence[int], state: Ending) -> "Reservation":
        """The same with every hold ended: `confirmed` units of each line have left the stock, the rest is free."""
        lines = tuple(
            HeldLine(line.share, units, "confirmed" if units else "released")
            for line, units in zip(self.lines, confirmed, strict=True)
        )
        return msgspec.structs.replace(self, stored_state=state, lines=lines)

    def state_at(self, moment: datetime) -> State:
        """Its state at a moment; a line that a call with a later clock has freed already is as good as the time."""
        if self.stored_state != "reserved":
            return self.stored_state
        if self.expires_at <= moment or any(line.state == "expired" for line in self.lines):
            return "expired"
        return "reserved"

    def asks_for(self, request: ReserveRequest) -> bool:
        """Whether a request is the one that made this reservation; the order of its lines and its ttl do not count."""
        return self.partial == request.partial and _sorted(self.requested) == _sorted(request.lines)

    def reply(self, state: State) -> ReservationReply:
        """The reservation as callers see it."""
        return ReservationReply(
            self.id,
            state,
            self.expires_at,
            tuple(_reply_line(line, position, self, state) for position, line in enumerate(self.requested)),
        )


_INSERT = """
    INSERT INTO stock.reservation (account_id, environment, reservation_id, requested, partial, reserved_at, expires_at)
    VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $7)
    ON CONFLICT DO NOTHING
    RETURNING reservation_id
"""

_HOLD = """
    WITH share AS (
        SELECT * FROM unnest($4::smallint[], $5::text[], $6::text[], $7::bigint[])
            AS share (position, sku, warehouse, quantity)
    ), held AS (
        INSERT INTO stock.reservation_line
            (account_id, environment, reservation_id, position, sku, warehouse, quantity, expires_at)
        SELECT $1, $2, $3, position, sku, warehouse, quantity, $8 FROM share
    ), recorded AS (
        INSERT INTO stock.movement
            (account_id, environment, sku, warehouse, kind, reserved_change, reservation_id, call_id, occurred_at)
        SELECT $1, $2, sku, warehouse, 'reserve', quantity, $3, $9, $10 FROM share
    ), raised AS (
        UPDATE stock.level SET reserved = level.reserved + taken.quantity
        FROM (SELECT sku, warehouse, sum(quantity)::bigint AS quantity FROM share GROUP BY sku, warehouse) AS taken
        WHERE level.account_id = $1 AND level.environment = $2
          AND level.sku = taken.sku AND level.warehouse = taken.warehouse AND level.available >= taken.quantity
        RETURNING taken.quantity
    )
    SELECT coalesce(sum(quantity), 0)::bigint AS quantity FROM raised
"""

_FIND = """
    SELECT state, expires_at, partial, requested::text AS requested
    FROM stock.reservation WHERE account_id = $1 AND environment = $2 AND reservation_id = $3
    FOR NO KEY UPDATE
"""

_LINES = """
    SELECT position, sku, warehouse, quantity, confirmed, state
    FROM stock.reservation_line WHERE account_id = $1 AND environment = $2 AND reservation_id = $3
    ORDER BY position, warehouse
"""

_SETTLE = """
    WITH part AS (
        SELECT * FROM unnest($4::smallint[], $5::text[], $6::bigint[], $7::text[])
            AS part (position, warehouse, confirmed, state)
    ), settled AS (
        UPDATE stock.reservation_line AS line SET confirmed = part.confirmed, state = part.state
        FROM part
        WHERE line.account_id = $1 AND line.environment = $2 AND line.reservation_id = $3
          AND line.position = part.position AND line.warehouse = part.warehouse AND line.state = 'held'
        RETURNING line.sku, line.warehouse, line.quantity, line.confirmed
    ), recorded AS (
        INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, on_hand_change, reserved_change,
                                    reservation_id, call_id, occurred_at)
        SELECT $1, $2, sku, warehouse, CASE WHEN confirmed > 0 THEN 'confirm' ELSE 'release' END, -confirmed, -quantity,
               $3, $9, $10
        FROM settled
    ), lowered AS (
        UPDATE stock.level SET on_hand = level.on_hand - ended.confirmed, reserved = level.reserved - ended.quantity
        FROM (SELECT sku, warehouse, sum(confirmed)::bigint AS confirmed, sum(quantity)::bigint AS quantity
              FROM settled GROUP BY sku, warehouse) AS ended
        WHERE level.account_id = $1 AND level.environment = $2
          AND level.sku = ended.sku AND level.warehouse = ended.warehouse
    ), closed AS (
        UPDATE stock.reservation SET state = $8
        WHERE account_id = $1 AND environment = $2 AND reservation_id = $3 AND state = 'reserved'
    )
    SELECT count(*) AS lines FROM settled
"""

_EXTEND = """
    WITH longer AS (
        UPDATE stock.reservation_line SET expires_at = $4
        WHERE account_id = $1 AND environment = $2 AND reservation_id = $3 AND state = 'held'
        RETURNING position
    ), noted AS (
        UPDATE stock.reservation SET expires_at = $4
        WHERE account_id = $1 AND environment = $2 AND reservation_id = $3
    )
    SELECT count(*) AS lines FROM longer
"""


async def insert_reservation(
    transaction: Transaction, owner: Owner, request: ReserveRequest, moment: datetime, expires_at: datetime
) -> bool:
    """Take the id for this request. False if it is taken; a concurrent taker is waited for until it has ended."""
    row = await transaction.fetchrow(
        _INSERT,
        owner.account_id,
        owner.environment,
        request.reservation_id,
        msgspec.json.encode(request.lines).decode(),
        request.partial,
        moment,
        expires_at,
    )
    return row is not None


async def hold(
    transaction: Transaction, owner: Owner, reservation: Reservation, *, call_id: UUID, moment: datetime
) -> None:
    """Hold its lines. Their levels are locked and have the units: anything else is a fault of ours."""
    shares = [line.share for line in reservation.lines]
    row = await transaction.fetchrow(
        _HOLD,
        owner.account_id,
        owner.environment,
        reservation.id,
        [share.position for share in shares],
        [share.sku for share in shares],
        [share.warehouse for share in shares],
        [share.quantity for share in shares],
        reservation.expires_at,
        call_id,
        moment,
    )
    assert row is not None
    assert row["quantity"] == sum(share.quantity for share in shares)


async def find_reservation(transaction: Transaction, owner: Owner, reservation_id: str) -> Reservation | None:
    """The reservation, locked until the transaction ends, or None."""
    key = (owner.account_id, owner.environment, reservation_id)
    row = await transaction.fetchrow(_FIND, *key)
    if row is None:
        return None
    return Reservation(
        reservation_id,
        row["state"],
        row["expires_at"],
        row["partial"],
        msgspec.json.decode(row["requested"], type=tuple[Line, ...]),
        tuple(_held_line(line) for line in await transaction.fetch(_LINES, *key)),
    )


async def settle(
    transaction: Transaction, owner: Owner, ended: Reservation, *, call_id: UUID, moment: datetime
) -> bool:
    """Store a reservation that has `ended`. Its levels are locked.

    False, to be followed by a rollback, if a line is not held any more.
    """
    row = await transaction.fetchrow(
        _SETTLE,
        owner.account_id,
        owner.environment,
        ended.id,
        [line.share.position for line in ended.lines],
        [line.share.warehouse for line in ended.lines],
        [line.confirmed for line in ended.lines],
        [line.state for line in ended.lines],
        ended.stored_state,
        call_id,
        moment,
    )
    assert row is not None
    return bool(row["lines"] == len(ended.lines))


async def extend_holds(
    transaction: Transaction, owner: Owner, reservation: Reservation, expires_at: datetime
) -> bool:
    """Move the expiry. The levels are locked. False, to be followed by a rollback, if a line is not held any more."""
    row = await transaction.fetchrow(_EXTEND, owner.account_id, owner.environment, reservation.id, expires_at)
    assert row is not None
    return bool(row["lines"] == len(reservation.lines))


def _held_line(row: Mapping[str, Any]) -> HeldLine:
    share = Share(row["position"], row["sku"], row["warehouse"], row["quantity"])
    return HeldLine(share, row["confirmed"], row["state"])


def _sorted(lines: Sequence[Line]) -> list[tuple[str, str, int]]:
    return sorted((line.sku, line.warehouse or "", line.quantity) for line in lines)


def _reply_line(line: Line, position: int, reservation: Reservation, state: State) -> ReservedLine:
    allocations = tuple(
        Allocation(part.share.warehouse, part.share.quantity if state == "reserved" else 0, part.confirmed)
        for part in reservation.lines
        if part.share.position == position
    )
    return ReservedLine(
        line.sku,
        line.quantity,
        line.warehouse,
        sum(part.reserved for part in allocations),
        sum(part.confirmed for part in allocations),
        allocations,
    )

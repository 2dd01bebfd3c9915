"""The rows of reservations: finding, making and ending many of them, each in a constant number of statements.

Locks are taken in one order everywhere: reservations by id, levels by key, channels by name, lines. Freeing what has
expired needs no lock on a reservation, which is why an expiry is never written there. A new reservation takes its id
last of all: nobody who waits for an id holds anything that the one who takes it still wants.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from atomic_services.contract import CallContext, Transaction
from atomic_services.stock.allocation import Share
from atomic_services.stock.fields import Line
from atomic_services.stock.levels import Owner, Place, lock_levels
from atomic_services.stock.reservations import HeldLine, Reservation
from atomic_services.stock.schema import Sourced
from atomic_services.stock.terms import read_channels

# A reservation and the call that makes, ends or extends it.
Deed = tuple[Reservation, CallContext]

_MAKE = """
    WITH asked AS (
        SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::text[],
                             $9::timestamptz[], $10::timestamptz[], $11::uuid[])
            AS asked (id, owner_id, channel, requested, partial, sourcing, reserved_at, expires_at, call_id)
    ), made AS (
        INSERT INTO stock.reservation (account_id, environment, reservation_id, owner_id, channel, requested, partial,
                                       sourcing, reserved_at, expires_at)
        SELECT $1, $2, id, owner_id, channel, requested::jsonb, partial, sourcing::jsonb, reserved_at, expires_at
        FROM asked
        ON CONFLICT DO NOTHING
        RETURNING reservation_id
    ), share AS (
        SELECT part.*, owner_id, channel, reserved_at, expires_at, call_id, nullif($1, owner_id) AS party_id
        FROM unnest($12::text[], $13::smallint[], $14::text[], $15::text[], $16::bigint[])
            AS part (id, position, sku, warehouse, quantity)
        JOIN made ON made.reservation_id = part.id
        JOIN asked ON asked.id = part.id
    ), held AS (
        INSERT INTO stock.reservation_line (account_id, environment, reservation_id, position, owner_id, channel,
                                            sku, warehouse, quantity, expires_at)
        SELECT $1, $2, id, position, owner_id, channel, sku, warehouse, quantity, expires_at FROM share
    ), recorded AS (
        INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, reserved_change, reservation_id,
                                    call_id, party_id, channel, occurred_at)
        SELECT owner_id, $2, sku, warehouse, 'reserve', quantity, id, call_id, party_id, channel, reserved_at FROM share
    ), raised AS (
        UPDATE stock.level SET reserved = level.reserved + taken.quantity
        FROM (SELECT owner_id, sku, warehouse, sum(quantity)::bigint AS quantity
              FROM share GROUP BY owner_id, sku, warehouse) AS taken
        WHERE level.account_id = taken.owner_id AND level.environment = $2
          AND level.sku = taken.sku AND level.warehouse = taken.warehouse
        RETURNING taken.quantity
    )
    SELECT coalesce(array_agg(reservation_id), '{}') AS ids,
           (SELECT coalesce(sum(quantity), 0)::bigint FROM raised) AS units
    FROM made
"""

_FIND = """
    SELECT reservation_id, owner_id, channel, state, expires_at, partial, requested::text, sourcing::text
    FROM stock.reservation WHERE account_id = $1 AND environment = $2 AND reservation_id = ANY ($3::text[])
    ORDER BY reservation_id
"""

_LINES = """
    SELECT reservation_id, position, sku, warehouse, quantity, confirmed, state
    FROM stock.reservation_line
    WHERE account_id = $1 AND environment = $2 AND reservation_id = ANY ($3::text[])
    ORDER BY reservation_id, position, warehouse
"""

# That an id is one of the array is said twice, because the planner finds the index by the second way of saying it even
# where a table has grown since its statistics were taken.
_END = """
    WITH part AS (
        SELECT * FROM unnest($3::text[], $4::smallint[], $5::text[], $6::bigint[], $7::text[], $8::uuid[],
                             $9::timestamptz[]) AS part (id, position, warehouse, confirmed, state, call_id, occurred_at)
    ), settled AS (
        UPDATE stock.reservation_line AS line SET confirmed = part.confirmed, state = part.state
        FROM part
        WHERE line.account_id = $1 AND line.environment = $2 AND line.reservation_id = part.id
          AND line.position = part.position AND line.warehouse = part.warehouse AND line.state = 'held'
          AND line.reservation_id = ANY ($3::text[])
        RETURNING line.*, part.call_id, part.occurred_at
    ), recorded AS (
        INSERT INTO stock.movement (account_id, environment, sku, warehouse, kind, on_hand_change, reserved_change,
                                    reservation_id, call_id, party_id, channel, occurred_at)
        SELECT owner_id, $2, sku, warehouse, CASE WHEN confirmed > 0 THEN 'confirm' ELSE 'release' END, -confirmed,
               -quantity, reservation_id, call_id, nullif($1, owner_id), channel, occurred_at
        FROM settled
    ), lowered AS (
        UPDATE stock.level SET on_hand = level.on_hand - ended.confirmed, reserved = level.reserved - ended.quantity
        FROM (SELECT owner_id, sku, warehouse, sum(confirmed)::bigint AS confirmed, sum(quantity)::bigint AS quantity
              FROM settled GROUP BY owner_id, sku, warehouse) AS ended
        WHERE level.account_id = ended.owner_id AND level.environment = $2
          AND level.sku = ended.sku AND level.warehouse = ended.warehouse
    ), sold AS (
        UPDATE stock.channel SET sold = channel.sold + ended.confirmed
        FROM (SELECT owner_id, channel, sum(confirmed)::bigint AS confirmed
              FROM settled WHERE confirmed > 0 GROUP BY owner_id, channel) AS ended
        WHERE channel.account_id = ended.owner_id AND channel.environment = $2 AND channel.channel = ended.channel
    ), closed AS (
        UPDATE stock.reservation SET state = ended.state
        FROM unnest($10::text[], $11::text[]) AS ended (id, state)
        WHERE account_id = $1 AND environment = $2 AND reservation_id = ended.id AND reservation.state = 'reserved'
          AND reservation_id = ANY ($10::text[])
    )
    SELECT count(*) AS lines FROM settled
"""

_EXTEND = """
    WITH longer AS (
        UPDATE stock.reservation SET expires_at = moved.expires_at
        FROM unnest($3::text[], $4::timestamptz[]) AS moved (id, expires_at)
        WHERE account_id = $1 AND environment = $2 AND reservation_id = moved.id AND reservation_id = ANY ($3::text[])
        RETURNING reservation_id, moved.expires_at
    )
    UPDATE stock.reservation_line AS line SET expires_at = longer.expires_at
    FROM longer
    WHERE line.account_id = $1 AND line.environment = $2 AND line.reservation_id = longer.reservation_id
      AND line.reservation_id = ANY ($3::text[]) AND line.state = 'held'
"""


async def find_reservations(
    transaction: Transaction, caller: Owner, ids: Sequence[str], *, lock: bool = False
) -> dict[str, Reservation]:
    """Those of the caller's reservations that exist, as they are now; locked by id until the transaction ends."""
    key = (caller.account_id, caller.environment, sorted(set(ids)))
    found = await transaction.fetch(_FIND + ("FOR NO KEY UPDATE" if lock else ""), *key)
    if not found:
        return {}
    lines = await _lines(transaction, caller, key[2])
    return {
        row["reservation_id"]: _reservation(row, caller, lines.get(row["reservation_id"], ()))
        for row in found
    }


async def lock_held(
    transaction: Transaction, caller: Owner, found: Mapping[str, Reservation]
) -> dict[str, Reservation]:
    """The same reservations with their levels and channels locked: what they hold now, nobody else ends."""
    places = {
        Place(one.owner, line.share.sku, line.share.warehouse) for one in found.values() for line in one.lines
    }
    if not places:
        return dict(found)
    await lock_levels(transaction, places, None)
    keys = [one.channel_key for one in found.values()]
    await read_channels(transaction, [key for key in keys if key is not None], lock=True)
    lines = await _lines(transaction, caller, sorted(found))
    return {id_: msgspec.structs.replace(one, lines=lines.get(id_, ())) for id_, one in found.items()}


async def make_reservations(transaction: Transaction, caller: Owner, deeds: Sequence[Deed]) -> set[str]:
    """Store reservations and hold their lines; the ids that were free. Levels are locked and have the units."""
    deeds = sorted(deeds, key=lambda deed: deed[0].id)
    shares = [(one, line.share) for one, _ in deeds for line in one.lines]
    row = await transaction.fetchrow(
        _MAKE,
        caller.account_id,
        caller.environment,
        [one.id for one, _ in deeds],
        [one.owner.account_id for one, _ in deeds],
        [one.channel for one, _ in deeds],
        [msgspec.json.encode(one.requested).decode() for one, _ in deeds],
        [one.partial for one, _ in deeds],
        [msgspec.json.encode(one.sourcing).decode() for one, _ in deeds],
        [context.occurred_at for _, context in deeds],
        [one.expires_at for one, _ in deeds],
        [context.call_id for _, context in deeds],
        [one.id for one, _ in shares],
        [share.position for _, share in shares],
        [share.sku for _, share in shares],
        [share.warehouse for _, share in shares],
        [share.quantity for _, share in shares],
    )
    assert row is not None
    made = set(row["ids"])
    assert row["units"] == sum(share.quantity for one, share in shares if one.id in made)
    return made


async def end_reservations(transaction: Transaction, caller: Owner, deeds: Sequence[Deed]) -> None:
    """Store reservations that have `ended`. Their levels and channels are locked, and their lines were held."""
    parts = [(one, line, context) for one, context in deeds for line in one.lines]
    row = await transaction.fetchrow(
        _END,
        caller.account_id,
        caller.environment,
        [one.id for one, _, _ in parts],
        [line.share.position for _, line, _ in parts],
        [line.share.warehouse for _, line, _ in parts],
        [line.confirmed for _, line, _ in parts],
        [line.state for _, line, _ in parts],
        [context.call_id for _, _, context in parts],
        [context.occurred_at for _, _, context in parts],
        [one.id for one, _ in deeds],
        [one.stored_state for one, _ in deeds],
    )
    assert row is not None
    assert row["lines"] == len(parts)


async def extend_reservations(transaction: Transaction, caller: Owner, deeds: Sequence[Deed]) -> None:
    """Move expiries, the last one for each id. The levels are locked, and the lines are held."""
    moments = {one.id: one.expires_at for one, _ in deeds}
    await transaction.execute(
        _EXTEND, caller.account_id, caller.environment, list(moments), list(moments.values())
    )


async def _lines(
    transaction: Transaction, caller: Owner, ids: Sequence[str]
) -> dict[str, tuple[HeldLine, ...]]:
    lines: dict[str, tuple[HeldLine, ...]] = {}
    for row in await transaction.fetch(_LINES, caller.account_id, caller.environment, ids):
        share = Share(row["position"], row["sku"], row["warehouse"], row["quantity"])
        held = HeldLine(share, row["confirmed"], row["state"])
        lines[row["reservation_id"]] = (*lines.get(row["reservation_id"], ()), held)
    return lines


def _reservation(row: Mapping[str, Any], caller: Owner, lines: tuple[HeldLine, ...]) -> Reservation:
    sourcing = row["sourcing"]
    return Reservation(
        row["reservation_id"],
        Owner(row["owner_id"], caller.environment),
        row["channel"],
        row["state"],
        row["expires_at"],
        row["partial"],
        msgspec.json.decode(row["requested"], type=tuple[Line, ...]),
        None if sourcing is None else msgspec.json.decode(sourcing, type=Sourced),
        lines,
    )

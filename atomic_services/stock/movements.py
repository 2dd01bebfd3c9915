"""The history of stock, page by page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from atomic_services.contract import CallContext
from atomic_services.stock.levels import Owner
from atomic_services.stock.planning_schema import Movement
from atomic_services.stock.schema import MovementsReply, MovementsRequest
from atomic_services.stock.together import bad_field

_PAGE = """
    SELECT id, kind, sku, warehouse, on_hand_change, reserved_change, quarantined_change, reason, reservation_id,
           call_id, party_id, channel, occurred_at
    FROM stock.movement
    WHERE account_id = $1 AND environment = $2
      AND ($3::text IS NULL OR party_id = $3)
      AND ($4::text IS NULL OR sku = $4)
      AND ($5::text IS NULL OR warehouse = $5)
      AND ($6::text IS NULL OR kind = $6)
      AND ($7::text IS NULL OR reservation_id = $7)
      AND ($8::timestamptz IS NULL OR occurred_at >= $8)
      AND ($9::timestamptz IS NULL OR occurred_at < $9)
      AND ($10::bigint IS NULL OR id < $10)
    ORDER BY id DESC LIMIT $11
"""


async def movements(request: MovementsRequest, context: CallContext) -> MovementsReply:
    """The newest first. What the caller did with another account's stock is its own to see, and nothing else of it."""
    owner = Owner.of(context, request.owner)
    rows = await context.unit_of_work().fetch(
        _PAGE,
        owner.account_id,
        owner.environment,
        None if owner.account_id == context.account_id else context.account_id,
        request.sku,
        request.warehouse,
        request.kind,
        request.reservation_id,
        _utc(request.since, "/since"),
        _utc(request.until, "/until"),
        None if request.after is None else int(request.after),
        request.limit + 1,
    )
    page = rows[: request.limit]
    following = str(page[-1]["id"]) if len(rows) > request.limit else None
    return MovementsReply(tuple(_movement(row) for row in page), following)


def _utc(moment: datetime | None, pointer: str) -> datetime | None:
    """The first and the last day of the calendar have offsets under which they are not in it."""
    if moment is None:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise bad_field(pointer, "range", "this moment is outside the years 1 to 9999 in UTC") from None


def _movement(row: Mapping[str, Any]) -> Movement:
    return Movement(
        row["kind"],
        row["sku"],
        row["warehouse"],
        row["on_hand_change"],
        row["reserved_change"],
        row["quarantined_change"],
        row["reason"],
        row["reservation_id"],
        row["call_id"],
        row["party_id"],
        row["channel"],
        row["occurred_at"],
    )

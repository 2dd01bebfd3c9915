"""The history of stock, page by page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from atomic_services.contract import CallContext
from atomic_services.stock.levels import Owner
from atomic_services.stock.planning_schema import Movement
from atomic_services.stock.schema import MovementsReply, MovementsRequest
from atomic_services.stock.together import bad_field
from catalog.vocabulary.ids import call_id_text

_COLUMNS = """
    id, kind, sku, warehouse, on_hand_change, reserved_change, quarantined_change, reason, reservation_id, call_id,
    party_id, channel, occurred_at
"""

# Movements that are looked at for one page: what a filter leaves of them may be few, and the search goes on behind them.
SCANNED_MAX = 10_000

# `past` tells that the search has come to movements of before `since`. An expiry is written down after its moment, any
# other movement within a call's deadline of it.
_FILTERED = """
    WITH scanned AS MATERIALIZED (
        SELECT {columns} FROM stock.movement WHERE {indexed} ORDER BY id DESC LIMIT {scanned}
    )
    SELECT seen.*, page.*
    FROM (SELECT count(*) AS count, min(id) AS last,
                 coalesce(bool_or(kind <> 'expire' AND occurred_at < {since} - interval '1 minute'), false) AS past
          FROM scanned) AS seen
    LEFT JOIN LATERAL (
        SELECT * FROM scanned WHERE {filters} ORDER BY id DESC LIMIT {limit}::bigint
    ) AS page ON true
    ORDER BY id DESC
"""
_UNFILTERED = "SELECT {columns} FROM stock.movement WHERE {indexed} ORDER BY id DESC LIMIT {limit}::bigint"


async def movements(request: MovementsRequest, context: CallContext) -> MovementsReply:
    """The newest first. What the caller did with another account's stock is its own to see, and nothing else of it.

    The time it takes does not grow with the history: a filter that no index serves is looked for in so many movements,
    and the page, which may be empty, says where to go on.
    """
    search = _search(request, context)
    statement = search.statement(search.argument(request.limit + 1))
    rows = await context.unit_of_work().fetch(statement, *search.arguments)
    page = [row for row in rows if row["id"] is not None]
    following = None
    if len(page) > request.limit:
        page = page[: request.limit]
        following = str(page[-1]["id"])
    elif search.filters and rows[0]["count"] == SCANNED_MAX and not rows[0]["past"]:
        following = str(rows[0]["last"])
    return MovementsReply(tuple(_movement(row) for row in page), following)


class _Search:
    """What is asked of the rows: conditions that an index serves, and those that filter what it finds."""

    def __init__(self) -> None:
        self.indexed: list[str] = []
        self.filters: list[str] = []
        self.arguments: list[object] = []
        self.since = "NULL::timestamptz"

    def argument(self, value: object) -> str:
        """A value and its place in the statement."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def where(self, conditions: list[str], **values: str | None) -> None:
        """Add a condition for each column that has a value."""
        conditions += [
            f"{column} = {self.argument(one)}" for column, one in values.items() if one is not None
        ]

    def statement(self, limit: str) -> str:
        """The statement for as many rows as that argument says: of these there are few, and all are prepared once."""
        form = _FILTERED if self.filters else _UNFILTERED
        return form.format(
            columns=_COLUMNS, indexed=" AND ".join(self.indexed), filters=" AND ".join(self.filters), since=self.since,
            scanned=SCANNED_MAX, limit=limit,
        )  # fmt: skip


def _search(request: MovementsRequest, context: CallContext) -> _Search:
    owner, search = Owner.of(context, request.owner), _Search()
    search.where(search.indexed, account_id=owner.account_id, environment=owner.environment)
    if request.after is not None:
        search.indexed.append(f"id < {search.argument(int(request.after))}")
    # Each of these leads an index: the first that is given is used, and what else is given filters.
    leading = {
        "reservation_id": request.reservation_id,
        "party_id": None if owner.account_id == context.account_id else context.account_id,
        "sku": request.sku,
    }
    first = next((column for column, value in leading.items() if value is not None), None)
    if first is not None:
        search.where(search.indexed, **{first: leading.pop(first)})
    search.where(search.filters, **leading, warehouse=request.warehouse, kind=request.kind)
    if (since := _utc(request.since, "/since")) is not None:
        search.since = f"{search.argument(since)}::timestamptz"
        search.filters.append(f"occurred_at >= {search.since}")
    if (until := _utc(request.until, "/until")) is not None:
        search.filters.append(f"occurred_at < {search.argument(until)}")
    return search


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
        None if row["call_id"] is None else call_id_text(row["call_id"]),
        row["party_id"],
        row["channel"],
        row["occurred_at"],
    )

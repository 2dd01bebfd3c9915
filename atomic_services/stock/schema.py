"""What stock operations take and answer. Quantities are whole units; moments are UTC."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

LINES_MAX = 100
QUANTITY_MAX = 2_147_483_647
TTL_S_MAX = 86_400

# Visible ASCII to the very end: `$` would let Python, though not JSON Schema, accept a final line break.
_CODE = "^[!-~]+(?![\\s\\S])"

Sku = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=_CODE, description="Your code of the article; case matters."),
]
Warehouse = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=_CODE, description="Your code of the warehouse; case matters."),
]
ReservationId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=_CODE,
        description="Your own id of the reservation, such as the order number; unique per account and environment.",
    ),
]
Quantity = Annotated[int, Meta(ge=1, le=QUANTITY_MAX, description="Whole units.")]
Ttl = Annotated[
    int, Meta(ge=1, le=TTL_S_MAX, description="Seconds from this call until the units are free again.")
]
Condition = Literal["good", "quarantined"]
State = Literal["reserved", "confirmed", "released", "expired"]


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """An article and how many. Without `warehouse` the service chooses: one that has everything, else it splits."""

    sku: Sku
    quantity: Quantity
    warehouse: Warehouse | None = None


Lines = Annotated[
    tuple[Line, ...],
    Meta(
        min_length=1, max_length=LINES_MAX, description="1 to 100 lines; the same SKU may stand on several."
    ),
]


class AdjustRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt, a loss or the result of a count."""

    sku: Sku
    warehouse: Warehouse
    quantity: Annotated[
        int,
        Meta(
            ge=-QUANTITY_MAX,
            le=QUANTITY_MAX,
            description="Units that came in (positive) or went out (negative); not 0.",
        ),
    ]
    reason: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="Why, for the ledger of movements: `receipt`, `count`, …",
        ),
    ]
    condition: Annotated[
        Condition,
        Meta(description="Whether the units are `good`, or `quarantined`: on hand, but not to be reserved."),
    ] = "good"


class LevelReply(Struct, frozen=True):
    """The stock of one SKU in one warehouse: `on_hand = available + reserved + quarantined`."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    quarantined: int
    available: int


class AvailabilityRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which articles to look up, in all warehouses of the account."""

    skus: Annotated[tuple[Sku, ...], Meta(min_length=1, max_length=LINES_MAX, description="1 to 100 SKUs.")]


class SkuTotal(Struct, frozen=True):
    """One SKU over all warehouses; 0 where it was never stocked."""

    sku: str
    on_hand: int
    reserved: int
    quarantined: int
    available: int


class AvailabilityReply(Struct, frozen=True):
    """Totals in the order asked for, and every warehouse's level, sorted by SKU and warehouse."""

    skus: tuple[SkuTotal, ...]
    levels: tuple[LevelReply, ...]
    as_of: datetime


class ReserveRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Hold units of one or more articles for a while. All of them or none, unless `partial`."""

    reservation_id: ReservationId
    lines: Lines
    ttl_s: Ttl
    partial: Annotated[
        bool, Meta(description="Hold what there is, as long as it is at least one unit, instead of refusing.")
    ] = False


class Allocation(Struct, frozen=True):
    """The part of a line that one warehouse serves."""

    warehouse: str
    reserved: Annotated[int, Meta(description="Units held now.")]
    confirmed: Annotated[int, Meta(description="Units that have left the stock.")]


class ReservedLine(Struct, frozen=True):
    """A line as it was requested, and what became of it. `warehouse` is null where the choice was left open."""

    sku: str
    quantity: int
    warehouse: str | None
    reserved: Annotated[int, Meta(description="Units held now; 0 once the reservation is no longer held.")]
    confirmed: Annotated[int, Meta(description="Units that have left the stock.")]
    allocations: tuple[Allocation, ...]


class ReservationReply(Struct, frozen=True):
    """A reservation after the call, its lines in the order of the request that made it."""

    reservation_id: str
    state: State
    expires_at: datetime
    lines: tuple[ReservedLine, ...]


class ConfirmRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Take the held units out of the stock. With `lines` only those; the rest is released: each hold ends once."""

    reservation_id: ReservationId
    lines: Lines | None = None


class ReleaseRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Give the held units back."""

    reservation_id: ReservationId


class ExtendRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Hold the units until `ttl_s` from now; never shorter than before."""

    reservation_id: ReservationId
    ttl_s: Ttl

"""What stock operations take and answer. Quantities are whole units; moments are UTC."""

from datetime import date, datetime
from typing import Annotated

from msgspec import Meta, Struct

from atomic_services.stock.fields import (
    LINES_MAX,
    QUANTITY_MAX,
    Channel,
    Condition,
    Days,
    Line,
    Lines,
    Reference,
    ReservationId,
    Sku,
    Skus,
    State,
    StockOwner,
    Ttl,
    Warehouse,
)
from atomic_services.stock.planning_schema import (
    ExpectReply,
    ExpectRequest,
    MovementsReply,
    MovementsRequest,
    ReplenishReply,
    ReplenishRequest,
)
from atomic_services.stock.rules_schema import ConfigureReply, ConfigureRequest
from atomic_services.stock.sourcing import Rule
from catalog.vocabulary.described import described

__all__ = [
    "LINES_MAX",
    "AdjustRequest",
    "Allocation",
    "AvailabilityReply",
    "AvailabilityRequest",
    "ConfigureReply",
    "ConfigureRequest",
    "ConfirmRequest",
    "ExpectReply",
    "ExpectRequest",
    "ExtendRequest",
    "LevelReply",
    "Line",
    "MovementsReply",
    "MovementsRequest",
    "Promise",
    "ReleaseRequest",
    "ReplenishReply",
    "ReplenishRequest",
    "ReservationReply",
    "ReserveRequest",
    "ReservedLine",
    "SkuTotal",
    "Sourced",
    "StockLevel",
]


class AdjustRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt, a loss, the result of a count, or units that change their condition."""

    sku: Sku
    warehouse: Warehouse
    quantity: Annotated[
        int,
        described(
            "Units that came in (positive) or went out (negative); not 0.",
            "入库（正）或出库（负）的数量，不为 0。",
            ge=-QUANTITY_MAX,
            le=QUANTITY_MAX,
        ),
        Meta(extra_json_schema={"not": {"const": 0}}),
    ]
    reason: Annotated[
        str,
        described(
            "Why, for the ledger of movements: `receipt`, `count`, …",
            "变动原因，记入库存流水：`receipt`、`count` 等。",
            min_length=1,
            max_length=200,
        ),
    ]
    condition: Annotated[
        Condition,
        described(
            "Whether the units are `good`, or `quarantined`: on hand, but not to be reserved.",
            "`good` 为良品；`quarantined` 为待检：在库但不可预留。",
        ),
    ] = "good"
    moved: Annotated[
        bool,
        described(
            "The units are on hand already and only change to `condition` (a positive quantity).",
            "货已在库，仅改变为 `condition`（数量为正）。",
        ),
    ] = False
    supply: Annotated[
        Reference | None,
        described(
            "The expected supply that these units are a part of: so much less is still to come.",
            "所属的预期到货批次：其待到数量相应减少。",
        ),
    ] = None


class LevelReply(Struct, frozen=True):
    """The stock of one SKU in one warehouse: `on_hand = available + reserved + quarantined`."""

    sku: str
    warehouse: str
    on_hand: int
    reserved: int
    quarantined: int
    available: int
    safety_stock: int


class AvailabilityRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which articles to look up, in all warehouses: the caller's own, or those of a channel."""

    skus: Skus
    owner: StockOwner | None = None
    channel: Channel | None = None
    horizon_days: Annotated[
        Days | None,
        described("Also say what can be promised on each day until then.", "同时给出此后每天的可承诺量。"),
    ] = None


class Promise(Struct, frozen=True):
    """From this day on: what can be promised in all, the units on hand and every supply until then counted once."""

    on: date
    inbound: Annotated[int, described("Units that are expected on that very day.", "当天预计到货的数量。")]
    promisable: Annotated[
        int,
        described(
            "Units that can be promised by that day, earlier ones included.",
            "截至当天可承诺的数量，含更早的部分。",
        ),
    ]


class StockLevel(LevelReply, frozen=True):
    """A level, what of it can be promised now, and with `horizon_days` what can be promised later."""

    promisable: Annotated[
        int,
        described(
            "Units that a reservation could have: less the safety stock, and 0 while held.",
            "可供预留的数量：已扣除安全库存；暂停期间为 0。",
        ),
    ]
    held: Annotated[
        bool, described("Whether the owner's rule holds new orders of it back.", "货主规则是否暂停其新订单。")
    ]
    promises: tuple[Promise, ...]


class SkuTotal(Struct, frozen=True):
    """One SKU over all warehouses; 0 where it was never stocked."""

    sku: str
    on_hand: int
    reserved: int
    quarantined: int
    available: int
    safety_stock: int
    promisable: int
    promises: tuple[Promise, ...]


class AvailabilityReply(Struct, frozen=True):
    """Totals in the order asked for, and every warehouse's level, sorted by SKU and warehouse."""

    skus: tuple[SkuTotal, ...]
    levels: tuple[StockLevel, ...]
    as_of: datetime


class ReserveRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Hold units of one or more articles for a while. All of them or none, unless `partial`."""

    reservation_id: ReservationId
    lines: Lines
    ttl_s: Ttl
    partial: Annotated[
        bool,
        described(
            "Hold what there is, as long as it is at least one unit, instead of refusing.",
            "库存不足时按现有数量预留（至少一件），而非拒绝。",
        ),
    ] = False
    owner: StockOwner | None = None
    channel: Channel | None = None


class Allocation(Struct, frozen=True):
    """The part of a line that one warehouse serves."""

    warehouse: str
    reserved: Annotated[int, described("Units held now.", "当前预留的数量。")]
    confirmed: Annotated[int, described("Units that have left the stock.", "已出库的数量。")]


class ReservedLine(Struct, frozen=True):
    """A line as it was requested, and what became of it. `warehouse` is null where the choice was left open."""

    sku: str
    quantity: int
    warehouse: str | None
    reserved: Annotated[
        int,
        described(
            "Units held now; 0 once the reservation is no longer held.", "当前预留的数量；预留结束后为 0。"
        ),
    ]
    confirmed: Annotated[int, described("Units that have left the stock.", "已出库的数量。")]
    allocations: tuple[Allocation, ...]


class Sourced(Struct, frozen=True):
    """By which rule of the owner the warehouses were chosen, and why these."""

    rule: Rule
    why: str


class ReservationReply(Struct, frozen=True):
    """A reservation after the call, its lines in the order of the request that made it.

    `owner` and `channel` are null for own stock, `sourcing` for reservations made before it was recorded.
    """

    reservation_id: str
    state: State
    expires_at: datetime
    lines: tuple[ReservedLine, ...]
    owner: str | None
    channel: str | None
    sourcing: Sourced | None


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

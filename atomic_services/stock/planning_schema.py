"""What the operations about the past and the future of stock take and answer: movements, supplies, proposals."""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Struct

from atomic_services.stock.fields import (
    CallId,
    ExpectedOn,
    Reference,
    ReservationId,
    Sku,
    Skus,
    StockOwner,
    Units,
    Warehouse,
)
from catalog.vocabulary.described import described

MovementKind = Literal["adjust", "reserve", "confirm", "release", "expire"]
PAGE_MAX = 1_000
_AFTER = "^[0-9]{1,18}(?![\\s\\S])"


class MovementsRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which movements, the newest first. With `owner`, those that the caller itself made of that account's stock."""

    sku: Sku | None = None
    warehouse: Warehouse | None = None
    kind: MovementKind | None = None
    reservation_id: ReservationId | None = None
    since: Annotated[datetime, described("Not before this moment.", "不早于此时刻。", tz=True)] | None = None
    until: Annotated[datetime, described("Before this moment.", "早于此时刻。", tz=True)] | None = None
    owner: StockOwner | None = None
    after: (
        Annotated[str, described("The `next` of the page before.", "上一页的 `next`。", pattern=_AFTER)]
        | None
    ) = None
    limit: Annotated[
        int, described("Movements on a page, 1 to 1,000.", "每页流水条数，1 至 1,000。", ge=1, le=PAGE_MAX)
    ] = 100


class Movement(Struct, frozen=True):
    """One change of one level; it is never changed itself. `party` is the account that made it through `channel`."""

    kind: MovementKind
    sku: str
    warehouse: str
    on_hand_change: int
    reserved_change: int
    quarantined_change: int
    reason: str | None
    reservation_id: str | None
    call_id: Annotated[
        CallId | None,
        described("The call that caused it; null for an expiry.", "引起变动的调用；到期释放时为 null。"),
    ]
    party: str | None
    channel: str | None
    occurred_at: datetime


class MovementsReply(Struct, frozen=True):
    """A page of movements, and where the next one begins; null after the last."""

    data: tuple[Movement, ...]
    next: Annotated[
        str | None,
        described(
            "Where the next page begins; null after the last. Where a filter leaves little, a page may have fewer "
            "movements than `limit`, even none, while there are more.",
            "下一页的起点；没有更多时为 null。按条件筛选时，一页可能少于 `limit` 条甚至为空，但仍有后续。",
        ),
    ]


class ExpectRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Units that are on their way. The same reference, SKU and warehouse again replaces what was said before."""

    reference: Reference
    sku: Sku
    warehouse: Warehouse
    quantity: Annotated[
        Units,
        described(
            "Units of the whole supply, received ones included; 0 cancels it.",
            "该批到货的总数，含已收部分；0 表示取消。",
        ),
    ]
    expected_on: ExpectedOn


class ExpectReply(Struct, frozen=True):
    """A supply: of `quantity` units, `received` have come and `open` are still expected."""

    reference: str
    sku: str
    warehouse: str
    quantity: int
    received: int
    open: int
    expected_on: date


class ReplenishRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which levels to look at: all of a warehouse that have a minimum and a maximum, or those of some SKUs."""

    warehouse: Warehouse
    skus: Skus | None = None
    demand_days: Annotated[
        int,
        described(
            "The average demand is that of the last so many days.", "平均需求取最近若干天。", ge=1, le=365
        ),
    ] = 28


class Proposal(Struct, frozen=True):
    """How many units to order now, and every figure that it follows from; `why` says it in words."""

    sku: str
    quantity: Annotated[
        int, described("Units to order; 0 if nothing is needed.", "建议订货数量；无需订货时为 0。")
    ]
    packs: int
    on_hand: int
    quarantined: int
    committed: Annotated[int, described("Units that are reserved.", "已预留的数量。")]
    inbound: Annotated[
        int, described("Units that are on order, late ones included.", "在途数量，含逾期未到的。")
    ]
    sold: Annotated[
        int, described("Units that were confirmed in `demand_days`.", "`demand_days` 内确认出库的数量。")
    ]
    lead_time_days: int
    lead_time_demand: Annotated[
        int, described("Units that will be sold until an order arrives.", "订货到达前预计售出的数量。")
    ]
    projected: Annotated[
        int, described("Units on an order's arrival without that order.", "若不下此单，到货时的预计库存。")
    ]
    projected_after: int
    minimum: int
    maximum: int
    pack_size: int
    minimum_order: int
    why: tuple[str, ...]


class ReplenishReply(Struct, frozen=True):
    """A proposal for each level with a rule, by SKU; at most 1,000."""

    warehouse: str
    demand_days: int
    proposals: tuple[Proposal, ...]
    as_of: datetime

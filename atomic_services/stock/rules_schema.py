"""What an owner can decide about its stock, and how it reads that back."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from atomic_services.stock.fields import (
    AccountId,
    CallId,
    Channel,
    Days,
    Quantity,
    Sku,
    Skus,
    Units,
    Warehouse,
)
from atomic_services.stock.sourcing import Rule
from catalog.vocabulary.described import described

ENTRIES_MAX = 100
# An owner and a channel of it.
_PLACE = "^[!-~]{1,64} [!-~]{1,64}(?![\\s\\S])"
_WAREHOUSES = described(
    "The warehouses in the order of your preference.", "按您的优先次序排列的仓库。", max_length=ENTRIES_MAX
)


class SourcingRule(Struct, frozen=True, forbid_unknown_fields=True):
    """`single_warehouse`: one that has everything, else the fullest first. `fewest_splits`: as few as possible.
    `priority`: strictly in the order of the list. The list also decides between equals under the other rules."""

    rule: Rule
    priority: Annotated[tuple[Warehouse, ...], _WAREHOUSES] = ()


class HoldRule(Struct, frozen=True, forbid_unknown_fields=True):
    """New orders wait while less than the safety stock is available and no supply is expected within `days`."""

    enabled: bool
    days: Days = 7


class Replenishment(Struct, frozen=True, forbid_unknown_fields=True):
    """When and how much to order: below `minimum`, up to `maximum`, in whole packs."""

    minimum: Units
    maximum: Units
    pack_size: Quantity = 1
    minimum_order: Quantity = 1
    lead_time_days: Days = 0


class LevelRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for one SKU in one warehouse; what is left out stays as it is."""

    sku: Sku
    warehouse: Warehouse
    safety_stock: Units | None = None
    replenishment: Replenishment | None = None


class ChannelRule(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the stock for one account: which SKUs, where, and how many units in all, sold ones included."""

    channel: Channel
    grantee: AccountId
    skus: Annotated[
        Sku,
        described(
            "One SKU, or with a final `*` every SKU that begins so; `*` is every SKU.",
            "一个 SKU；以 `*` 结尾表示所有以此开头的 SKU；`*` 表示全部。",
        ),
    ]
    quota: Units
    warehouse: Annotated[
        Warehouse | None, described("Only this warehouse; any without it.", "仅限此仓库；不传则不限。")
    ] = None
    active: Annotated[
        bool, described("`false` ends it for new reservations.", "`false` 表示不再接受新的预留。")
    ] = True


class ConfigureRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What is given is set, what is left out stays. Without any of it the call only reads."""

    sourcing: SourcingRule | None = None
    hold: HoldRule | None = None
    promise_safety_stock: Annotated[
        bool | None,
        described(
            "Whether reservations may use the safety stock; `false` at first.",
            "预留是否可动用安全库存；初始为 `false`。",
        ),
    ] = None
    levels: Annotated[tuple[LevelRule, ...], Meta(max_length=ENTRIES_MAX)] = ()
    channels: Annotated[tuple[ChannelRule, ...], Meta(max_length=ENTRIES_MAX)] = ()
    skus: Annotated[
        Skus | None, described("SKUs whose rules are to be read as well.", "需要一并读取规则的 SKU。")
    ] = None
    channels_after: (
        Annotated[
            str,
            described(
                "The `channels_next` of the reply before.", "上一次应答的 `channels_next`。", pattern=_PLACE
            ),
        ]
        | None
    ) = None


class ChannelState(Struct, frozen=True):
    """A channel, what was sold under it, what is held, and what of its quota is left."""

    owner: str
    channel: str
    grantee: str
    skus: str
    warehouse: str | None
    quota: int
    sold: int
    reserved: int
    left: int
    active: bool


class RuleChange(Struct, frozen=True):
    """Who set what, and when: `document` is what the call sent."""

    call_id: CallId
    application_id: str
    occurred_at: datetime
    document: dict[str, Any]


class ConfigureReply(Struct, frozen=True):
    """The rules in force: `levels` are those of the SKUs that the call named, `changes` the last 20.

    Of the channels, own ones by name and then those of others, 100 at a time: with `channels_after` the next ones. Those
    that the call sets are always among them.
    """

    sourcing: SourcingRule
    hold: HoldRule
    promise_safety_stock: bool
    levels: tuple[LevelRule, ...]
    granted: Annotated[tuple[ChannelState, ...], described("Channels of your stock.", "您的库存渠道。")]
    received: Annotated[
        tuple[ChannelState, ...], described("Channels that others granted you.", "他人授予您的渠道。")
    ]
    changes: tuple[RuleChange, ...]
    channels_next: Annotated[
        str | None,
        described(
            "Where the next channels begin; null after the last.", "下一批渠道的起点；没有更多时为 null。"
        ),
    ] = None

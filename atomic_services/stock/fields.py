"""The words that stock requests are made of, with their bounds. Quantities are whole units; moments are UTC."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Struct

from catalog.vocabulary.described import described

LINES_MAX = 100
QUANTITY_MAX = 2_147_483_647
TTL_S_MAX = 86_400
HORIZON_DAYS_MAX = 365

# Visible ASCII to the very end: `$` would let Python, though not JSON Schema, accept a final line break.
_CODE = "^[!-~]+(?![\\s\\S])"

Sku = Annotated[
    str,
    described(
        "Your code of the article; case matters.",
        "您的商品编码，区分大小写。",
        min_length=1,
        max_length=64,
        pattern=_CODE,
    ),
]
Warehouse = Annotated[
    str,
    described(
        "Your code of the warehouse; case matters.",
        "您的仓库编码，区分大小写。",
        min_length=1,
        max_length=64,
        pattern=_CODE,
    ),
]
ReservationId = Annotated[
    str,
    described(
        "Your own id of the reservation, such as the order number; unique per account and environment.",
        "您自定的预留编号，如订单号；在账户与环境内唯一。",
        min_length=1,
        max_length=128,
        pattern=_CODE,
    ),
]
Quantity = Annotated[int, described("Whole units.", "整数单位。", ge=1, le=QUANTITY_MAX)]
Units = Annotated[int, described("Whole units, or 0.", "整数单位，或 0。", ge=0, le=QUANTITY_MAX)]
Days = Annotated[
    int, described("Days, counted by the UTC calendar.", "天数，按 UTC 日历计算。", ge=0, le=HORIZON_DAYS_MAX)
]
Ttl = Annotated[
    int,
    described(
        "Seconds from this call until the units are free again.",
        "自本次调用起至自动释放的秒数。",
        ge=1,
        le=TTL_S_MAX,
    ),
]
AccountId = Annotated[
    str,
    described(
        "An account's id, such as `acct_…`.",
        "账户编号，如 `acct_…`。",
        min_length=1,
        max_length=64,
        pattern=_CODE,
    ),
]
StockOwner = Annotated[
    AccountId,
    described(
        "Whose stock: an account that granted you a channel; your own without it.",
        "谁的库存：授予您渠道的账户；不传则为您自己的。",
    ),
]
Channel = Annotated[
    str,
    described(
        "The owner's name of a part of its stock.",
        "货主为其部分库存所起的名称。",
        min_length=1,
        max_length=64,
        pattern=_CODE,
    ),
]
Reference = Annotated[
    str,
    described(
        "Your id of a supply, such as its order.",
        "您的到货编号，如采购单号。",
        min_length=1,
        max_length=128,
        pattern=_CODE,
    ),
]
ExpectedOn = Annotated[
    date, described("The day on which the units will be there (UTC calendar).", "预计到货日（UTC 日历）。")
]
Condition = Literal["good", "quarantined"]
State = Literal["reserved", "confirmed", "released", "expired"]


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """An article and how many. Without `warehouse` the owner's sourcing rule chooses."""

    sku: Sku
    quantity: Quantity
    warehouse: Warehouse | None = None


Lines = Annotated[
    tuple[Line, ...],
    described(
        "1 to 100 lines; the same SKU may stand on several.",
        "1 至 100 行；同一 SKU 可出现在多行。",
        min_length=1,
        max_length=LINES_MAX,
    ),
]
Skus = Annotated[
    tuple[Sku, ...], described("1 to 100 SKUs.", "1 至 100 个 SKU。", min_length=1, max_length=LINES_MAX)
]

CallId = Annotated[
    str,
    described(
        "A call, as its reply named it in `Ordergate-Call-Id`.",
        "调用编号，与其回复头 Ordergate-Call-Id 一致。",
        pattern="^call_[0-9a-f]{32}$",
        examples=["call_019a9d3c5a7e7c03a1f2b3c4d5e6f708"],
    ),
]

"""How a place of UN/LOCODE is told, and what it can be filtered by."""

from typing import Annotated, Literal

import msgspec

from catalog.vocabulary.described import described

FUNCTIONS_MAX = 8

Function = Annotated[
    Literal["port", "rail", "road", "airport", "postal", "inland", "fixed", "border"],
    described(
        "What the place is for trade: port, rail terminal, road terminal, airport, postal exchange office, inland "
        "clearance depot or other multimodal terminal, fixed installation such as a pipeline or oil platform, border crossing.",
        "该地点的贸易运输功能：港口、铁路货站、公路货站、机场、国际邮件互换局、内陆清关或多式联运场站、固定设施（管道、石油平台等）、边境口岸。",
    ),
]


class UnLocode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place of UN/LOCODE, UNECE Recommendation 16.

    What the list does not say is absent.
    """

    code: Annotated[
        str,
        described("Country and place.", "国家代码加地点代码。", pattern=r"^[A-Z]{2}[A-Z2-9]{3}(?![\s\S])"),
    ]
    name: Annotated[str, described("The name as the list writes it.", "代码表中的名称。")]
    functions: tuple[Function, ...]
    status: Annotated[
        str,
        described(
            "How far the entry is approved, in the list's own letters: AA, AC, AF, AI, AM, AS approved; RL, RN recognised; "
            "RQ under consideration; QQ not verified.",
            "条目的核准状态（沿用代码表）：AA、AC、AF、AI、AM、AS 为已核准；RL、RN 为已确认存在；RQ 为审议中；QQ 为未核实。",
        ),
    ]
    subdivision: Annotated[
        str | None,
        described("ISO 3166-2 without the country.", "不含国家部分的 ISO 3166-2 代码。", examples=["SH"]),
    ] = None
    iata: Annotated[
        str | None,
        described(
            "The IATA code where it differs from the last three letters of the code.",
            "IATA 代码，仅在与代码后三位不同时给出。",
        ),
    ] = None
    latitude: Annotated[
        float | None,
        described(
            "Decimal degrees, from whole minutes; north is positive.", "十进制度（精确到分），北纬为正。"
        ),
    ] = None
    longitude: Annotated[
        float | None,
        described(
            "Decimal degrees, from whole minutes; east is positive.", "十进制度（精确到分），东经为正。"
        ),
    ] = None

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

    `subdivision` is ISO 3166-2 without the country (SH). `status` is the list's own: of AA to AS approved, RL and RN
    recognised, RQ under consideration, QQ not verified. `iata` is given only where it differs from the last three letters
    of the code. Coordinates are decimal degrees (WGS 84), rounded to four digits from whole minutes.
    """

    code: Annotated[
        str,
        described("Country and place.", "国家代码加地点代码。", pattern=r"^[A-Z]{2}[A-Z2-9]{3}(?![\s\S])"),
    ]
    name: str
    functions: tuple[Function, ...]
    status: str
    subdivision: str | None = None
    iata: str | None = None
    latitude: float | None = None
    longitude: float | None = None

"""What `suggest` takes and answers."""

from typing import Annotated, Literal

import msgspec

from atomic_services.address.fields import NAME_LENGTH_MAX, Candidate, Country, Language, Source
from atomic_services.address.locode_schema import FUNCTIONS_MAX, Function
from catalog.vocabulary.described import described

PLACE_CODE_LENGTH_MAX = 400
SUGGESTIONS_MAX = 20
SUGGESTIONS_USUAL = 10


class SuggestRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What was typed so far, and where to look."""

    text: Annotated[
        str,
        described(
            "The beginning of a name in any script, in pinyin or in pinyin initials; larger places may stand before it. "
            "Or a UN/LOCODE.",
            "已输入的内容：任意文字、拼音或拼音首字母的名称开头，前面可带上级地名；也可输入 UN/LOCODE 代码。",
            max_length=NAME_LENGTH_MAX,
            examples=["浙江杭州西", "hzxh", "Calif"],
        ),
    ]
    country: Country | None = None
    language: Language | None = None
    limit: Annotated[
        int, described("How many suggestions at most.", "最多返回多少条建议。", ge=1, le=SUGGESTIONS_MAX)
    ] = SUGGESTIONS_USUAL
    within: (
        Annotated[
            str,
            described(
                "The `code` of a place that was chosen before; only what lies in it is suggested, all of it where "
                "`text` is empty.",
                "已选地点的 code；只建议其下级地点，text 为空时列出全部。",
                max_length=PLACE_CODE_LENGTH_MAX,
                examples=["330100", "US-CA"],
            ),
        ]
        | None
    ) = None
    functions: Annotated[
        tuple[Function, ...],
        described(
            "Only places of UN/LOCODE with at least one of these functions.",
            "仅返回具有其中至少一项功能的 UN/LOCODE 地点。",
            max_length=FUNCTIONS_MAX,
            examples=[["port"]],
        ),
    ] = ()


PlaceLevel = Literal["administrative_area", "locality", "dependent_locality", "street"]
PlaceKind = Annotated[
    Literal["division", "region", "un_locode"],
    described(
        "division: of China, by GB/T 2260. region: of any country, by its postal metadata. un_locode: a port, airport, "
        "terminal or other trade place of UN/LOCODE.",
        "division：中国行政区划（GB/T 2260）；region：各国邮政元数据中的地区；un_locode：UN/LOCODE 中的港口、机场、场站等贸易运输地点。",
    ),
]
Match = Annotated[
    Literal["whole", "beginning", "initials", "path", "similar"],
    described(
        "whole: the name itself or the code of UN/LOCODE. beginning: its beginning. initials: of its pinyin. path: larger places and then the "
        "beginning. similar: with one letter more, less, wrong or exchanged.",
        "whole：名称或 UN/LOCODE 代码完整相同；beginning：名称开头；initials：拼音首字母；path：上级地名加名称开头；similar：多、少、错或颠倒一个字母。",
    ),
]


class Highlight(msgspec.Struct, frozen=True):
    """Characters of `text` that were typed: the position of the first, from 0, and how many."""

    start: int
    length: int


class Suggestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place. `code` is GB/T 2260, ISO 3166-2 or, where there is neither, country and names; `within` takes it.
    For kind un_locode it is the UN/LOCODE, in which nothing lies; the place counts as a locality, and only it has `functions`.

    `text` is the name of the place, `address` holds the fields to put into an address. A street is a Chinese town or
    sub-district with its nine-digit code, suggested only within its county; it belongs into the lines of an address,
    and nothing lies in it.
    """

    text: str
    level: PlaceLevel
    kind: PlaceKind
    code: str
    match: Match
    country: Country
    address: Candidate
    highlights: tuple[Highlight, ...] = ()
    functions: tuple[Function, ...] = ()


class SuggestReply(msgspec.Struct, frozen=True, kw_only=True):
    """Best first: by how well the text matches, then large places before small ones and places of UN/LOCODE behind them,
    those with many functions first, then in the order of the codes."""

    suggestions: tuple[Suggestion, ...]
    sources: tuple[Source, ...]

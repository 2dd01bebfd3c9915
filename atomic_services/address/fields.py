"""The fields and parts that several requests and replies share. Lengths are in characters."""

from typing import Annotated

import msgspec
from msgspec import Meta

from catalog.vocabulary.described import described

LINE_LENGTH_MAX = 200
LINES_MAX = 8
NAME_LENGTH_MAX = 120
POSTAL_CODE_LENGTH_MAX = 20
SORTING_CODE_LENGTH_MAX = 40
TEXT_LENGTH_MAX = 1000

Country = Annotated[
    str,
    described(
        "ISO 3166-1 alpha-2 code of the destination.",
        "目的地的 ISO 3166-1 二位国家代码。",
        pattern=r"^[A-Za-z]{2}(?![\s\S])",
        examples=["CN", "DE", "US"],
    ),
]
Line = Annotated[str, Meta(max_length=LINE_LENGTH_MAX)]
Lines = Annotated[
    list[Line],
    described(
        "Street address, most specific part first, as it is written on a label. For China the "
        "first line may begin with province, city and district when their own fields are absent.",
        "街道地址，按面单写法，最具体的部分在前。中国地址若未单独填写省、市、区，首行可由其开头。",
        max_length=LINES_MAX,
        examples=[["Invalidenstr. 116"], ["广东省深圳市南山区深南大道9988号"]],
    ),
]
Name = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
AdministrativeArea = Annotated[
    str,
    described(
        "Province, state or prefecture: its code or any of its names.",
        "省、州或都道府县：代码或任一名称。",
        max_length=NAME_LENGTH_MAX,
        examples=["广东省"],
    ),
]
Locality = Annotated[
    str,
    described(
        "City, post town or district.",
        "城市、邮政城镇或地区。",
        max_length=NAME_LENGTH_MAX,
        examples=["深圳市"],
    ),
]
DependentLocality = Annotated[
    str,
    described(
        "The part of a locality; in China the district.",
        "城市的下级；在中国为区县。",
        max_length=NAME_LENGTH_MAX,
        examples=["南山区"],
    ),
]
PostalCode = Annotated[
    str,
    described(
        "Postal code, with or without its separators.",
        "邮政编码，可带或不带分隔符。",
        max_length=POSTAL_CODE_LENGTH_MAX,
    ),
]
SortingCode = Annotated[
    str, described("For example CEDEX in France.", "例如法国的 CEDEX。", max_length=SORTING_CODE_LENGTH_MAX)
]
Language = Annotated[
    str,
    described(
        "BCP 47 tag of the language to write the address in. A language other than the country's "
        "own gives Latin names and the international order, where the country has them.",
        "书写地址所用语言的 BCP 47 标签。若非该国语言，则在有数据时给出拉丁字母名称与国际顺序。",
        pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*(?![\s\S])",
        max_length=35,
        examples=["zh", "en"],
    ),
]


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several places that the input may mean."""

    administrative_area: str | None = None
    locality: str | None = None
    dependent_locality: str | None = None
    code: str | None = None
    street: str | None = None


class Source(msgspec.Struct, frozen=True):
    """A reference table that the answer stands on, and the version of it."""

    name: str
    version: str

"""What `format` takes and answers."""

from typing import Annotated

import msgspec
from msgspec import Meta

from atomic_services.address.fields import LINE_LENGTH_MAX, Country, Language, Source
from catalog.vocabulary.described import described, worded

COMPONENTS_MAX = 40

ComponentName = Annotated[
    str,
    worded(
        "a name that begins with a letter, of at most 40 letters, digits and _ : . -",
        pattern=r"^[A-Za-z][A-Za-z0-9_:.-]{0,39}(?![\s\S])",
    ),
]
ComponentValue = Annotated[str, Meta(max_length=LINE_LENGTH_MAX)]
Components = Annotated[
    dict[ComponentName, ComponentValue],
    described(
        "Parts of the address by name: house_number, house, road, neighbourhood, suburb, village, town, city, "
        "municipality, county, state_district, postcode, state, region, island, country and their synonyms (street, "
        "building, province, postal_code and others). The value under any other name, such as the name of a shop, "
        "is printed in the line of the addressee.",
        "按名称给出的地址组成部分：house_number、house、road、neighbourhood、suburb、village、town、city、municipality、county、"
        "state_district、postcode、state、region、island、country 及其同义名（street、building、province、postal_code 等）。"
        "其他名称的值（如店铺名）打印在收件人一行。",
        max_length=COMPONENTS_MAX,
        examples=[{"house_number": "116", "road": "Invalidenstraße", "postcode": "10115", "city": "Berlin"}],
    ),
]


class FormatRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The parts of an address to write down.

    Without `country` the component country_code decides, and without both the form common to most countries serves.
    """

    components: Components
    country: Country | None = None
    language: Language | None = None
    abbreviate: Annotated[
        bool,
        described(
            "Write usual short words (Ave, NY) in the languages that have them.",
            "使用该语言常用的缩写（如 Ave、NY）。",
        ),
    ] = False


class FormatReply(msgspec.Struct, frozen=True, kw_only=True):
    """The address as it is written in its country: lines, and the same as one text with line feeds between them.

    `country` is the one whose form was used, null for the common form; dependent territories use another country's.
    """

    country: str | None
    formatted: tuple[str, ...]
    text: str
    sources: tuple[Source, ...]

"""What the operations take and answer. Lengths are in characters; every optional text may be absent or null."""

from typing import Annotated, Literal

import msgspec

# `X as X`: the passport names every type as schema.py:Name, wherever it is defined.
from atomic_services.address.fields import LINE_LENGTH_MAX as LINE_LENGTH_MAX
from atomic_services.address.fields import NAME_LENGTH_MAX as NAME_LENGTH_MAX
from atomic_services.address.fields import POSTAL_CODE_LENGTH_MAX as POSTAL_CODE_LENGTH_MAX
from atomic_services.address.fields import SORTING_CODE_LENGTH_MAX as SORTING_CODE_LENGTH_MAX
from atomic_services.address.fields import TEXT_LENGTH_MAX as TEXT_LENGTH_MAX
from atomic_services.address.fields import (
    AdministrativeArea,
    Country,
    DependentLocality,
    Language,
    Lines,
    Locality,
    Name,
    PostalCode,
    SortingCode,
)
from atomic_services.address.fields import Candidate as Candidate
from atomic_services.address.fields import Source as Source
from atomic_services.address.format_schema import FormatReply as FormatReply
from atomic_services.address.format_schema import FormatRequest as FormatRequest
from atomic_services.address.locode_schema import UnLocode as UnLocode
from atomic_services.address.suggest_schema import SuggestReply as SuggestReply
from atomic_services.address.suggest_schema import SuggestRequest as SuggestRequest
from catalog.vocabulary.described import described
from catalog.vocabulary.problem import Text


class Address(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A postal address; also the form in which the normalised address comes back."""

    country: Country
    lines: Lines
    administrative_area: AdministrativeArea | None = None
    locality: Locality | None = None
    dependent_locality: DependentLocality | None = None
    postal_code: PostalCode | None = None
    sorting_code: SortingCode | None = None
    organization: Name | None = None
    recipient: Name | None = None
    language: Language | None = None


class ValidateRequest(Address, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The address to judge."""


class NormaliseRequest(Address, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The address to bring into its canonical form."""


Status = Annotated[
    Literal["confirmed", "corrected", "inferred", "missing", "unconfirmed", "unexpected"],
    described(
        "confirmed: agrees with reference data. corrected: written differently than given. "
        "inferred: not given, and follows without doubt. missing: needed, and absent. "
        "unconfirmed: no reference data confirms it. unexpected: given, and not used by the "
        "country.",
        "confirmed：与参考数据一致；corrected：已改写；inferred：未提供但可确定"
        "；missing：需要但缺失；unconfirmed：无参考数据可证实；unexpected：已"
        "提供但该国不使用。",
    ),
]
Verdict = Literal["valid", "corrected", "ambiguous", "incomplete", "invalid"]
NextAction = Annotated[
    Literal["accept", "confirm", "fix"],
    described(
        "accept: use it. confirm: show `address` to the customer. fix: ask for what `findings` name.",
        "accept：可直接使用；confirm：请客户确认 `address`；fix：按 `findings` 补正。",
    ),
]
Severity = Literal["error", "warning", "info"]


class Component(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field of the answer. `given` is what was sent where that differs; `code` is GB/T 2260 or ISO 3166-2."""

    name: str
    value: str | None
    status: Status
    given: str | None = None
    code: str | None = None


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was noticed; `pointer` is a JSON pointer (RFC 6901) into the request."""

    rule: str
    severity: Severity
    pointer: str
    message: Annotated[Text, described("What was noticed, for people.", "所发现的情况，供人阅读。")]
    remedy: Annotated[Text, described("What to do about it, for people.", "处理办法，供人阅读。")]
    candidates: Annotated[
        tuple[Candidate, ...], described("The places that the input may mean.", "输入可能所指的地点。")
    ] = ()


class ValidateReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The judgement: what the address is worth, what to do next, its canonical form and why."""

    verdict: Verdict
    next_action: NextAction
    address: Annotated[Address, described("The address in its canonical form.", "规范化后的地址。")]
    components: Annotated[
        tuple[Component, ...],
        described(
            "Each field of the answer. `given` is what was sent where that differs; `code` is GB/T 2260 or ISO 3166-2.",
            "结果的各个字段。`given` 为与结果不同的原始输入；`code` 为 GB/T 2260 或 ISO 3166-2 代码。",
        ),
    ]
    formatted: Annotated[
        tuple[str, ...], described("The lines of a label, top to bottom.", "面单各行，自上而下。")
    ]
    findings: Annotated[
        tuple[Finding, ...],
        described(
            "What was noticed; `pointer` is a JSON pointer (RFC 6901) into the request.",
            "所发现的问题；`pointer` 为指向请求内容的 JSON 指针（RFC 6901）。",
        ),
    ]
    sources: Annotated[
        tuple[Source, ...],
        described("The reference tables that the answer stands on.", "结果所依据的参考数据及其版本。"),
    ]
    un_locode: Annotated[
        UnLocode | None,
        described(
            "The place of UN/LOCODE that country, region and locality name; absent where there is not exactly one.",
            "由国家、地区与城市唯一确定的 UN/LOCODE 地点；不唯一或不存在时不返回。",
        ),
    ] = None


class NormaliseReply(ValidateReply, frozen=True, kw_only=True):
    """The same shape; verdict and findings speak only of what was changed, assumed or left open."""


class ParseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One pasted text: an address with or without a recipient and telephone numbers, in any order."""

    text: Annotated[
        str,
        described(
            "The text as it was pasted, one line or several.",
            "粘贴的原文，单行或多行。",
            min_length=1,
            max_length=TEXT_LENGTH_MAX,
            examples=["收货人：张三 13800138000 浙江省杭州市西湖区文三路 90 号"],
        ),
    ]
    country: Country | None = None


DivisionLevel = Annotated[
    Literal["province", "city", "district", "zone", "street"],
    described(
        "province, city and district by GB/T 2260 (a county is a district here); zone: development zone; street: town, "
        "township or sub-district.",
        "province、city、district 依据 GB/T 2260（县亦为 district）；zone 为开发区；street 为乡、镇、街道。",
    ),
]


class Division(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A Chinese division of the address by its name of today. `given` is how the text names it, if it does.

    `code` has six digits of GB/T 2260, or for a zone six and for a street nine of the statistics bureau; null where no
    table has the name. `source` names the table.
    """

    level: DivisionLevel
    name: str
    code: str | None
    status: Status
    given: str | None = None
    source: str | None = None


class Phone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A telephone number: as it is dialled in China (13800138000, 010-88888888), or E.164 for other countries.

    Confirmed where the numbering plan has such a number; whether it is in use is not known.
    """

    number: str
    given: str
    kind: Literal["mobile", "landline", "service", "other"]
    e164: str
    status: Status
    extension: str | None = None


class ParseReply(ValidateReply, frozen=True, kw_only=True):
    """What the text says, with the judgement that `validate` gives the address it contains.

    `address.country` is ZZ (unknown) where neither the request nor the text decides. `candidates` are the places that
    the text may mean where it does not decide. `rest` is what stands in `lines` without the street.
    """

    divisions: tuple[Division, ...]
    candidates: tuple[Candidate, ...]
    recipient: str | None
    phone: str | None
    phones: tuple[Phone, ...]
    postal_code: str | None
    rest: str
    notes: Annotated[
        tuple[str, ...],
        described(
            "What is no part of the address: remarks, labelled or to the shop and the carrier (尽快发货, 放门卫), and what is labelled "
            "as the number of an order or of an identity document.",
            "非地址内容：备注（包括无标签的留言，如“尽快发货”“放门卫”）、订单号、证件号等。",
        ),
    ] = ()

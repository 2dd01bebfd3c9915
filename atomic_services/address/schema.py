"""What the operations take and answer. Lengths are in characters; every optional text may be absent or null."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from catalog.vocabulary.problem import Text

LINE_LENGTH_MAX = 200
LINES_MAX = 8
NAME_LENGTH_MAX = 120
POSTAL_CODE_LENGTH_MAX = 20
SORTING_CODE_LENGTH_MAX = 40

Country = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z]{2}(?![\s\S])",
        description="ISO 3166-1 alpha-2 code of the destination.",
        examples=["CN", "DE", "US"],
    ),
]
Line = Annotated[str, Meta(max_length=LINE_LENGTH_MAX)]
Lines = Annotated[
    list[Line],
    Meta(
        max_length=LINES_MAX,
        description="Street address, most specific part first, as it is written on a label. For China the first "
        "line may begin with province, city and district when their own fields are absent.",
        examples=[["Invalidenstr. 116"], ["广东省深圳市南山区深南大道9988号"]],
    ),
]
Name = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
AdministrativeArea = Annotated[
    str,
    Meta(
        max_length=NAME_LENGTH_MAX,
        description="Province, state or prefecture: its code or any of its names.",
        examples=["广东省"],
    ),
]
Locality = Annotated[
    str, Meta(max_length=NAME_LENGTH_MAX, description="City, post town or district.", examples=["深圳市"])
]
DependentLocality = Annotated[
    str,
    Meta(
        max_length=NAME_LENGTH_MAX,
        description="The part of a locality; in China the district.",
        examples=["南山区"],
    ),
]
PostalCode = Annotated[
    str, Meta(max_length=POSTAL_CODE_LENGTH_MAX, description="Postal code, with or without its separators.")
]
SortingCode = Annotated[
    str, Meta(max_length=SORTING_CODE_LENGTH_MAX, description="For example CEDEX in France.")
]
Language = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*(?![\s\S])",
        max_length=35,
        description="BCP 47 tag of the language to write the address in. A language other than the country's own "
        "gives Latin names and the international order, where the country has them.",
        examples=["zh", "en"],
    ),
]


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
    Meta(
        description="confirmed: agrees with reference data. corrected: written differently than given. inferred: not "
        "given, and follows without doubt. missing: needed, and absent. unconfirmed: no reference data confirms it. "
        "unexpected: given, and not used by the country."
    ),
]
Verdict = Literal["valid", "corrected", "ambiguous", "incomplete", "invalid"]
NextAction = Annotated[
    Literal["accept", "confirm", "fix"],
    Meta(
        description="accept: use it. confirm: show `address` to the customer. fix: ask for what `findings` name."
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


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several places that the input may mean."""

    administrative_area: str | None = None
    locality: str | None = None
    dependent_locality: str | None = None
    code: str | None = None


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was noticed; `pointer` is a JSON pointer (RFC 6901) into the request."""

    rule: str
    severity: Severity
    pointer: str
    message: Text
    remedy: Text
    candidates: tuple[Candidate, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """A reference table that the answer stands on, and the version of it."""

    name: str
    version: str


class ValidateReply(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement: what the address is worth, what to do next, its canonical form and why."""

    verdict: Verdict
    next_action: NextAction
    address: Address
    components: tuple[Component, ...]
    formatted: tuple[str, ...]
    findings: tuple[Finding, ...]
    sources: tuple[Source, ...]


class NormaliseReply(ValidateReply, frozen=True, kw_only=True):
    """The same shape; verdict and findings speak only of what was changed, assumed or left open."""

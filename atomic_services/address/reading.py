"""What a resolver makes of the three division fields; the same for every country."""

from collections.abc import Mapping

import msgspec

from atomic_services.address.reference import CountryRules
from atomic_services.address.schema import Finding, Status
from atomic_services.address.text import has_letters, is_latin

AREA, LOCALITY, DEPENDENT = "administrative_area", "locality", "dependent_locality"
DIVISIONS = (AREA, LOCALITY, DEPENDENT)
Texts = Mapping[str, str | None]


class Part(msgspec.Struct, frozen=True):
    """The value of a field after resolution, how sure it is, and the code of the unit where it has one."""

    value: str | None
    status: Status
    code: str | None = None


class PostalArea(msgspec.Struct, frozen=True):
    """A resolved region and the pattern that its postal codes begin with."""

    name: str
    prefix: str


class Reading(msgspec.Struct, frozen=True):
    """The outcome of a resolver. `lines` may have lost or gained what belongs to the fields.

    `open_fields` are absent because their choice is ambiguous, which is not the same as missing. `postal_pattern`
    and `required` replace those of the country where a region has its own; `undivided` is the resolved city whose
    district is not given.
    """

    parts: Mapping[str, Part]
    lines: tuple[str, ...]
    findings: tuple[Finding, ...]
    areas: tuple[PostalArea, ...] = ()
    postal_pattern: str | None = None
    required: frozenset[str] | None = None
    open_fields: frozenset[str] = frozenset()
    undivided: str | None = None
    latin: bool = False


def writes_latin(rules: CountryRules, language: str | None, lines: tuple[str, ...], texts: Texts) -> bool:
    """Whether the address is written in Latin letters in a country that has another script as well.

    An explicit language decides; otherwise the script of the lines, or of the first division that is given.
    """
    if rules.latin_template is None:
        return False
    if language is not None and rules.language is not None:
        return language.partition("-")[0].lower() != rules.language.partition("-")[0].lower()
    if rules.local_is_latin:
        return False
    for text in ("".join(lines), *(texts.get(field) or "" for field in DIVISIONS)):
        if has_letters(text):
            return is_latin(text)
    return False

"""Postal codes: the country's written form, its pattern, and the regions' prefixes."""

import re

from atomic_services.address import chinese_postal
from atomic_services.address.findings import finding
from atomic_services.address.reading import LOCALITY, Reading
from atomic_services.address.reference import CountryRules, pattern, shape_of
from atomic_services.address.schema import Finding
from atomic_services.address.text import clean_postal

_SEPARATORS = re.compile(r"[\s-]")


def standardise(rules: CountryRules, given: str) -> str:
    """The code as the country's examples write it (sw1a1aa -> SW1A 1AA), or only cleaned where none fits.

    A country prefix that the address template prints itself (`CH-`) is taken off. The digits and letters are
    never changed.
    """
    code = clean_postal(given)
    if rules.postal_pattern is None:
        return code
    for prefix in rules.postal_prefixes:
        bare = code.removeprefix(prefix).strip()
        if bare != code and _fits(rules, _shaped(rules, bare)):
            return _shaped(rules, bare)
    shaped = _shaped(rules, code)
    return shaped if _fits(rules, shaped) else code


def _fits(rules: CountryRules, code: str) -> bool:
    return rules.postal_pattern is not None and pattern(rules.postal_pattern).fullmatch(code) is not None


def _shaped(rules: CountryRules, code: str) -> str:
    bare = _SEPARATORS.sub("", code)
    shape = rules.postal_shapes.get(shape_of(bare))
    if shape is None:
        return code
    characters = iter(bare)
    return "".join(next(characters) if place in "9A" else place for place in shape)


def check(rules: CountryRules, reading: Reading, code: str) -> list[Finding]:
    """What is wrong with a standardised code: its form, or its agreement with each region and city that was resolved."""
    expected = reading.postal_pattern or rules.postal_pattern
    if expected is not None and pattern(expected).fullmatch(code) is None:
        hint = ", ".join(rules.postal_examples[:3]) if reading.postal_pattern is None else expected
        return [finding("postal-code-format", "/postal_code", country=rules.code, value=code, hint=hint)]
    if reading.postal_pattern is not None:
        return []
    for area in reading.areas:
        if pattern(area.prefix).match(code) is None:
            return [
                finding("postal-code-region", "/postal_code", country=rules.code, value=code, hint=area.name)
            ]
    city = reading.parts.get(LOCALITY)
    if rules.code != "CN" or city is None or city.code is None or chinese_postal.may_have(city.code, code):
        return []
    return [finding("postal-code-city", "/postal_code", value=code, hint=city.value or "")]

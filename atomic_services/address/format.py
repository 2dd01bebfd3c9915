"""The address as lines of a label, by the country's template (libaddressinput `fmt` and `lfmt`)."""

import re

from atomic_services.address.reference import FIELDS, CountryRules
from atomic_services.address.schema import Address

_PART = re.compile("(%[A-Z])")


def formatted(rules: CountryRules, address: Address, *, latin: bool) -> tuple[str, ...]:
    """The lines, without empty ones. A separator stands only between two parts that are there."""
    template = rules.latin_template if latin and rules.latin_template is not None else rules.template
    values = _values(rules, address)
    lines: list[str] = []
    for line in template.split("%n"):
        lines.extend(filter(None, (part.strip() for part in _line(line, values).split("\n"))))
    return tuple(lines)


def _values(rules: CountryRules, address: Address) -> dict[str, str]:
    values = {
        letter: "\n".join(address.lines) if field == "lines" else getattr(address, field) or ""
        for letter, field in FIELDS.items()
    }
    if rules.code == "CN" and values["C"] == values["S"]:
        values["C"] = ""  # a municipality is its own city and is printed once
    for letter, field in FIELDS.items():
        if field in rules.capitals:
            values[letter] = values[letter].upper()
    return values


def _line(template: str, values: dict[str, str]) -> str:
    parts = [part for part in _PART.split(template) if part]
    filled = [values.get(part[1:], "") if _PART.fullmatch(part) else None for part in parts]
    text = ""
    for i, part in enumerate(parts):
        value = filled[i]
        if value is not None:
            text += value
        elif (i == 0 or filled[i - 1]) and (i == len(parts) - 1 or filled[i + 1]):
            text += part
    return text

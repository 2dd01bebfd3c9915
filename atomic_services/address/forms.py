"""The written forms of addresses, one per country and some per language; read once from data/forms.json.

Source: the address-formatting templates of OpenCage (MIT), see data/build_forms.py. A form says which component
stands on which line; `rendering.py` fills it in and `components.py` brings the components into its names.
"""

import functools
import json
import re
from importlib.resources import files
from typing import Any, Literal

import msgspec

from atomic_services.address.fields import Source
from atomic_services.address.rendering import Template, template_of

SOURCE = Source("address-formatting (OpenCage) in @fragaria/address-formatter", "6.7.1")
_DATA = files("atomic_services.address") / "data" / "forms.json"
_ANY = "default"


class Replacement(msgspec.Struct, frozen=True):
    """A regular expression and what takes the place of its first match; for one component, or for all (None)."""

    component: str | None
    pattern: re.Pattern[str]
    text: str

    def apply(self, value: str) -> str:
        """The value after the replacement."""
        return self.pattern.sub(self.text, value, count=1)


class Form(msgspec.Struct, frozen=True):
    """How the addresses of a country are written. `fallback` serves where neither road nor postcode is known.

    A dependent territory is written like its `base`, under the country name `country_text` (which may contain
    `$state`) and as the `state` of it, where it has one.
    """

    address: Template
    fallback: Template
    before: tuple[Replacement, ...]
    after: tuple[Replacement, ...]
    base: str | None
    country_text: str | None
    state: str | None


class _Tables(msgspec.Struct, frozen=True):
    templates: dict[str, str]
    forms: dict[str, Any]
    aliases: dict[str, str]
    state_codes: dict[str, dict[str, list[str]]]
    county_codes: dict[str, dict[str, list[str]]]
    languages: dict[str, list[str]]
    abbreviations: dict[str, list[tuple[str, str, str]]]


@functools.cache
def _tables() -> _Tables:
    return msgspec.convert(json.loads(_DATA.read_text(encoding="utf-8")), _Tables)


@functools.cache
def form_countries() -> frozenset[str]:
    """The ISO 3166-1 alpha-2 codes (and XK, XC) of the countries that have a form of their own."""
    return frozenset(name for name in _tables().forms if len(name) == 2)


@functools.cache
def form_of(country: str | None, language: str | None = None) -> Form:
    """The form of a country of `form_countries()` in a language, where it has several; without one the general form."""
    tables = _tables()
    row = tables.forms.get(f"{country}_{language}") or tables.forms[country or _ANY]
    general = tables.forms[_ANY]

    def template(name: str) -> Template:
        return template_of(tables.templates[str(row.get(name, general[name]))])

    return Form(
        address=template("address"),
        fallback=template("fallback"),
        before=tuple(
            # The patterns are given in one way of writing and mean all.
            Replacement(name, re.compile(expression, re.IGNORECASE), text)
            for name, expression, text in row.get("before", ())
        ),
        after=tuple(Replacement(None, re.compile(p), text) for p, text in row.get("after", ())),
        base=row.get("base"),
        country_text=row.get("country_text"),
        state=row.get("state"),
    )


@functools.cache
def synonyms() -> dict[str, str]:
    """Component name or synonym -> component name, in the order in which synonyms are preferred."""
    return _tables().aliases


@functools.lru_cache(maxsize=512)
def codes_of(kind: Literal["state", "county"], country: str) -> dict[str, tuple[str, str | None]]:
    """Casefolded name -> code of a state or county, and casefolded code -> code and usual name."""
    rows = (_tables().state_codes if kind == "state" else _tables().county_codes).get(country, {})
    found: dict[str, tuple[str, str | None]] = {
        code.casefold(): (code, names[0]) for code, names in rows.items()
    }
    return found | {name.casefold(): (code, None) for code, names in rows.items() for name in names}


@functools.cache
def abbreviations(country: str) -> tuple[Replacement, ...]:
    """Usual short words in the languages of the country, in the order of application."""
    tables = _tables()
    return tuple(
        Replacement(component, re.compile(rf"(^|\s){re.escape(word)}\b"), rf"\g<1>{short}")
        for language in tables.languages.get(country, ())
        for component, word, short in tables.abbreviations.get(language, ())
    )

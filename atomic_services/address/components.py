"""Brings the components of an address into the names and values that the forms of `forms.py` are filled with.

The order of the steps, and their effect where it can be seen, is that of the address-formatting templates' own rules.
"""

import re
from collections.abc import Mapping
from typing import Literal

from atomic_services.address.forms import Form, abbreviations, codes_of, form_of, synonyms

# Where a district is a part of a town; elsewhere it is a part of a state.
_SMALL_DISTRICTS = frozenset({"BR", "CR", "ES", "NI", "PY", "RO", "TG", "TM", "XK"})
# Countries that map data gives to the Netherlands as if they were provinces.
_CARIBBEAN = (("curaçao", "CW", "Curaçao"), ("sint maarten", "SX", "Sint Maarten"), ("aruba", "AW", "Aruba"))
_WASHINGTON = re.compile(r"washington,? d\.?c\.?", re.IGNORECASE)
_WORD = re.compile(r"\w")
_ADDRESS_OF_A_PAGE = re.compile("https?://")
_RANGE_OF_CODES = re.compile(r"\d+;\d+")
_FIRST_OF_CODES = re.compile(r"(\d{5}),\d{5}")
_POSTCODE_LENGTH_MAX = 20
Components = dict[str, str]


def placed(country: str, given: Mapping[str, str]) -> tuple[str, Components]:
    """The country whose form is used, and the components as that country has them.

    A dependent territory is written like its base country; its own name is kept as `country` or `state`.
    """
    values = dict(given)
    form = form_of(country)
    if form.base is not None:
        country = form.base
        if form.country_text is not None:
            values["country"] = form.country_text.replace("$state", values.get("state", ""))
        if form.state is not None:
            values["state"] = form.state
    if country == "NL":
        for state, code, name in _CARIBBEAN:
            if values.get("state", "").casefold().startswith(state):
                country, values["country"] = code, name
    return country, values


def named(country: str | None, given: Mapping[str, str]) -> Components:
    """The components under the names of the forms as well as their own, without those that say nothing."""
    values = dict(given)
    district = "neighbourhood" if country in _SMALL_DISTRICTS else "state_district"
    for synonym, name in synonyms().items():
        target = district if synonym == "district" else name
        if synonym in values and target not in values:
            values[target] = values[synonym]
    code = values.get("postcode", "")
    # Map data has lists and ranges of codes where an address has one.
    if len(code) > _POSTCODE_LENGTH_MAX or _RANGE_OF_CODES.search(code):
        del values["postcode"]
    elif match := _FIRST_OF_CODES.match(code):
        values["postcode"] = match[1]
    return {
        name: value
        for name, value in values.items()
        if _WORD.search(value) and not _ADDRESS_OF_A_PAGE.search(value)
    }


def completed(
    country: str | None, form: Form, given: Mapping[str, str], *, abbreviate: bool = False
) -> Components:
    """The components after the country's replacements, with codes of states and counties, and short words if wanted.

    Components that no form knows, such as the name of a shop, are joined into `attention`.
    """
    values = dict(given)
    if values.get("country", "").isdigit() and "state" in values:
        values["country"] = values.pop("state")
    for replacement in form.before:
        for name in [replacement.component] if replacement.component else list(values):
            if name in values:
                values[name] = replacement.apply(values[name])
    if country is not None:
        _add_code(country, "state", values)
        _add_code(country, "county", values)
    unknown = sorted(values.keys() - synonyms().keys())
    if unknown:
        values["attention"] = ", ".join(values[name] for name in unknown)
    if abbreviate and country is not None:
        for replacement in abbreviations(country):
            name = replacement.component or ""
            if name in values:
                values[name] = replacement.apply(values[name])
    return values


def _add_code(country: str, kind: Literal["state", "county"], values: Components) -> None:
    """Add the code that belongs to a name, or the name that belongs to a code given in its place."""
    text, key = values.get(kind), f"{kind}_code"
    if not text or values.get(key, text) != text:
        return
    if country == "US" and kind == "state" and _WASHINGTON.match(text):
        values |= {"state_code": "DC", "state": "District of Columbia", "city": "Washington"}
        return
    found = codes_of(kind, country).get(text.casefold())
    if found is not None:
        code, usual_name = found
        values[key] = code
        values[kind] = usual_name or text

"""Public address cases: how addresses are written in each country, and which postal codes belong where.

A postal code of the metadata's examples is decided rightly where it is confirmed, with the region that it is an
example of. The codes in `WITHDRAWN` are those that their country does not have today: they must be refused.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML

from atomic_services.address.reference import countries, pattern, rules_of
from tests.address_calls import answer, call
from tests.conformance.progress import shown

_FIELDS = ("administrative_area", "locality", "dependent_locality")
# Country, or path of the region, and the codes -> why they are none.
WITHDRAWN: tuple[tuple[str, str, str], ...] = (
    ("KR", r"\d{3}-\d{3}", "six digits until July 2015, five since"),
    ("EC", r"[A-Z]+\d+[A-Z]?", "letters until 2007, six digits since"),
    ("BY", "20050", "five digits; Belarus has six"),
    ("EE", "1001", "four digits; Estonia has five"),
    ("SO", r"\d{5}", "without the two letters of the region"),
    ("GB", "RH6 OHP", "the letter O for the digit 0"),
    ("AU/NSW", "2999", "29xx is the Capital Territory's in today's metadata"),
    ("PH/Bohol", "6347", "today's metadata has 630 to 633 for Bohol"),
)


def opencage(folder: Path) -> tuple[int, int]:
    """Written addresses: right are those that are the same to the byte."""
    yaml = YAML(typ="safe", pure=True)
    cases = [
        (path.parent.name == "abbreviations", case)
        for path in sorted((folder / "testcases").rglob("*.yaml"))
        for case in yaml.load_all(path.read_text(encoding="utf-8"))
        if case
    ]
    right = 0
    for abbreviate, case in shown("opencage", cases):
        components = {name: str(value) for name, value in case["components"].items()}
        reply = answer("format", components=components, abbreviate=abbreviate)
        right += f"{reply.text}\n" == case["expected"]
    return right, len(cases)


def postcodes(folder: Path) -> tuple[int, int]:
    """Example codes of countries and regions: right are those confirmed, and those of `WITHDRAWN` refused."""
    cases = list(_examples(folder))
    right = 0
    for path, code, language in shown("libaddressinput-postcodes", cases):
        right += _is_confirmed(path, code, language) != is_withdrawn(path, code)
    return right, len(cases)


def regions(folder: Path) -> tuple[int, int]:
    """Example codes of regions, asked for in the next region below the country that has other codes: right are those
    refused."""
    cases = []
    for path, code, _ in _examples(folder):
        elsewhere = _elsewhere(path, code)
        if elsewhere is not None and not is_withdrawn(path, code):
            cases.append((path[0], elsewhere, code))
    right = 0
    for country, area, code in shown("libaddressinput-regions", cases):
        reply = call("validate", country=country, administrative_area=area, postal_code=code, lines=["1"])
        right += any(found.rule == "postal-code-region" for found in reply.findings)
    return right, len(cases)


def is_withdrawn(path: Sequence[str], code: str) -> bool:
    """Whether the country has no such code today, for a reason that is listed above."""
    return any(
        "/".join(path[: place.count("/") + 1]) == place and re.fullmatch(expression, code) is not None
        for place, expression, _ in WITHDRAWN
    )


def _examples(folder: Path) -> Iterator[tuple[list[str], str, str | None]]:
    """Path from the country down, code and language; ends of ranges (1999:2000) are codes as well."""
    for line in (folder / "testdata" / "countryinfo.txt").read_text(encoding="utf-8").splitlines():
        key, _, text = line.partition("=")
        if not key.startswith("data/"):
            continue
        place, _, language = key.removeprefix("data/").partition("--")
        entry: dict[str, Any] = msgspec.json.decode(text)
        for code in filter(None, re.split("[,:]", entry.get("zipex", ""))):
            yield place.split("/"), code, language or None


def _is_confirmed(path: Sequence[str], code: str, language: str | None) -> bool:
    fields = dict(zip(_FIELDS, path[1:], strict=False))
    reply = call("validate", country=path[0], postal_code=code, lines=["1"], language=language, **fields)
    written = {part.name: part.status for part in reply.components}["postal_code"]
    refused = any(
        found.rule.startswith("postal-code-") for found in reply.findings if found.severity != "info"
    )
    return not refused and written in ("confirmed", "corrected")


def _elsewhere(path: Sequence[str], code: str) -> str | None:
    """The first other region of the country whose codes do not begin like this one."""
    if path[0] not in countries() or len(path) == 1:
        return None
    if path[0] == "CN" and rules_of("CN").regions.find(path[1]) == ():
        return "海南省" if not code.startswith("57") else "青海省"
    for region in rules_of(path[0]).regions.children:
        prefix = region.postal_prefix
        if region.local != path[1] and prefix is not None and pattern(prefix).match(code) is None:
            return region.local
    return None

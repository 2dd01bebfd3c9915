"""Every place that can be suggested, as one tree: the divisions of China and the regions of all countries.

Source: `divisions.py` and the postal metadata of `reference.py`. A place knows its parent, what lies in it, and every
form in which its name may begin to be typed.
"""

import functools
import sys
from collections.abc import Iterable, Iterator
from typing import get_args

import msgspec

from atomic_services.address.divisions import PROVINCE, Unit, divisions
from atomic_services.address.fields import Candidate
from atomic_services.address.han import fold_chinese
from atomic_services.address.reference import Region, countries, rules_of
from atomic_services.address.spellings import Readings, load_readings
from atomic_services.address.streets import towns_of
from atomic_services.address.suggest_schema import PlaceKind, PlaceLevel

LEVELS: tuple[PlaceLevel, ...] = get_args(PlaceLevel)
_INITIALS_MIN = 2


class Place(msgspec.Struct, frozen=True, eq=False):
    """A place. `names` and `initials` are folded; `order` is its rank among places of one level.

    `name` is shown, `local` and `latin` stand in addresses. `spoken` are the readings of a Chinese name, syllable by
    syllable; `division` is the Chinese unit where there is one. `children` are filled while the tree is built.
    """

    code: str
    country: str
    level: int
    name: str
    local: str
    latin: str
    order: int
    parent: "Place | None"
    division: Unit | None
    children: "list[Place]"
    names: tuple[str, ...]
    spoken: tuple[tuple[str, ...], ...]
    initials: tuple[str, ...]

    @property
    def kind(self) -> PlaceKind:
        """Which table it is from."""
        return "region" if self.division is None else "division"

    def within(self) -> "Iterator[Place]":
        """Everything that lies in it, larger places before what lies in them."""
        for child in self.children:
            yield child
            yield from child.within()

    def address(self, *, latin: bool) -> Candidate:
        """The fields of an address that name it, in local or Latin letters."""
        if self.division is not None:
            area, locality, dependent = (
                self._written(unit, latin=latin) if unit is not None else None
                for unit in self.division.slots()
            )
            town = self.name if LEVELS[self.level] == "street" else None
            return Candidate(area, locality, dependent, street=town)
        trail: list[str] = []
        place: Place | None = self
        while place is not None:
            trail.insert(0, place.latin if latin else place.local)
            place = place.parent
        return Candidate(*trail)

    @staticmethod
    def _written(unit: Unit, *, latin: bool) -> str:
        return unit.latin if latin and unit.latin is not None else unit.name


def asks_latin(country: str, language: str | None) -> bool:
    """Whether a request in this language is shown the Latin names of a country: where it is not the country's own."""
    own = rules_of(country).language
    return language is not None and own is not None and _primary(language) != _primary(own)


def _primary(language: str) -> str:
    return language.partition("-")[0].lower()


class Places(msgspec.Struct, frozen=True):
    """All places in the order of countries and codes, and each by its code."""

    all: tuple[Place, ...]
    by_code: dict[str, Place]


def towns_in(county: Place) -> tuple[Place, ...]:
    """The towns and sub-districts of a county or an undivided city, made when they are asked for: there are 41,000."""
    return tuple(
        Place(
            code=code,
            country=county.country,
            level=LEVELS.index("street"),
            name=name,
            local=name,
            latin=name,
            order=order,
            parent=county,
            division=county.division,
            children=[],
            names=(fold_chinese(name),),
            spoken=(),
            initials=(),
        )
        for order, (code, name) in enumerate(towns_of(county.code))
    )


@functools.cache
def places() -> Places:
    """The tree, built once: about 0.3 s with all that it is made of."""
    builder = _Builder()
    builder.add_divisions()
    for country in sorted(countries()):
        builder.add_regions(country, country, rules_of(country).regions, None)
    return Places(tuple(builder.found), builder.by_code)


class _Builder:
    def __init__(self) -> None:
        self.found: list[Place] = []
        self.by_code: dict[str, Place] = {}

    def add_divisions(self) -> None:
        readings = load_readings()
        for unit in divisions().units.values():
            short = unit.short if len(unit.short) > 1 and unit.short != unit.name else ""
            spoken = tuple(_syllables(unit.name, readings))
            all_spoken = (*spoken, *_syllables(short, readings))
            names = (unit.name, short, unit.latin or "", *map("".join, all_spoken))
            initials = ("".join(syllable[0] for syllable in syllables) for syllables in all_spoken)
            self._add(
                Place(
                    code=unit.code,
                    country="CN",
                    level=0 if unit.level == PROVINCE else 1 if unit.slots()[1] is unit else 2,
                    name=unit.name,
                    local=unit.name,
                    latin=unit.latin or unit.name,
                    order=len(self.found),
                    parent=self.by_code[unit.parent.code] if unit.parent is not None else None,
                    division=unit,
                    children=[],
                    names=_distinct(map(fold_chinese, names)),
                    spoken=spoken,
                    initials=_distinct(text for text in initials if len(text) >= _INITIALS_MIN),
                )
            )

    def add_regions(self, country: str, path: str, region: Region, above: Place | None) -> None:
        for child, names in zip(region.children, region.names_within(), strict=True):
            key = f"{path}/{child.local}"
            place = Place(
                code=child.code if child.code is not None and child.code not in self.by_code else key,
                country=country,
                level=0 if above is None else above.level + 1,
                name=child.name,
                local=child.local,
                latin=child.latin,
                order=len(self.found),
                parent=above,
                division=None,
                children=[],
                # One letter is the code of many regions and the name of none.
                names=_distinct(fold_chinese(name) for name in names if len(name) > 1 or not name.isascii()),
                spoken=(),
                initials=(),
            )
            self._add(place)
            self.add_regions(country, key, child, place)

    def _add(self, place: Place) -> None:
        if place.parent is not None:
            place.parent.children.append(place)
        self.found.append(place)
        self.by_code[place.code] = place


def _syllables(name: str, readings: Readings) -> Iterator[tuple[str, ...]]:
    """The readings of a Chinese name; ü is written v, u or yu."""
    for reading in readings.get(name, ()):
        for written in ("v", "u", "yu") if "v" in reading else ("v",):
            yield tuple(sys.intern(syllable.replace("v", written)) for syllable in reading.split())


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text once, without empty ones."""
    return tuple(dict.fromkeys(filter(None, texts)))

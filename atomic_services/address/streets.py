"""Towns, townships and sub-districts below the counties, and development zones: statistics bureau, June 2023.

Source: data/streets.tsv.gz and data/zones.tsv, built by data/build_streets.py from `china-division` 2.7.0. The
41,000 names are kept as one text per county and searched as text: 1.5 MiB, read at the first use. The bureau has
published no such list since, so a name that is missing here may well exist.
"""

import functools
import gzip
import re
from collections.abc import Collection, Iterable, Iterator
from importlib.resources import files

import msgspec

from atomic_services.address.han import simplify
from atomic_services.address.schema import Source

SOURCE = Source("towns and development zones: china-division 2.7.0", "2023-06")
_DATA = files("atomic_services.address") / "data"
_OFFICE = re.compile("(?P<stem>[\u3400-\u9fff]{1,12}?)(?:街道办事处|街道办|办事处|街办|办)")
_FEW = 6
_NOT_IN_NAMES = frozenset(";0123456789")
_CODE = re.compile(r"\d+")
# Behind a town's name what makes it the name of a road: 景德镇大道, 古镇东路.
OF_A_ROAD = "(?:[东西南北中]?[路街巷弄道]|大[街道]|胡同)"
_FORMER_KIND = re.compile(f"(?P<stem>[\u3400-\u9fff]{{1,7}}?)(?P<kind>[镇乡])(?!{OF_A_ROAD})")
# In Beijing the office of a town is one of an area (地区): 东风乡 is 东风地区.
_LATER_KINDS = {"镇": ("街道", "地区"), "乡": ("镇", "街道", "地区")}


class Place(msgspec.Struct, frozen=True, gc=False):
    """A town or a zone: nine digits for a town, six for a zone; neither is GB/T 2260. `length` of it in the text."""

    name: str
    code: str
    holder: str
    length: int


@functools.cache
def _streets() -> dict[str, str]:
    """Code of a county-level unit -> `;001东华门街道;002景山街道;`."""
    text = gzip.decompress((_DATA / "streets.tsv.gz").read_bytes()).decode()
    rows = (line.split("\t") for line in text.splitlines())
    return {code: f";{names};" for code, names in rows}


@functools.cache
def _beginnings() -> dict[str, Collection[str]]:
    """The first two characters of a town's name -> the counties that have such a town."""
    found: dict[str, set[str]] = {}
    for county in _streets():
        for _, name in towns_of(county):
            found.setdefault(name[:2], set()).add(county)
    # Most begin the names of very few towns, and a set takes four times as much memory as a tuple.
    return {
        beginning: tuple(counties) if len(counties) < _FEW else frozenset(counties)
        for beginning, counties in found.items()
    }


@functools.cache
def _zones() -> dict[str, tuple[tuple[str, str, str], ...]]:
    """First four digits -> spelling, name and code of its zones, the longest spelling first."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for line in (_DATA / "zones.tsv").read_text(encoding="utf-8").splitlines():
        code, name, aliases = line.split("\t")
        spellings = [name, *filter(None, aliases.split(","))]
        found.setdefault(code[:4], []).extend((spelling, name, code) for spelling in spellings)
    return {key: tuple(sorted(rows, key=lambda row: -len(row[0]))) for key, rows in found.items()}


def prepare() -> None:
    """Read both tables."""
    _beginnings()
    _zones()


def streets_at(counties: Iterable[str], text: str, position: int) -> list[Place]:
    """The towns of several counties that stand at `position` of a simplified text, by the longest of their names.

    A name of today goes before one of another kind that the place may have had: 九堡镇 is 九堡街道 where there is no
    town of that name.
    """
    asked = list(counties)
    offices = list(_names_of_office(text, position))
    found = [
        place
        for county in asked
        if (place := _named(county, offices) or _written_at(county, text, position)) is not None
    ]
    if not found:
        later = list(_later_names(text, position))
        found = [place for county in asked if (place := _named(county, later))]
    longest = max((place.length for place in found), default=0)
    return [place for place in found if place.length == longest]


def _written_at(county: str, text: str, position: int) -> Place | None:
    """The longest name of the county that the text has at `position`."""
    if county not in _beginnings().get(text[position : position + 2], ()):
        return None
    table = _streets()[county]
    end = position + 2
    while end < len(text) and text[end] not in _NOT_IN_NAMES and text[position : end + 1] in table:
        end += 1
    for stop in range(end, position + 1, -1):
        if code := _coded(county, text[position:stop]):
            return Place(text[position:stop], code, county, stop - position)
    return None


def _names_of_office(text: str, position: int) -> Iterator[tuple[int, str]]:
    """文新街道 where the text has 文新街道办事处, 文新办事处 or 文新街办, with the length it has there."""
    match = _OFFICE.match(text, position)
    if match is not None:
        yield len(match[0]), match["stem"] + "街道"


def _later_names(text: str, position: int) -> Iterator[tuple[int, str]]:
    """What a town or a township that stands at `position` may be called since it became something larger."""
    match = _FORMER_KIND.match(text, position)
    if match is not None:
        for kind in _LATER_KINDS[match["kind"]]:
            yield len(match[0]), match["stem"] + kind


def _named(county: str, names: Iterable[tuple[int, str]]) -> Place | None:
    """The first of several names that a county has, each with the length it has in the text."""
    for length, name in names:
        if county in _beginnings().get(name[:2], ()) and (code := _coded(county, name)):
            return Place(name, code, county, length)
    return None


def bearers(name: str) -> list[Place]:
    """The towns of this exact name in the whole country."""
    return [
        Place(name, code, county, len(name))
        for county in sorted(_beginnings().get(name[:2], ()))
        if (code := _coded(county, name))
    ]


def zone_at(city: str, text: str, position: int) -> Place | None:
    """The development zone of a city that stands at `position`; None also where a short name fits two of them."""
    fitting = [row for row in _zones().get(city[:4], ()) if text.startswith(simplify(row[0]), position)]
    best = [row for row in fitting if len(row[0]) == len(fitting[0][0])]
    if len({code for _, _, code in best}) != 1:
        return None
    spelling, name, code = best[0]
    return Place(name, code, f"{city[:4]}00", len(spelling))


def towns_of(county: str) -> list[tuple[str, str]]:
    """Code and name of each town of a county-level unit, in the order of the codes."""
    rows = filter(None, _streets().get(county, "").split(";"))
    split = [(match[0], row[match.end() :]) for row in rows if (match := _CODE.match(row))]
    return [(digits if len(digits) == 9 else county + digits, name) for digits, name in split]


def _coded(county: str, name: str) -> str | None:
    """The nine digits of a town whose name is in the county's text, which has the last three or all of them."""
    table = _streets()[county]
    end = table.find(f"{name};")
    while end >= 0:
        start = table.rfind(";", 0, end) + 1
        digits = table[start:end]
        if _CODE.fullmatch(digits):
            return digits if len(digits) == 9 else county + digits
        end = table.find(f"{name};", end + 1)
    return None

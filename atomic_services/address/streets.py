"""Towns, townships and sub-districts below the counties, and development zones: statistics bureau, June 2023.

Source: data/streets.tsv.gz and data/zones.tsv, built by data/build_streets.py from `china-division` 2.7.0. The
41,000 names are kept as one text per county and searched as text: 1.5 MiB, read at the first use. The bureau has
published no such list since, so a name that is missing here may well exist.
"""

import functools
import gzip
import re
from collections.abc import Iterable
from importlib.resources import files

import msgspec

from atomic_services.address.han import simplify
from atomic_services.address.schema import Source

SOURCE = Source("towns and development zones: china-division 2.7.0", "2023-06")
_DATA = files("atomic_services.address") / "data"
_LONGEST = 24
_OFFICE = re.compile("(?:街道办事处|街道办|办事处)")
_CODE = re.compile(r"\d+")


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
    _streets()
    _zones()


def street_at(county: str, text: str, position: int) -> Place | None:
    """The longest name of a town of the county that stands at `position` of a simplified text."""
    table = _streets().get(county)
    if table is None:
        return None
    for length in range(min(_LONGEST, len(text) - position), 1, -1):
        name = text[position : position + length]
        if ";" in name or not "㐀" <= name[-1] <= "鿿":
            continue
        official = _OFFICE.sub("街道", name) if name.endswith(("办", "处")) else name
        for written in dict.fromkeys((official, name)):
            if found := _coded(county, table, written):
                return Place(written, found, county, length)
    return None


def streets_at(counties: Iterable[str], text: str, position: int) -> list[Place]:
    """The towns of several counties that stand at `position`; of different lengths only the longest ones."""
    found = [place for county in counties if (place := street_at(county, text, position))]
    longest = max((place.length for place in found), default=0)
    return [place for place in found if place.length == longest]


def bearers(name: str) -> list[Place]:
    """The towns of this exact name in the whole country."""
    return [
        Place(name, code, county, len(name))
        for county, table in _streets().items()
        if (code := _coded(county, table, name))
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


def _coded(county: str, table: str, name: str) -> str | None:
    """The nine digits of a town whose name is in the county's text, which has the last three or all of them."""
    end = table.find(f"{name};")
    while end >= 0:
        start = table.rfind(";", 0, end) + 1
        digits = table[start:end]
        if _CODE.fullmatch(digits):
            return digits if len(digits) == 9 else county + digits
        end = table.find(f"{name};", end + 1)
    return None

"""UN/LOCODE: ports, airports, terminals and trade places of the world, found by code, by name, by a beginning.

Source: data/locodes.tsv and data/locode_names.tsv, built by data/build_locodes.py from the list of UNECE. The 116,000 rows
stay in the two files: they are mapped into memory and searched by bisection, so only the pages that are looked at
are resident, and the workers share them.
"""

import functools
import heapq
import mmap
import re
from collections.abc import Collection, Iterator
from importlib.resources import as_file, files

from atomic_services.address.fields import Source
from atomic_services.address.locode_schema import Function, UnLocode
from atomic_services.address.text import fold

SOURCE = Source("UN/LOCODE: UNECE", "2023-1")
# The digits of the list, in its order; a place with none of them has a function that nobody specified.
FUNCTIONS: dict[str, Function] = {
    "1": "port", "2": "rail", "3": "road", "4": "airport", "5": "postal", "6": "inland", "7": "fixed", "B": "border",
}  # fmt: skip
ADDITION = re.compile(r"\s*(?P<mark>[/(,])")
FACILITY = re.compile(r"\b(?:Apt|Pt|Airport|Port|Heliport|Terminal|Station)\b")
CODE = re.compile(r"[a-z]{2}[a-z2-9]{3}", re.ASCII)
_BITS: dict[Function, int] = {function: 1 << i for i, function in enumerate(FUNCTIONS.values())}
_POSITION = re.compile(r"(\d\d)(\d\d)([NS])(\d{3})(\d\d)([EW])", re.ASCII)
_AFTER_ALL = b"\xff"
_HEX = "0123456789abcdef"


def locode(code: str) -> UnLocode | None:
    """The place of a code such as `NLRTM`, in capitals; None where the list has no such code."""
    table = _table("locodes.tsv")
    key = f"{code}\t".encode()
    start = _bisect(table, key)
    if table[start : start + len(key)] != key:
        return None
    row = table[start : table.find(b"\n", start)].decode()
    _, name, subdivision, kinds, status, position, iata = row.split("\t")
    latitude, longitude = _degrees(position)
    return UnLocode(
        code=code,
        name=name,
        functions=tuple(FUNCTIONS[kind] for kind in kinds),
        status=status,
        subdivision=subdivision or None,
        iata=iata or None,
        latitude=latitude,
        longitude=longitude,
    )


def locality(name: str) -> str | None:
    """The name as an address has it: without its addition, and none for an airport, a port or a station."""
    return None if FACILITY.search(name) else ADDITION.split(name)[0] or name


def codes_named(country: str, name: str, subdivision: str | None = None) -> tuple[str, ...]:
    """The codes of a country that go by this name, compared without case, diacritics and punctuation.

    With a subdivision (ISO 3166-2 without the country) those known to lie in another are left out. Codes that bear the
    name only with an addition (Neustadt/Saale) make it doubtful; alone they are not named by it.
    """
    folded = fold(name)
    lines = list(_named(folded, country)) if folded else []
    fitting = {
        code: grade for grade, code, within in lines if subdivision is None or within in ("", subdivision)
    }
    return tuple(sorted(fitting)) if "0" in fitting.values() else ()


def begin_with(
    folded: str, *, limit: int, country: str | None, subdivision: str | None, functions: Collection[Function]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The codes with just this folded name, and those with a longer one that begins so; at most `limit` of each.

    Codes with many functions come first, then the order of the codes. `functions` leaves those that have at least one of
    them; empty leaves all.
    """
    table = _table("locode_names.tsv")
    key = folded.encode()
    low, high = _bisect(table, key), _bisect(table, key + _AFTER_ALL)
    middle = _bisect(table, key + b"\n")
    wanted = _pattern(country, subdivision, functions)
    whole = _best(table, low, middle, wanted, limit)
    longer = _best(table, middle, high, wanted, limit + len(whole))
    return whole, tuple(code for code in longer if code not in whole)[:limit]


def _pattern(country: str | None, subdivision: str | None, functions: Collection[Function]) -> str:
    """The rest of a line of locode_names.tsv after the number of functions."""
    mask = sum(_BITS[function] for function in set(functions))
    kinds = ".."
    if mask:
        high, low = ("".join(d for d in _HEX if int(d, 16) & half) for half in divmod(mask, 16))
        kinds = "|".join(part for part in (f"[{high}]." * bool(high), f".[{low}]" * bool(low)) if part)
    within = "[^\n]*" if subdivision is None else re.escape(subdivision)
    return f"(?:{kinds})({country or '..'}...){within}\n"


def _best(table: mmap.mmap, low: int, high: int, wanted: str, limit: int) -> tuple[str, ...]:
    # Rows with several functions are one in ten: mostly there are enough of them, and the others are never looked at.
    for counts in ("[3-8]", "[0-8]"):
        rows = re.compile(f"\t[02]({counts}){wanted}".encode()).findall(table, low, high)
        ranked = {code: -int(count) for count, code in rows}
        if len(ranked) >= limit:
            break
    first = heapq.nsmallest(limit, ranked, key=lambda code: (ranked[code], code))
    return tuple(code.decode() for code in first)


def _named(folded: str, country: str) -> Iterator[tuple[str, str, str]]:
    """Grade, code and subdivision of each line with just this name in the country."""
    table = _table("locode_names.tsv")
    key = f"{folded}\t".encode()
    low = _bisect(table, key)
    rows = re.compile(b"\t([012])...(" + country.encode() + b"...)([^\n]*)\n")
    for grade, code, within in rows.findall(table, low, _bisect(table, key + _AFTER_ALL)):
        yield grade.decode(), code.decode(), within.decode()


@functools.cache
def _table(name: str) -> mmap.mmap:
    with as_file(files("atomic_services.address") / "data" / name) as path, path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _bisect(table: mmap.mmap, key: bytes) -> int:
    """Where the first line begins that is not below the key; the length of the table where all are."""
    low, high = 0, len(table)
    while low < high:
        middle = (low + high) // 2
        start = table.rfind(b"\n", low, middle) + 1 or low
        end = table.find(b"\n", middle) + 1
        if table[start : end - 1] < key:
            low = end
        else:
            high = start
    return low


def _degrees(position: str) -> tuple[float, float] | tuple[None, None]:
    match = _POSITION.fullmatch(position)
    if match is None:
        return None, None
    degrees_north, minutes_north, north, degrees_east, minutes_east, east = match.groups()
    latitude = round(int(degrees_north) + int(minutes_north) / 60, 4)
    longitude = round(int(degrees_east) + int(minutes_east) / 60, 4)
    return latitude if north == "N" else -latitude, longitude if east == "E" else -longitude

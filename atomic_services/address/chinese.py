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
from atomic_services.address.findings import finding
from atomic_services.address.leading import Head, recognise
from atomic_services.address.reading import (
    AREA,
    DEPENDENT,
    DIVISIONS,
    LOCALITY,
    Part,
    PostalArea,
    Reading,
    Texts,
    writes_latin,
)
from atomic_services.address.reference import CountryRules
from atomic_services.address.schema import LINE_LENGTH_MAX, Candidate, Finding, Status

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
    return Resolution(units, dict(zip(known, agreeing[0], strict=True)), unknown, known)


def _meanings(field: str, text: str) -> tuple[Entry, ...]:
    entries = divisions().find(text)
    if field == AREA:
        return tuple(entry for entry in entries if entry.level == PROVINCE) or entries
    return entries


def _is_weak(texts: Texts, resolution: Resolution) -> bool:
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


class _Desk:
    """One address on its way to its canonical form."""

    def __init__(self, texts: Texts, lines: tuple[str, ...]) -> None:
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
        self._seen: set[str] = set()
        self.disagreeing: Head | None = None
        self.resolution = self._settle()

    def _settle(self) -> Resolution:
        while True:
            before = (dict(self.texts), self.lines)
            self._absorb_head()
            resolution = resolve(self.texts)
            self.meanings |= {f: entry for f, entry in resolution.chosen.items() if f not in self._seen}
            self._seen.update(resolution.known, resolution.unknown)
            if resolution.unit is not None and self.may_settle(resolution):
                self._write(resolution.unit, resolution)
            if (self.texts, self.lines) == before:
                return resolution

    def may_settle(self, resolution: Resolution) -> bool:
        return not {AREA, LOCALITY} & set(resolution.unknown) and not _is_weak(self.texts, resolution)

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


def read(rules: CountryRules, texts: Texts, lines: tuple[str, ...], language: str | None) -> Reading:
    """Resolve the three fields and the beginning of the first line against the table of divisions."""
    desk = _Desk(texts, lines)
    resolution = desk.resolution
    settled = resolution.unit is not None and desk.may_settle(resolution)
    latin = writes_latin(rules, language, desk.lines, texts if any(texts.values()) else desk.texts)
    report = _Report(desk, texts, latin)
    unit = resolution.unit if settled else None
    if unit is not None:
        report.settled(unit)
    else:
        report.unsettled()
    report.lines()
    province = unit.slots()[0] if unit is not None else None
    prefixes = (
        divisions().postal_prefixes.get(province.code, frozenset()) if province is not None else frozenset()
    )
    return Reading(
        parts=report.parts,
        lines=desk.lines,
        findings=tuple(report.findings),
        areas=(PostalArea(_shown(province, latin), "|".join(sorted(prefixes))),)
        if province and prefixes
        else (),
        open_fields=report.open_fields,
        undivided=report.undivided,
        latin=latin,
    )


class _Report:
    """Compares what was given with what came out, and says why."""

    def __init__(self, desk: _Desk, given: Texts, latin: bool) -> None:
        self.desk = desk
        self.given = given
        self.latin = latin
        self.parts: dict[str, Part] = {}
        self.findings: list[Finding] = []
        self.open_fields: frozenset[str] = frozenset()
        self.undivided: str | None = None

    def settled(self, unit: Unit) -> None:
        """One unit was found: its levels are confirmed, corrected or inferred."""
        resolution = self.desk.resolution
        slots = dict(zip(DIVISIONS, unit.slots(), strict=True))
        for field, slot in slots.items():
            given, text = self.given.get(field), self.desk.texts[field]
            entry = resolution.chosen.get(field)
            if entry is not None and entry.grade == ABOLISHED and text is not None:
                self._abolished(field, text, entry)
            elif field in resolution.unknown and text is not None:
                self._below(field, text, unit)
            elif slot is not None:
                self._placed(field, given, slot, slots)
            elif given is not None:
                self.parts[field] = Part(None, "corrected")
                self._add("division-moved", field, given=given)
        divided = unit.code in divisions().divided or (unit.level == PROVINCE and unit.slots()[1] is unit)
        if divided and unit.slots()[1] is not None and self.desk.texts[DEPENDENT] is None:
            self.undivided = _shown(unit, self.latin)

    def _placed(self, field: str, given: str | None, slot: Unit, slots: dict[str, Unit | None]) -> None:
        value = _shown(slot, self.latin)
        if given == value:
            self.parts[field] = Part(value, "confirmed", slot.code)
            return
        self.parts[field] = Part(value, "corrected" if given is not None else "inferred", slot.code)
        meanings = self.desk.meanings
        meaning = meanings.get(field)
        if given is None:
            if not any(m.unit is slot and (f == field or slots[f] is not slot) for f, m in meanings.items()):
                self._add("division-inferred", field, value=value)
        elif given in PLACEHOLDERS or (
            meaning is not None and meaning.unit is slot and meaning.grade < RENAMED
        ):
            self._add("name-standardised", field, given=given, value=value)
        elif meaning is None:
            self._add("division-moved", field, given=given)
        elif meaning.unit is slot and meaning.retired is not None:
            self._add("division-renamed", field, given=given, value=value, hint=meaning.retired.last_year)
        else:
            self._add("division-moved", field, given=given)

    def _abolished(self, field: str, text: str, entry: Entry) -> None:
        assert entry.retired is not None
        self.parts[field] = Part(text, "unconfirmed")
        candidates = tuple(unit.candidate() for unit in entry.retired.successors)
        self._add(
            "division-abolished", field, given=text, hint=entry.retired.last_year, candidates=candidates
        )

    def _below(self, field: str, text: str, unit: Unit) -> None:
        self.parts[field] = Part(text, "unconfirmed")
        undivided_city = unit.slots()[1] is unit and unit.code not in divisions().divided
        rule = "division-below-county" if undivided_city or unit.level == COUNTY else "division-unknown"
        self._add(rule, field, value=text)

    def unsettled(self) -> None:
        """Nothing is changed; the doubt is described as closely as possible."""
        resolution, texts = self.desk.resolution, self.desk.texts
        for field in DIVISIONS:
            text = texts[field]
            if text is None and self.given.get(field) is None:
                continue
            text = text or self.given.get(field)
            status: Status = "confirmed" if field == AREA and self._is_province(text) else "unconfirmed"
            if self.given.get(field) is None:
                status = "inferred"
            self.parts[field] = Part(text, status)
        candidates = tuple(unit.candidate() for unit in resolution.units[:_CANDIDATES_MAX])
        for field in resolution.unknown:
            self._add("division-unknown", field, value=texts[field], candidates=candidates)
        if resolution.unknown:
            return
        if resolution.units:
            self._doubtful(resolution, candidates)
        elif resolution.known:
            self._contradictory(texts)

    def _doubtful(self, resolution: Resolution, candidates: tuple[Candidate, ...]) -> None:
        field = resolution.known[-1]
        entry = resolution.chosen[field]
        self.open_fields = frozenset(DIVISIONS)
        if entry.grade == ABOLISHED:
            text = self.desk.texts[field] or ""
            self._abolished(field, text, entry)
            return
        self._add("division-ambiguous", field, given=self.desk.texts[field], candidates=candidates)

    def _contradictory(self, texts: Texts) -> None:
        fields = [field for field in DIVISIONS if texts[field]]
        for high, low in itertools.combinations(fields, 2):
            if not resolve({high: texts[high], low: texts[low]}).units:
                rest = {field: text for field, text in texts.items() if field != high}
                alone = (resolve(rest).units or resolve({low: texts[low]}).units)[:_CANDIDATES_MAX]
                self._add(
                    "division-mismatch", low, value=texts[low], hint=texts[high] or "",
                    candidates=tuple(unit.candidate() for unit in alone),
                )  # fmt: skip
                return
        self._add("division-mismatch", fields[-1], value=texts[fields[-1]], hint=texts[fields[0]] or "")

    def lines(self) -> None:
        """What was taken out of the first line, or stands there against the fields."""
        for rule, names in (
            ("divisions-read-from-lines", self.desk.read_from_lines),
            ("divisions-repeated", self.desk.repeated),
        ):
            if names:
                self._add(rule, "lines/0", value=" ".join(names))
        if self.desk.disagreeing is not None:
            self._add("lines-disagree", "lines/0", value=self.desk.disagreeing.text)

    @staticmethod
    def _is_province(text: str | None) -> bool:
        return text is not None and any(
            e.level == PROVINCE and e.grade == FULL for e in divisions().find(text)
        )

    def _add(
        self,
        rule: str,
        field: str,
        *,
        given: str | None = "",
        value: str | None = "",
        hint: str = "",
        candidates: tuple[Candidate, ...] = (),
    ) -> None:
        self.findings.append(
            finding(rule, f"/{field}", given=given, value=value, hint=hint, candidates=candidates)
        )


def _shown(unit: Unit, latin: bool) -> str:
    return unit.latin if latin and unit.latin is not None else unit.name

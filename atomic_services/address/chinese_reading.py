"""Reads the division fields of a Chinese address and explains, field by field, what became of them."""

import itertools

from atomic_services.address.chinese import Desk, Resolution, resolve
from atomic_services.address.divisions import (
    ABOLISHED,
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
from atomic_services.address.reading import (
    AREA,
    DEPENDENT,
    DIVISIONS,
    Part,
    PostalArea,
    Reading,
    Texts,
    writes_latin,
)
from atomic_services.address.reference import CountryRules
from atomic_services.address.schema import Candidate, Finding, Status

_CANDIDATES_MAX = 10


def read(
    rules: CountryRules, texts: Texts, lines: tuple[str, ...], postal_code: str | None, language: str | None
) -> Reading:
    """Resolve the three fields and the beginning of the first line against the table of divisions.

    The postal code has a say only where several units of different provinces are left.
    """
    desk = Desk(texts, lines, postal_code)
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

    def __init__(self, desk: Desk, given: Texts, latin: bool) -> None:
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
        if unit is self.desk.by_postal_code:
            field = next(field for field in reversed(DIVISIONS) if slots[field] is unit)
            self._add("division-inferred-from-postal-code", field, value=_shown(unit, self.latin))
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

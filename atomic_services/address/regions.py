"""Resolves the division fields against the postal metadata's tree of sub-regions."""

import functools

from atomic_services.address.findings import finding
from atomic_services.address.han import simplify
from atomic_services.address.reading import (
    AREA,
    DIVISIONS,
    LOCALITY,
    Part,
    PostalArea,
    Reading,
    Texts,
    writes_latin,
)
from atomic_services.address.reference import CountryRules, Region, pattern
from atomic_services.address.schema import Candidate, Finding

_CANDIDATES_MAX = 10
Trail = tuple[Region, ...]


def read(
    rules: CountryRules, texts: Texts, lines: tuple[str, ...], postal_code: str | None, language: str | None
) -> Reading:
    """Match each given name inside its parent; infer the first level where the data leaves one possibility."""
    latin = writes_latin(rules, language, lines, texts)
    walk = _Walk(rules, texts, latin)
    walk.infer_area(postal_code)
    walk.descend()
    trail = walk.trail
    return Reading(
        parts=walk.parts,
        lines=lines,
        findings=tuple(walk.findings),
        areas=tuple(
            PostalArea(_shown(r, latin), r.postal_prefix) for r in trail if r.postal_prefix is not None
        ),
        postal_pattern=next((r.postal_override for r in trail if r.postal_override is not None), None),
        required=next((r.required for r in trail if r.required is not None), None),
        open_fields=frozenset(walk.open_fields),
        latin=latin,
    )


class _Walk:
    """One descent from the country to the deepest region that the texts name."""

    def __init__(self, rules: CountryRules, texts: Texts, latin: bool) -> None:
        self.rules = rules
        self.texts = texts
        self.latin = latin
        self.trail: Trail = ()
        self.parts: dict[str, Part] = {}
        self.findings: list[Finding] = []
        self.open_fields: set[str] = set()

    def infer_area(self, postal_code: str | None) -> None:
        """Fill an absent but required first level from the locality, or from the postal code."""
        root = self.rules.regions
        if self.texts.get(AREA) or AREA not in self.rules.required or not root.children:
            return
        if locality := self.texts.get(LOCALITY):
            found: list[Trail] = [(area, place) for area in root.children for place in area.find(locality)]
            areas = {id(area): area for area, _ in found}
            if len(areas) == 1:
                self._take(AREA, found[0][0], "division-inferred")
            elif areas:
                self.open_fields.add(AREA)
                self._add("division-ambiguous", LOCALITY, given=locality, candidates=self._candidates(found))
            if areas:
                return
        if postal_code and all(area.postal_prefix for area in root.children):
            matching = [
                a for a in root.children if a.postal_prefix and pattern(a.postal_prefix).match(postal_code)
            ]
            if len(matching) == 1:
                self._take(AREA, matching[0], "division-inferred-from-postal-code")

    def descend(self) -> None:
        """Match the given texts level by level; below an unmatched level nothing can be confirmed."""
        for depth, field in enumerate(DIVISIONS):
            text = self.texts.get(field)
            if field in self.parts or not text:
                continue
            parent = self._parent(depth)
            if parent is None or not parent.children:
                self.parts[field] = Part(text, "unconfirmed")
                continue
            found = parent.find(text)
            if len(found) == 1:
                self._take(field, found[0], "name-standardised")
                continue
            self.parts[field] = Part(text, "unconfirmed")
            if found:
                places = [(*self.trail, region) for region in found]
                self._add("division-ambiguous", field, given=text, candidates=self._candidates(places))
            else:
                self._unmatched(field, text)

    def _parent(self, depth: int) -> Region | None:
        if depth == 0:
            return self.rules.regions
        return self.trail[depth - 1] if len(self.trail) >= depth else None

    def _take(self, field: str, region: Region, rule: str) -> None:
        text = self.texts.get(field)
        value = _shown(region, self.latin)
        self.trail = (*self.trail, region)
        if text == value:
            self.parts[field] = Part(value, "confirmed", region.code)
            return
        self.parts[field] = Part(value, "corrected" if text else "inferred", region.code)
        self._add(rule, field, given=text, value=value)

    def _unmatched(self, field: str, text: str) -> None:
        if field == AREA:
            self._add("division-unknown", field, value=text)
            return
        elsewhere: list[Trail] = []
        if field == LOCALITY:
            elsewhere = [(area, place) for area in self.rules.regions.children for place in area.find(text)]
        if elsewhere:
            hint = self.parts[AREA].value or ""
            self._add(
                "division-mismatch", field, value=text, hint=hint, candidates=self._candidates(elsewhere)
            )
        else:
            self._add("division-unconfirmed", field, value=text)

    def _add(
        self,
        rule: str,
        field: str,
        *,
        given: str | None = "",
        value: str = "",
        hint: str = "",
        candidates: tuple[Candidate, ...] = (),
    ) -> None:
        self.findings.append(
            finding(rule, f"/{field}", given=given, value=value, hint=hint, candidates=candidates)
        )

    def _candidates(self, trails: list[Trail]) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(*(_shown(region, self.latin) for region in trail)) for trail in trails[:_CANDIDATES_MAX]
        )


def _shown(region: Region, latin: bool) -> str:
    return region.latin if latin else region.local


def find_beginning(parent: Region, text: str) -> tuple[int, Region] | None:
    """The sub-region whose name a text without separators begins with (東京都千代田区), and the name's length.

    Only for scripts that do not separate words; traditional and simplified characters are the same here.
    """
    named = _beginnings(parent)
    if not named:
        return None
    plain = simplify(text)
    for name, region in named.get(plain[:2], ()):
        if plain.startswith(name):
            return len(name), region
    return None


@functools.lru_cache(maxsize=1024)
def _beginnings(parent: Region) -> dict[str, list[tuple[str, Region]]]:
    """The first two characters of the sub-regions' simplified names -> names and regions, the longest first."""
    found: dict[str, list[tuple[str, Region]]] = {}
    for region in parent.children:
        name = simplify(region.local)
        if len(name) > 1 and not name.isascii():
            found.setdefault(name[:2], []).append((name, region))
    for rows in found.values():
        rows.sort(key=lambda row: -len(row[0]))
    return found

"""Reads a pasted address of any country as far as the postal metadata goes: postal code, region, locality.

A locality that the metadata does not list is taken by its place beside the postal code or the region, which the caller
says. Everything else stays in the lines, in the order of the text.
"""

import re

import msgspec

from atomic_services.address.han import simplify
from atomic_services.address.labels import POSTAL_CODE, behind
from atomic_services.address.pasted import SEPARATING, Pasted
from atomic_services.address.reading import AREA, DEPENDENT, LOCALITY
from atomic_services.address.reference import CountryRules, Region
from atomic_services.address.regions import find_beginning

_PIECE = re.compile(f"[^{SEPARATING}]+")
# What stands before the regions of the metadata; 香港岛 is one of them.
_PREFIXES = {
    "HK": re.compile("(?:中[国國])?香港(?:特[别別]行政[区區])?(?![岛島])"),
    "MO": re.compile("(?:中[国國])?澳[门門](?:特[别別]行政[区區])?(?!半)"),
    "TW": re.compile("(?:中[国國])?[台臺][湾灣]省?"),
}
# The districts of Hong Kong, which its postal metadata does not list, and the part of the city each lies in
# (District Councils Ordinance, Cap. 547, Schedule 1). They stand in the lines.
_DISTRICTS = {
    "HK": {
        "香港島": ("中西區", "灣仔區", "東區", "南區"),
        "九龍": ("油尖旺區", "深水埗區", "九龍城區", "黃大仙區", "觀塘區"),
        "新界": ("葵青區", "荃灣區", "屯門區", "元朗區", "北區", "大埔區", "沙田區", "西貢區", "離島區"),
    }
}
# 王小明 台北市大安區…: a blank separates a person from a place.
_BEHIND_NAME = re.compile("[\u3400-\u9fff]{2,5} (?=[\u3400-\u9fff])")
_ENDS = " \t:：.,-"
_WORDS_MAX = 4
_PIECES_MAX = 8
_HAS_DIGIT = re.compile(r"\d")


class ForeignText(msgspec.Struct, frozen=True):
    """The fields that were found; `assumed` names those that stand there by their place alone, `inferred` those that
    follow from what stays in the lines.
    """

    fields: dict[str, str]
    postal_code: str | None
    assumed: tuple[str, ...]
    inferred: tuple[str, ...]


def read(pasted: Pasted, rules: CountryRules) -> ForeignText:
    """Take postal code, region, locality and recipient out of the text; what is left are the lines."""
    if rules.code in _PREFIXES:
        pasted.text = _PREFIXES[rules.code].sub(lambda match: "\n" * len(match[0]), pasted.text, count=1)
    reader = _Reader(pasted, rules)
    reader.take_postal_code()
    reader.take_regions()
    if not rules.regions.children or rules.local_is_latin:
        reader.take_locality_by_place()
    pasted.take_recipient(None if not reader.fields and reader.postal_code is None else 0)
    return ForeignText(reader.fields, reader.postal_code, tuple(reader.assumed), tuple(reader.inferred))


class _Reader:
    def __init__(self, pasted: Pasted, rules: CountryRules) -> None:
        self.pasted = pasted
        self.rules = rules
        self.fields: dict[str, str] = {}
        self.postal_code: str | None = None
        self.assumed: list[str] = []
        self.inferred: list[str] = []
        self.split: tuple[str, list[tuple[int, str]]] | None = None
        self.anchor: int | None = None  # where the region or the postal code stood

    def _pieces(self) -> list[tuple[int, str]]:
        if self.split is None or self.split[0] != self.pasted.text:
            self.split = self.pasted.text, self._split()
        return self.split[1]

    def _split(self) -> list[tuple[int, str]]:
        found = []
        for match in _PIECE.finditer(self.pasted.text):
            stripped = match[0].strip(_ENDS)
            if stripped:
                found.append((match.start() + match[0].index(stripped), stripped))
        # Places stand at the beginning or at the end of an address.
        return found if len(found) <= 2 * _PIECES_MAX else found[:_PIECES_MAX] + found[-_PIECES_MAX:]

    def take_postal_code(self) -> None:
        """The last piece that begins or ends with a code of the country's form; a labelled one first."""
        if self.rules.postal_pattern is None:
            return
        code = rf"(?:{self.rules.code}-|〒)?(?P<code>{self.rules.postal_pattern})"
        expression = re.compile(rf"(?<![A-Za-z0-9-]){code}(?![A-Za-z0-9-])", re.ASCII | re.IGNORECASE)
        labelled = behind(self.pasted.text, POSTAL_CODE)
        for position in labelled:
            match = expression.search(self.pasted.text, position)
            if match is not None and not self.pasted.text[position : match.start()].strip():
                self._take_code(match)
                return
        for start, piece in reversed(self._pieces()):
            for match in reversed(list(expression.finditer(self.pasted.text, start, start + len(piece)))):
                at_end = match.end() == start + len(piece)
                if at_end or "〒" in match[0] or (match.start() == start and len(self._pieces()) > 1):
                    self._take_code(match)
                    return

    def _take_code(self, match: re.Match[str]) -> None:
        self.postal_code = match["code"]
        self.anchor = match.start()
        self.pasted.take(*match.span())

    def take_regions(self) -> None:
        """Region, locality and its part: whole pieces, the last words of one, or the beginning of a text."""
        parent: Region = self.rules.regions
        for field in (AREA, LOCALITY, DEPENDENT):
            if not parent.children:
                return
            holder = parent
            found = self._whole(parent) or self._last_words(parent) or self._beginning(parent)
            if found is None:
                if field == AREA:
                    self._take_locality_alone()
                    self._infer_area()
                return
            start, end, parent = found
            given = self.pasted.text[start:end]
            # 台北 in simplified characters is written as the metadata has it; an English name stays English.
            self.fields[field] = given if holder.find(given) else parent.local
            self.anchor = start
            self.pasted.take(start, end)

    def _take_locality_alone(self) -> None:
        """香港 中環: a locality that only one region has stands for both."""
        found = [
            place
            for area in self.rules.regions.children
            if area.children and (place := self._whole(area) or self._beginning(area))
        ]
        if len(found) == 1 and not self.rules.local_is_latin:
            start, end, region = found[0]
            self.fields[LOCALITY] = region.local
            self.anchor = start
            self.pasted.take(start, end)

    def _infer_area(self) -> None:
        """中西區德輔道中: a district whose name the metadata does not have says which region it is in."""
        districts = _DISTRICTS.get(self.rules.code, {})
        if self.fields or not districts:
            return
        begins = [simplify(piece) for _, piece in self._pieces()]
        for area, names in districts.items():
            if any(begin.startswith(tuple(map(simplify, names))) for begin in begins):
                self.fields[AREA] = area
                self.inferred.append(AREA)
                return

    def _whole(self, parent: Region) -> tuple[int, int, Region] | None:
        for start, piece in reversed(self._pieces()):
            regions = parent.find(piece)
            if len(regions) == 1:
                return start, start + len(piece), regions[0]
        return None

    def _last_words(self, parent: Region) -> tuple[int, int, Region] | None:
        """Mountain View CA: the words at the end of the last two pieces."""
        for start, piece in reversed(self._pieces()[-2:]):
            begins = [start + m.start() for m in re.finditer(r"(?<=\s)\S", piece)][-_WORDS_MAX:]
            for begin in begins:
                name = self.pasted.text[begin : start + len(piece)]
                regions = parent.find(name)
                if len(regions) == 1 and not name.isdigit():
                    return begin, start + len(piece), regions[0]
        return None

    def _beginning(self, parent: Region) -> tuple[int, int, Region] | None:
        """東京都千代田区…: without separators, the longest name that a piece begins with, or what follows a name in it."""
        for start, piece in self._pieces():
            behind_name = _BEHIND_NAME.match(piece)
            for offset in (0, behind_name.end()) if behind_name is not None else (0,):
                found = find_beginning(parent, piece[offset:])
                if found is not None:
                    length, region = found
                    begin = start + offset
                    # 灣仔區 is the district of that name.
                    length += self.pasted.text[begin + length : begin + length + 1] in ("区", "區")
                    return begin, begin + length, region
        return None

    def take_locality_by_place(self) -> None:
        """The words beside the postal code or before the region, where the country has localities at all."""
        if LOCALITY in self.fields or LOCALITY not in self.rules.allowed or self.anchor is None:
            return
        pieces = self._pieces()
        line = [(start, piece) for start, piece in pieces if self._same_line(start, self.anchor)]
        nearest = min(line or pieces[1:], key=lambda row: abs(row[0] - (self.anchor or 0)), default=None)
        if nearest is None or _HAS_DIGIT.search(nearest[1]) or len(pieces) < 2 or len(nearest[1]) > 120:
            return
        start, piece = nearest
        self.fields[LOCALITY] = piece
        self.assumed.append(LOCALITY)
        self.pasted.take(start, start + len(piece))

    def _same_line(self, a: int, b: int) -> bool:
        low, high = min(a, b), max(a, b)
        return not self.pasted.original[low:high].strip(SEPARATING).count("\n")

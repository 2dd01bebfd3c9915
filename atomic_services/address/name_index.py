"""Finds places by the beginning of a name: sorted names and bisection, without a scan of all.

A name is found by its beginning, by the initials of its pinyin, behind the names of larger places, or with one
letter more, less, wrong or exchanged with its neighbour; a Chinese one also by other characters of the same sound.
"""

import functools
import heapq
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from string import ascii_lowercase

import msgspec

from atomic_services.address.places import Place, places
from atomic_services.address.spellings import read_aloud
from atomic_services.address.suggest_schema import Match

_AFTER_ALL = "\U0010ffff"
_SIMILAR_LENGTH_MIN = 4
_SIMILAR_CHARACTERS_MIN = 3
_HAN = re.compile("[\u4e00-\u9fff]{2,12}")
_FEW = 256  # rows that are all looked at; of more, only the largest places
_NAMES_OF_A_PLACE = 8
Wanted = Callable[[Place], bool]


class Hit(msgspec.Struct, frozen=True):
    """A place, how the text matched it, and the part of the text that is the beginning of its own name."""

    place: Place
    match: Match
    typed: str


class NameIndex:
    """The names of some places in alphabetical order."""

    def __init__(self, found: Iterable[Place]) -> None:
        self.places = tuple(found)
        rows = sorted(
            (name, position, is_initials)
            for position, place in enumerate(self.places)
            for is_initials, names in ((False, place.names), (True, place.initials))
            for name in names
        )
        self._names = [row[0] for row in rows]
        self._owners = array("I", (row[1] for row in rows))
        self._initials = bytearray(row[2] for row in rows)
        self._sizes = array("Q", (self._size(*row[1:]) for row in rows))

    def _size(self, position: int, is_initials: bool) -> int:
        """What puts large places first, and their names before their initials."""
        return (is_initials << 40) + (self.places[position].level << 32) + self.places[position].order

    def begin_with(self, text: str, wanted: Wanted, limit: int) -> Iterator[Hit]:
        """The wanted places one of whose names, or whose initials, begin with a folded text; where there are very many
        of them, at least the `limit` largest and those with just that name."""
        low, high = self._range(text)
        rows = [row for row in range(low, high) if wanted(self.places[self._owners[row]])]
        if len(rows) > _FEW:
            whole = [row for row in rows[:_FEW] if self._names[row] == text]
            rows = whole + heapq.nsmallest(limit * _NAMES_OF_A_PLACE, rows, key=self._sizes.__getitem__)
        for row in rows:
            match: Match = "beginning"
            if self._initials[row]:
                match = "initials"
            elif self._names[row] == text:
                match = "whole"
            yield Hit(self.places[self._owners[row]], match, text)

    def similar_to(self, text: str, wanted: Wanted) -> Iterator[Hit]:
        """The wanted places one of whose names begins with a text in which one letter but the first is changed, or
        that a Chinese text sounds like."""
        if _HAN.fullmatch(text):
            alike = [hit for said in read_aloud(text) for hit in self._sounding_like(said, wanted)]
            yield from alike or self._one_character_apart(text, wanted)
        if len(text) < _SIMILAR_LENGTH_MIN or not (text.isascii() and text.isalnum()):
            return
        for changed in self._changes(text):
            low, high = self._range(changed)
            for row in range(low, high):
                place = self.places[self._owners[row]]
                if not self._initials[row] and wanted(place):
                    yield Hit(place, "similar", changed)

    def _sounding_like(self, said: str, wanted: Wanted) -> Iterator[Hit]:
        """广洲 is 广州, which is typed with the same letters; so is 杭洲西湖."""
        for hit in (*self.begin_with(said, wanted, _FEW), *self.behind_larger(said, wanted)):
            if hit.match != "initials":
                yield Hit(hit.place, "similar", hit.typed)

    def _one_character_apart(self, text: str, wanted: Wanted) -> Iterator[Hit]:
        if len(text) < _SIMILAR_CHARACTERS_MIN:
            return
        low, high = self._range(text[0])
        for row in range(low, high):
            place = self.places[self._owners[row]]
            length = _one_apart(self._names[row], text)
            if length and wanted(place):
                yield Hit(place, "similar", self._names[row][:length])

    def _changes(self, text: str) -> Iterator[str]:
        """Texts with one letter changed, as far as some name begins with what stands before the change."""
        for i in range(1, len(text)):
            head, rest = text[:i], text[i:]
            low, high = self._range(head)
            if low == high:
                return
            if len(text) > _SIMILAR_LENGTH_MIN:
                yield head + rest[1:]
            if len(rest) > 1 and rest[0] != rest[1]:
                yield head + rest[1] + rest[0] + rest[2:]
            for letter in ascii_lowercase:
                if letter != rest[0]:
                    yield head + letter + rest[1:]
                    yield head + letter + rest

    def behind_larger(self, text: str, wanted: Wanted) -> Iterator[Hit]:
        """The wanted places named by one or more larger places and a beginning: 杭州西湖, hzxh."""
        for i in range(1, len(text)):
            head, rest = text[:i], text[i:]
            row = bisect_left(self._names, head)
            while row < len(self._names) and self._names[row] == head:
                place = self.places[self._owners[row]]
                if place.children and wanted(place):
                    yield from _inside(place, rest)
                row += 1

    def _range(self, text: str) -> tuple[int, int]:
        low = bisect_left(self._names, text)
        return low, bisect_left(self._names, text + _AFTER_ALL, low)


def _one_apart(name: str, text: str) -> int:
    """How much of a name a text stands for in which one character is wrong, missing, too much or exchanged with the
    next; 0 where it stands for none."""
    at = next((i for i, (a, b) in enumerate(zip(name, text, strict=False)) if a != b), len(text))
    name_behind, text_behind, length = name[at + 1 :], text[at + 1 :], len(text)
    exchanged = name[at : at + 2] == text[at : at + 2][::-1] and name[at + 2 :].startswith(text[at + 2 :])
    if name_behind.startswith(text_behind) or exchanged:
        return length
    if name_behind.startswith(text[at:]):
        return length + 1
    return length - 1 if length > _SIMILAR_CHARACTERS_MIN and name[at:].startswith(text_behind) else 0


def _inside(larger: Place, text: str) -> Iterator[Hit]:
    for place in larger.within():
        for name in (*place.names, *place.initials):
            if name.startswith(text):
                yield Hit(place, "path", text)
            elif place.children and text.startswith(name):
                yield from _inside(place, text[len(name) :])


@functools.cache
def everywhere() -> NameIndex:
    """The index of all places."""
    return NameIndex(places().all)

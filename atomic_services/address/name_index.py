"""Finds places by the beginning of a name: sorted names and bisection, without a scan of all.

A name is found by its beginning, by the initials of its pinyin, behind the names of larger places, or with one
letter more, less, wrong or exchanged with its neighbour.
"""

import functools
import heapq
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from string import ascii_lowercase

import msgspec

from atomic_services.address.places import Place, places
from atomic_services.address.suggest_schema import Match

_AFTER_ALL = "\U0010ffff"
_SIMILAR_LENGTH_MIN = 4
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
        """The wanted places one of whose names begins with a Latin text in which one letter but the first is changed."""
        if len(text) < _SIMILAR_LENGTH_MIN or not (text.isascii() and text.isalnum()):
            return
        for changed in self._changes(text):
            low, high = self._range(changed)
            for row in range(low, high):
                place = self.places[self._owners[row]]
                if not self._initials[row] and wanted(place):
                    yield Hit(place, "similar", changed)

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

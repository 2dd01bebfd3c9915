"""Clients' own logs of what they were answered: JSON lines that may be growing while they are read."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from catalog.vocabulary.ids import parse_call_id
from catalog.vocabulary.problem import FieldError, Problem


class BookEntry(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """One line of a book: what was called and what came back.

    A metered reply shows its class or its charge. A reply without them was refused or replayed by the gateway; an
    entry without `status` was never answered and may have been metered or not.
    """

    operation: str
    call_id: str | None = None
    account: str | None = None
    status: int | None = None
    class_: str | None = None
    charge: str | None = None

    @property
    def metered(self) -> bool:
        """Whether the client holds a receipt."""
        return self.call_id is not None and (self.class_ is not None or self.charge is not None)

    @property
    def unanswered(self) -> bool:
        """Whether the client cannot know how the call ended."""
        return not self.status


class Booked(msgspec.Struct):
    """What books say: `answered` entries by call, and how many calls of each operation were never answered."""

    answered: dict[UUID, BookEntry] = msgspec.field(default_factory=dict)
    unanswered: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, entries: Iterable[BookEntry]) -> None:
        """Take entries in."""
        for entry in entries:
            if entry.unanswered:
                self.unanswered[entry.operation] += 1
            elif entry.call_id is not None:
                call_id = parse_call_id(entry.call_id)
                # A replay repeats the first reply's id without being metered again.
                if call_id not in self.answered or entry.metered:
                    self.answered[call_id] = entry

    @property
    def receipts(self) -> list[UUID]:
        """The calls for which a client holds a receipt, in the order of their ids."""
        return sorted(call_id for call_id, entry in self.answered.items() if entry.metered)


class ClientBooks:
    """Several books, each read from where the last reading ended."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Nothing is read yet."""
        self._places = dict.fromkeys(paths, (0, 0))
        self._decoder = msgspec.json.Decoder(BookEntry)

    def __bool__(self) -> bool:
        """Whether there is any book."""
        return bool(self._places)

    def read_on(self) -> Iterator[BookEntry]:
        """The entries that are new; `Problem` malformed-request names the file and line that is none.

        A last line that is not whole yet is left for the next reading: its writer is at it.
        """
        for path, (position, number) in self._places.items():
            with path.open("rb") as book:
                book.seek(position)
                for line in book:
                    unfinished = not line.endswith(b"\n")
                    try:
                        entry = self._entry(line)
                    except ValueError as error:
                        if unfinished:
                            break
                        found = FieldError("", "book-entry", str(error))
                        raise Problem(
                            "malformed-request", f"{path}, line {number + 1}: {error}.", errors=(found,)
                        ) from None
                    position += len(line)
                    number += not unfinished
                    if entry is not None:
                        yield entry
            self._places[path] = (position, number)

    def _entry(self, line: bytes) -> BookEntry | None:
        """None for the newline of a line that was whole without it when it was read; `ValueError` where it is no entry."""
        if line == b"\n":
            return None
        entry = self._decoder.decode(line)
        if entry.call_id is not None:
            parse_call_id(entry.call_id)
        return entry

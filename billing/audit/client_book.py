"""Clients' own logs of what they were answered: JSON lines that may be growing while they are read."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from catalog.vocabulary.ids import parse_call_id
from catalog.vocabulary.problem import FieldError, Problem

_NAMED_MAX = 20
# `Ordergate-Charge`: an amount, its currency, and whether the period decides.
_CHARGE = re.compile(r"([0-9]{1,40}(?:\.[0-9]{1,40})? [A-Z]{3})(?:; estimate)?")
# A replay is charged nothing, under the id of the call that it repeats: a charge of 0 says nothing of what that call cost.
_NOTHING = re.compile(r"0+(?:\.0+)? [A-Z]{3}")


class BookEntry(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """One line of a book: what was called and what came back.

    A metered reply shows its class or its charge. A reply without them was refused or replayed by the gateway; an
    entry with neither them nor a `status` was never answered and may have been metered or not.
    """

    operation: str
    call_id: str | None = None
    account: str | None = None
    status: int | None = None
    class_: str | None = None
    charge: str | None = None

    @property
    def unanswered(self) -> bool:
        """Whether the client cannot know how the call ended."""
        return not self.status and not self.metered

    @property
    def metered(self) -> bool:
        """Whether the client says that it holds a receipt."""
        return self.class_ is not None or self.charge is not None

    @property
    def ended_well(self) -> bool:
        """Whether it says that the call was served; nothing is served without a receipt."""
        return self.metered or (self.status is not None and 200 <= self.status < 300)


class Line(msgspec.Struct, frozen=True):
    """An entry and where it stands; `number` counts from 1."""

    path: Path
    number: int
    entry: BookEntry


class Said(msgspec.Struct, frozen=True):
    """What an answered entry says of its call. `metered`: the client holds a receipt; `charge` is its `0.055 CNY`, None where
    it says none that can be compared."""

    operation: str
    account: str | None
    class_: str | None
    metered: bool
    charge: str | None = None


class Booked:
    """What books say: `answered` by the 16 bytes of the call's id, and how many calls of each operation never were.

    Lines without a call's id can be compared with nothing: `nameless` counts those that say that a call was served,
    which are differences, and names the first; `refused` the others, which the gateway refuses without metering them.
    `unreadable` counts the receipts whose charge is not written as replies write it: they are compared without it.
    A book may have a million calls that say one of a dozen things: each is kept once, and of a call little but its id.
    """

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.answered: dict[bytes, Said] = {}
        self.unanswered: Counter[str] = Counter()
        self.nameless = 0
        self.nameless_named: list[str] = []
        self.refused = 0
        self.unreadable = 0
        self._said: dict[Said, Said] = {}

    def add(self, lines: Iterable[Line]) -> None:
        """Take lines in."""
        for line in lines:
            entry = line.entry
            if entry.unanswered:
                self.unanswered[entry.operation] += 1
            elif entry.call_id is not None:
                self._take_answer(parse_call_id(entry.call_id).bytes, entry)
            elif entry.ended_well:
                self._take_nameless(line)
            else:
                self.refused += 1

    def _take_answer(self, call_id: bytes, entry: BookEntry) -> None:
        # A replay repeats the first reply's id without being metered again.
        before = self.answered.get(call_id)
        if before is not None and not entry.metered:
            return
        charge = self._charge(entry.charge)
        if charge is None and before is not None:
            charge = before.charge
        said = Said(entry.operation, entry.account, entry.class_, entry.metered, charge)
        self.answered[call_id] = self._said.setdefault(said, said)

    def _charge(self, text: str | None) -> str | None:
        """Amount and currency of a charge that can be compared."""
        if text is None:
            return None
        if (found := _CHARGE.fullmatch(text)) is None:
            self.unreadable += 1
            return None
        return None if _NOTHING.fullmatch(found[1]) else found[1]

    def _take_nameless(self, line: Line) -> None:
        self.nameless += 1
        if len(self.nameless_named) < _NAMED_MAX:
            self.nameless_named.append(
                f"{line.path}, line {line.number}: {line.entry.operation} was served, and no `call_id` says which call it was"
            )

    @property
    def span(self) -> tuple[UUID, UUID] | None:
        """The first and the last call for which a client holds a receipt, by their ids."""
        receipts = [call_id for call_id, said in self.answered.items() if said.metered]
        return (UUID(bytes=min(receipts)), UUID(bytes=max(receipts))) if receipts else None


class ClientBooks:
    """Several books, each read from where the last reading ended."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Nothing is read yet."""
        self._places = dict.fromkeys(paths, (0, 0))
        self._decoder = msgspec.json.Decoder(BookEntry)

    def __bool__(self) -> bool:
        """Whether there is any book."""
        return bool(self._places)

    def read_on(self) -> Iterator[Line]:
        """The lines that are new; `Problem` malformed-request names the file and line that is none.

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
                        yield Line(path, number + unfinished, entry)
            self._places[path] = (position, number)

    def _entry(self, line: bytes) -> BookEntry | None:
        """None for the newline of a line that was whole without it when it was read; `ValueError` where it is no entry."""
        if line == b"\n":
            return None
        entry = self._decoder.decode(line)
        if entry.call_id is not None:
            parse_call_id(entry.call_id)
        return entry

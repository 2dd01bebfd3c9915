"""A pasted text on its way to an address: what was taken out of it, and the pieces that are left.

Everything that is understood is replaced by line feeds in place, so positions never move.
"""

import re
from collections.abc import Iterator

from atomic_services.address.contacts import Found, find_phones, find_postal_code
from atomic_services.address.labels import (
    MARKS,
    ORGANIZATION,
    PHONE,
    POSTAL_CODE,
    RECIPIENT,
    behind,
    blank,
    mark_labels,
)
from atomic_services.address.recipients import (
    Token,
    bears_surname,
    best_name,
    name_behind_house,
    without_receives,
)
from atomic_services.address.schema import NAME_LENGTH_MAX

SEPARATING = f"\n,;，；、|。{MARKS}"
_PIECE = re.compile(f"[^{SEPARATING}]+")
_WORD = re.compile(f"[^{SEPARATING}\\s()（）\\[\\]【】<>《》:：]+")
_LABELLED_NAME = re.compile(f"[^{SEPARATING} ]+|[A-Za-z][^{SEPARATING}\\d]*")
_CHINESE_CHARACTER = re.compile("[\u3400-\u9fff]")
_RECEIVES = re.compile(r"\s?[(（\[][收亲启]{1,2}[)）\]]")
_LEFT_OVER = " \t:：.-_/\\*=~!！?？…"


class Pasted:
    """The tidy text and its parts; `text` is what is not yet understood."""

    def __init__(self, text: str, country: str | None) -> None:
        self._lines = text.split("\n")
        self.text = mark_labels(text)
        self.country = country
        self.recipient: str | None = None
        self.recipient_assumed = False
        self.organization: str | None = None
        self.postal_code: str | None = None
        self.phones: list[Found] = []
        self._take_phones()
        self._postal_label = next(iter(behind(self.text, POSTAL_CODE)), None)
        self.organization = self._labelled(ORGANIZATION)
        self.recipient = self._labelled(RECIPIENT)
        self.original = self.text

    def take(self, start: int, end: int) -> None:
        """Mark a stretch as understood."""
        self.text = blank(self.text, start, end)

    def take_postal_code(self, prefixes: frozenset[str] | None) -> None:
        """A Chinese postal code; `prefixes` as in `find_postal_code`."""
        span = find_postal_code(self.text, self._postal_label, prefixes)
        if span is not None and self.postal_code is None:
            self.postal_code = self.text[span[0] : span[1]]
            self.take(*span)

    def pieces(self) -> list[tuple[int, str]]:
        """What is left between separators, with its positions."""
        found = []
        for match in _PIECE.finditer(self.text):
            stripped = match[0].strip(_LEFT_OVER)
            if stripped:
                found.append((match.start() + match[0].index(stripped), stripped))
        return found

    def take_recipient(self, first_division: int | None) -> None:
        """Find an unlabelled name among what is left, once the divisions are taken out."""
        if self.recipient is not None:
            return
        tokens = list(self._tokens())
        name = best_name(tokens)
        # The only piece behind the divisions is the street address, whatever it looks like.
        before = name is not None and first_division is not None and name.start < first_division
        if name is not None and (len(tokens) > 1 or name.by_phone or before):
            self._assume(name.start, name.text)
            return
        for token in tokens:
            if token.by_phone and (glued := name_behind_house(token.text)):
                self._assume(token.start + token.text.index(glued, len(token.text) - len(glued) - 3), glued)
                return

    def split_name(self, divisions_begin: list[int]) -> int | None:
        """Where a name of two to four characters at the very beginning ends and a division begins: 张三|杭州."""
        length = bears_surname(self.text)
        lengths = range(length + 1, 5) if length else ()
        return next((n for n in lengths if n in divisions_begin), None)

    def _assume(self, start: int, text: str) -> None:
        receives = _RECEIVES.match(self.text, start + len(text))
        self.take(start, receives.end() if receives else start + len(text))
        self.recipient = without_receives(text)[:NAME_LENGTH_MAX]
        self.recipient_assumed = True

    def _take_phones(self) -> None:
        self.phones = find_phones(self.text, self.country, behind(self.text, PHONE))
        for found in self.phones:
            self.take(found.start, found.end)
            if found.phone.extension is not None:
                # Platforms repeat the extension of a masked number: 张三[1234].
                mark = f"[{found.phone.extension}]"
                self.text = self.text.replace(mark, "\n" * len(mark))

    def _labelled(self, mark: str) -> str | None:
        for position in behind(self.text, mark):
            match = _LABELLED_NAME.match(self.text, position)
            if match is not None and len(match[0]) <= NAME_LENGTH_MAX:
                self.take(*match.span())
                return without_receives(match[0].strip())
        return None

    def _tokens(self) -> Iterator[Token]:
        """Chinese words by blanks, others by the stronger separators."""
        found: list[tuple[int, str]] = []
        for match in _PIECE.finditer(self.text):
            if _CHINESE_CHARACTER.search(match[0]):
                found += [(match.start() + word.start(), word[0]) for word in _WORD.finditer(match[0])]
            elif stripped := match[0].strip(" :-"):
                found.append((match.start() + match[0].index(stripped), stripped))
        used = [i for i, character in enumerate(self.original) if character not in SEPARATING + " "]
        first, last = (used[0], used[-1]) if used else (0, 0)
        for start, text in found:
            end = start + len(text)
            own_line = start <= first and self._lines[0].strip() == text and len(self._lines) > 2
            yield Token(start, text, start <= first, end > last, self._by_phone(start, end), own_line)

    def _by_phone(self, start: int, end: int) -> bool:
        return any(
            (f.end <= start and not self.original[f.end : start].strip(SEPARATING + " :-()[]"))
            or (end <= f.start and not self.original[end : f.start].strip(SEPARATING + " :-()[]"))
            for f in self.phones
        )

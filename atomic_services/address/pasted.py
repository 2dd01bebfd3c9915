"""A pasted text on its way to an address: what was taken out of it, and the pieces that are left.

Everything that is understood is replaced by line feeds in place, so positions never move.
"""

import re
from collections.abc import Iterator

from atomic_services.address.contacts import Found, find_phones, find_postal_code
from atomic_services.address.han import simplify
from atomic_services.address.labels import (
    MARKS,
    NOTE,
    NUMBER,
    ORGANIZATION,
    PHONE,
    POSTAL_CODE,
    RECIPIENT,
    behind,
    blank,
    mark_labels,
)
from atomic_services.address.mentions import Mention, mentions
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
_LATIN = "A-Za-z\u00c0-\u024f"
_LABELLED_NAME = re.compile(f"[{_LATIN}][{_LATIN}.'’ -]*(?![^{SEPARATING} ])|[^{SEPARATING} ]+")
_CHINESE_CHARACTER = re.compile("[\u3400-\u9fff]")
_NAME_LENGTHS = range(2, 5)
_RECEIVES = re.compile(r"\s?(?:[(（\[](?:[收亲启]{1,2}|先生|女士|小姐)[)）\]]|[收启](?=[\s,;，；。]|$))")
_LEFT_OVER = ' \t:：.-_/\\*=~+!！?？…"“”{}'
_EMPTY_BRACKETS = re.compile(f"[(（\\[【「][\\s,，:：{MARKS}]*[)）\\]】」]")
# What may stand between a name and a number that belongs to it.
_GAP = re.compile(f"(?:{_RECEIVES.pattern})?[{SEPARATING} :：()（）\\[\\]【】/_~+.-]*")
_MASKED_NUMBER = re.compile(r"(?<!\d)1[3-9]\d\*{4}\d{4}(?!\d)", re.ASCII)
_NOTE = re.compile(f"[^\n{MARKS}]+")
_NUMBER = re.compile(r"\s?[A-Za-z0-9-]{4,40}", re.ASCII)


class Pasted:
    """The tidy text and its parts; `text` is what is not yet understood."""

    def __init__(self, text: str, country: str | None) -> None:
        self._given = text
        self.text = mark_labels(text)
        self.country = country
        self.recipient: str | None = None
        self.recipient_assumed = False
        self.organization: str | None = None
        self.postal_code: str | None = None
        self._mentioned: tuple[str, list[Mention]] | None = None
        self.phones: list[Found] = []
        self.notes: list[str] = []
        self._take_notes(NUMBER, _NUMBER)
        self._take_phones()
        self._take_notes(NOTE, _NOTE)
        self._postal_label = next(iter(behind(self.text, POSTAL_CODE)), None)
        self.organization = self._labelled(ORGANIZATION)
        self.recipient = self._labelled(RECIPIENT)
        self.original = self.text
        masked = [match.span() for match in _MASKED_NUMBER.finditer(self.text)]
        self._numbers = [*((found.start, found.end) for found in self.phones), *masked]

    def take(self, start: int, end: int) -> None:
        """Mark a stretch as understood."""
        self.text = blank(self.text, start, end)

    def take_postal_code(self, prefixes: frozenset[str] | None) -> None:
        """A Chinese postal code; `prefixes` as in `find_postal_code`."""
        span = find_postal_code(self.text, self._postal_label, prefixes)
        if span is not None and self.postal_code is None:
            self.postal_code = self.text[span[0] : span[1]]
            self.take(*span)

    def mentions(self) -> list[Mention]:
        """The names of Chinese divisions in what is not yet understood."""
        if self._mentioned is None or self._mentioned[0] != self.text:
            self._mentioned = self.text, mentions(self.text, simplify(self.text))
        return self._mentioned[1]

    def pieces(self) -> list[tuple[int, str]]:
        """What is left between separators, with its positions."""
        found = []
        text = _EMPTY_BRACKETS.sub(lambda match: "\n" * len(match[0]), self.text)
        for match in _PIECE.finditer(text):
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
            beside = token.by_phone or (token.last and self.phones)
            if beside and (glued := name_behind_house(token.text)):
                self._assume(token.start + token.text.rindex(glued), glued)
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

    def _take_notes(self, mark: str, expression: re.Pattern[str]) -> None:
        """What is labelled as no part of the address, with its label, as it was given."""
        for position in behind(self.text, mark):
            match = expression.match(self.text, position)
            if match is None:
                continue
            start = position - 1
            while start > 0 and self.text[start - 1] == "\n" != self._given[start - 1]:
                start -= 1
            self.notes.append(self._given[start : match.end()].strip())
            self.take(start, match.end())

    def _labelled(self, mark: str) -> str | None:
        for position in behind(self.text, mark):
            match = _LABELLED_NAME.match(self.text, position)
            end = _end_of_name(match[0]) if match is not None else None
            if match is None or end is None:
                continue
            name = match[0][:end]
            receives = _RECEIVES.match(self.text, position + end)
            self.take(position, receives.end() if receives else position + end)
            return without_receives(name.strip())
        return None

    def _tokens(self) -> Iterator[Token]:
        """Chinese words by blanks, others by the stronger separators."""
        found: list[tuple[int, str]] = []
        for match in _PIECE.finditer(self.text):
            if _CHINESE_CHARACTER.search(match[0]):
                words = ((word.start(), word[0].strip(_LEFT_OVER)) for word in _WORD.finditer(match[0]))
                found += [(match.start() + match[0].index(word, at), word) for at, word in words if word]
            elif stripped := match[0].strip(" :-"):
                found.append((match.start() + match[0].index(stripped), stripped))
        used = [i for i, character in enumerate(self.original) if character not in SEPARATING + " "]
        first, last = (used[0], used[-1]) if used else (0, 0)
        lines = self._given.split("\n")
        for start, text in found:
            end = start + len(text)
            own_line = start <= first and lines[0].strip() == text and len(lines) > 2
            yield Token(start, text, start <= first, end > last, self.beside_number(start, end), own_line)

    def beside_number(self, start: int, end: int) -> bool:
        """Whether nothing but separators stands between a place in the text and a telephone number."""
        return any(
            (after <= start and _GAP.fullmatch(self.original, after, start) is not None)
            or (end <= before and _GAP.fullmatch(self.original, end, before) is not None)
            for before, after in self._numbers
        )


def _end_of_name(text: str) -> int | None:
    """How much of what stands behind a label is a name: 张三 of 张三浙江省杭州市…; None where that cannot be told."""
    if len(text) > max(_NAME_LENGTHS) and _CHINESE_CHARACTER.search(text):
        begins = {mention.start for mention in mentions(text, simplify(text))}
        cut = next((length for length in _NAME_LENGTHS if length in begins), None)
        # 浙江杭州某公司 receives as well, and begins with a division itself.
        if cut is not None and 0 not in begins:
            return cut
        if any(character.isdigit() for character in text):
            return None
    return len(text) if len(text) <= NAME_LENGTH_MAX else None

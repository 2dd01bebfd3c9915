"""A pasted text on its way to an address: what was taken out of it, and the pieces that are left.

Everything that is understood is replaced by line feeds in place, so positions never move.
"""

import itertools
import re
from collections.abc import Iterator

from atomic_services.address.contacts import Found, find_phones, find_postal_code
from atomic_services.address.divisions import PROVINCE
from atomic_services.address.han import simplify
from atomic_services.address.labels import (
    ITEM,
    MARKS,
    NOTE,
    NUMBER,
    ORGANIZATION,
    PHONE,
    POSTAL_CODE,
    RECIPIENT,
    SENDER,
    behind,
    blank,
    mark_labels,
)
from atomic_services.address.locate import locate
from atomic_services.address.mentions import Mention, mentions
from atomic_services.address.recipients import (
    Token,
    bears_surname,
    best_name,
    may_be_name,
    name_behind_house,
    without_receives,
)
from atomic_services.address.remarks import find_remarks
from atomic_services.address.schema import NAME_LENGTH_MAX

SEPARATING = f"\n,;，；、|。{MARKS}"
_PIECE = re.compile(f"[^{SEPARATING}]+")
_WORD = re.compile(f"[^{SEPARATING}\\s()（）\\[\\]【】<>《》:：]+")
_LATIN = "A-Za-z\u00c0-\u024f"
_LABELLED_NAME = re.compile(f"[{_LATIN}][{_LATIN}.'’ -]*(?![^{SEPARATING} ])|[^{SEPARATING} ]+")
_CHINESE_CHARACTER = re.compile("[\u3400-\u9fff]")
_NAME_LENGTHS = range(2, 5)
_RECEIVES = re.compile(
    r"\s?(?:[(（\[](?:[收亲启]{1,2}|先生|女士|小姐)[)）\]]|(?:[收启]|(?<=\s)(?:先生|女士|小姐))(?=[\s,;，；。]|$))"
)
_LEFT_OVER = ' \t:：.-_/\\*=~+!！?？…"“”{}'
_EMPTY_BRACKETS = re.compile(f"[(（\\[【「][\\s,，:：{MARKS}]*[)）\\]】」]")
_CLOSING = {"(": ")", "（": "）", "[": "]", "【": "】", "「": "」", "<": ">"}
_OPENING = {closing: opening for opening, closing in _CLOSING.items()}
_LAST_BRACKETS = re.compile(f"[(（][^()（）]*[)）][{SEPARATING} ]*$")
# What may stand between a name and a number that belongs to it.
_GAP = re.compile(f"(?:{_RECEIVES.pattern})?[{SEPARATING} :：()（）\\[\\]【】/_~+.-]*")
_MASKED_NUMBER = re.compile(r"(?<!\d)1[3-9]\d\*{4}\d{4}(?!\d)", re.ASCII)
# 13800138000 或者 13900139000
_JOINED = re.compile(f"[{SEPARATING} (（]*(?:或者?|和|及|以及|备用|也可)[{SEPARATING} ]*")
_NOTE = re.compile(f"[^\n{MARKS}]+")
_SENDERS_MAX = 4
_ITEM = re.compile(f"[^{SEPARATING} ]+")
_NUMBER = re.compile(r"\s?[A-Za-z0-9-]{4,40}", re.ASCII)


class Pasted:
    """The tidy text and its parts; `text` is what is not yet understood."""

    def __init__(self, text: str, country: str | None) -> None:
        self._given = text
        self.text = self._marked = mark_labels(text)
        self.country = country
        self.recipient: str | None = None
        self.recipient_assumed = False
        self.recipient_doubtful: str | None = None
        self.organization: str | None = None
        self.postal_code: str | None = None
        self._mentioned: tuple[str, list[Mention]] | None = None
        self.phones: list[Found] = []
        self.notes: list[str] = []
        self.remarks: list[str] = []
        self.sender_doubtful: str | None = None
        self._take_sender()
        self._take_notes(NUMBER, _NUMBER)
        self._take_notes(ITEM, _ITEM)
        self._take_phones()
        self._take_notes(NOTE, _NOTE)
        self._take_remarks()
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
            plain = simplify(self.text)
            self._mentioned = self.text, self._without_people(plain, mentions(self.text, plain))
        return self._mentioned[1]

    def _without_people(self, plain: str, found: list[Mention]) -> list[Mention]:
        """吴江 beside a number and 浙江省杭州市 elsewhere: who is called like a place is no second place."""
        people = [m for m in found if self._may_be_person(m)] if self.recipient is None else []
        if not people:
            return found
        location = locate(plain, found)
        if not any(use.mention.typed for explanation in location.best for use in explanation.uses):
            return found
        return [m for m in found if m not in people or m not in location.contradicting]

    def _may_be_person(self, mention: Mention) -> bool:
        if mention.typed or mention.latin or not mention.isolated or not bears_surname(mention.text):
            return False
        first = bool(self.phones) and not self.text[: mention.start].strip(SEPARATING + " ")
        beside = first or self.beside_number(mention.start, mention.end)
        return beside and all(entry.level != PROVINCE for entry in mention.entries)

    def pieces(self) -> list[tuple[int, str]]:
        """What is left between separators, with its positions."""
        found = []
        text = _EMPTY_BRACKETS.sub(lambda match: "\n" * len(match[0]), self.text)
        for match in _PIECE.finditer(text):
            stripped = _without_open_brackets(match[0])
            if stripped:
                found.append((match.start() + match[0].index(stripped), stripped))
        return found

    def take_recipient(self, first_division: int | None) -> None:
        """Find an unlabelled name among what is left, once the divisions are taken out."""
        if self.recipient is not None:
            self.recipient_doubtful = self._other_name(beside_number=True)
            return
        tokens = list(self._tokens())
        name = best_name(tokens)
        # The only piece behind the divisions is the street address, whatever it looks like.
        before = name is not None and first_division is not None and name.start < first_division
        if name is not None and (len(tokens) > 1 or name.by_phone or before):
            self._assume(name.start, name.text)
            self.recipient_doubtful = self._other_name(beside_number=True)
            return
        for token in tokens:
            beside = token.by_phone or (token.last and self.phones)
            if beside and (glued := name_behind_house(token.text)):
                self._assume(token.start + token.text.rindex(glued), glued)
                return
        self.recipient_doubtful = self._other_name() if len(tokens) > 1 else None

    def _other_name(self, *, beside_number: bool = False) -> str | None:
        """What has the form of a name and was not taken for one."""
        left = (token for token in self._tokens() if token.by_phone or not beside_number)
        return next((token.text for token in left if may_be_name(token.text)), None)

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
        for before, after in itertools.pairwise(self.phones):
            if joined := _JOINED.fullmatch(self.text, before.end, after.start):
                self.take(*joined.span())
        for found in self.phones:
            self.take(found.start, found.end)
            if found.phone.extension is not None:
                # Platforms repeat the extension of a masked number: 张三[1234].
                mark = f"[{found.phone.extension}]"
                self.text = self.text.replace(mark, "\n" * len(mark))

    def _take_notes(self, mark: str, expression: re.Pattern[str]) -> None:
        """What is labelled as no part of the address, with its label, as it was given."""
        for position in behind(self.text, mark):
            if match := expression.match(self.text, position):
                self._note(position, match.end())

    def _take_sender(self) -> None:
        """Who sends is a note: up to the recipient's label, else to the end of the line.

        Where that is all that was pasted only the name is taken, and whose the rest is stays open.
        """
        for position in behind(self.text, SENDER)[:_SENDERS_MAX]:
            if self.text[position - 1] != SENDER:
                continue  # a part of what was taken before
            line = self._given.find("\n", position)
            end = self.text.find(RECIPIENT, position)
            if end >= 0:
                end = self._begin_of_label(end)
            else:
                end = line if line >= 0 else len(self.text)
                others = self.text[: position - 1] + self.text[end:]
                if not any(character.isalnum() for character in others):
                    name = _LABELLED_NAME.match(self.text, position)
                    end = name.end() if name is not None else position
                    self.sender_doubtful = self.text[position:end]
            self._note(position, end)

    def _note(self, position: int, end: int) -> None:
        """Take what stands behind a label, and keep it with the label as it was given."""
        start = self._begin_of_label(position - 1)
        self.notes.append(self._given[start:end].strip())
        self.take(start, end)

    def _begin_of_label(self, mark: int) -> int:
        while mark > 0 and self._marked[mark - 1] == "\n" != self._given[mark - 1]:
            mark -= 1
        return mark

    def _take_remarks(self) -> None:
        """What asks the shop or the carrier for something, as it was given."""
        for start, end in find_remarks(simplify(self.text)):
            self.remarks.append(self._given[start:end].strip("()（）[]【】"))
            self.take(start, end)

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
        # 张三(3楼) stands at the end as well.
        ending = _LAST_BRACKETS.search(self.original)
        read = self.original[: ending.start()] if ending is not None else self.original
        used = [i for i, character in enumerate(read) if character not in SEPARATING + " "]
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


def _without_open_brackets(piece: str) -> str:
    """A piece without what is left over around it: punctuation, and brackets whose other half stood elsewhere."""
    while True:
        piece = piece.strip(_LEFT_OVER)
        if piece[:1] in _CLOSING and _CLOSING[piece[0]] not in piece:
            piece = piece[1:]
        elif piece[-1:] in _OPENING and _OPENING[piece[-1]] not in piece:
            piece = piece[:-1]
        else:
            return piece


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

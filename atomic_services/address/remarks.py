"""Words to the shop or the carrier that stand beside an address without a label: 谢谢, 尽快发货, 请放门卫.

They are neither names nor lines. A word is a remark where it consists of nothing but the vocabulary and asks for
something, thanks or warns; 前台 or 周末 alone do not, and 菜鸟驿站 is where a parcel goes.
"""

import re
from collections.abc import Iterator
from typing import Literal

from atomic_services.address.remark_words import ASKS, BEGINNINGS, BESIDE, ENGLISH, OPENINGS, SPOTS

_SEPARATING = "\n,;，；、|。!！?？…\ue000-\uf8ff"
_VOCABULARY = ASKS | SPOTS | BESIDE
_BEGINNINGS = frozenset(word[0] for word in _VOCABULARY) | frozenset("0123456789~-")
_LONGEST = max(map(len, _VOCABULARY))
_TIME = re.compile(r"\d{1,2}(?::\d{2})?|[~-]", re.ASCII)
_WORD = re.compile(rf"(?:[^{_SEPARATING}\s()（）\[\]【】<>《》:：]|(?<=\d):(?=\d\d))+")
# Neither in the middle of English words nor, but for "please", before others.
_ENGLISH = re.compile(
    rf"(?<![\w'-])(?:{ENGLISH})(?=\s*(?:$|[^\w\s'-]|[\u3400-\u9fff]))", re.IGNORECASE | re.ASCII
)
_OPENED = re.compile(
    rf"(?:{OPENINGS})(?:小区|\d{{1,2}}[月日点天件个箱份斤瓶:]|[^路街道巷弄号栋楼室省市区县州镇乡村庄府\d])*"
)
# 文三路90号谢谢, 5栋302放门口.
_GLUED = re.compile(rf"(?<=[号室楼栋幢座层元户收\d])(?:{BEGINNINGS})[\u3400-\u9fff\d~:-]*$")
_GAP = re.compile(rf"[{_SEPARATING}\s~.-]*")
_BRACKETS = {"(": ")", "（": "）", "[": "]", "【": "】"}
# Most texts have no such character, and need not be looked at.
_HINT = re.compile(f"[{''.join(sorted({word[0] for word in ASKS}))}]|[A-Za-z]{{3}}")
_Kind = Literal["asks", "beside"]


def find_remarks(plain: str) -> list[tuple[int, int]]:
    """The places of the remarks in a text (in simplified characters), with the brackets around them.

    Those beside each other are one.
    """
    if _HINT.search(plain) is None:
        return []
    words = sorted({*_chinese(plain), *_english(plain)})
    runs: list[tuple[int, int, bool]] = []
    for start, end, kind in words:
        if runs and _GAP.fullmatch(plain, runs[-1][1], start):
            runs[-1] = runs[-1][0], end, runs[-1][2] or kind == "asks"
        else:
            runs.append((start, end, kind == "asks"))
    return [_with_brackets(plain, start, end) for start, end, asks in runs if asks]


def _chinese(plain: str) -> Iterator[tuple[int, int, _Kind]]:
    for match in _WORD.finditer(plain):
        if kind := _kind(match[0]):
            yield *match.span(), kind
        elif _OPENED.fullmatch(match[0]):
            yield *match.span(), "asks"
        elif (glued := _GLUED.search(match[0])) and _kind(glued[0]) == "asks":
            yield match.start() + glued.start(), match.end(), "asks"


def _kind(word: str) -> _Kind | None:
    """What a word is that consists of the vocabulary, read from the left by its longest words; None for others."""
    tokens: set[str] = set()
    position = 0
    while position < len(word):
        token = _token_at(word, position) if word[position] in _BEGINNINGS else ""
        if not token:
            return None
        tokens.add(token)
        position += len(token)
    if tokens & ASKS:
        return "asks"
    return None if tokens.isdisjoint(BESIDE) or tokens & SPOTS else "beside"


def _token_at(word: str, position: int) -> str:
    for end in range(min(position + _LONGEST, len(word)), position, -1):
        if word[position:end] in _VOCABULARY:
            return word[position:end]
    time = _TIME.match(word, position)
    return time[0] if time is not None else ""


def _english(plain: str) -> Iterator[tuple[int, int, _Kind]]:
    for match in _ENGLISH.finditer(plain):
        yield match.start(), match.end(), "asks"


def _with_brackets(plain: str, start: int, end: int) -> tuple[int, int]:
    closing = _BRACKETS.get(plain[start - 1 : start])
    return (start - 1, end + 1) if closing is not None and plain[end : end + 1] == closing else (start, end)

"""Finds the names of Chinese divisions in free text: in Chinese characters anywhere, in Latin letters at words.

Whether a mention really means a division is decided by `locate.py`, which sees them together; here only those are
left out that their surroundings make another word of (市场 is a market, 南京路 a road).
"""

import functools
import re
from collections.abc import Iterator

import msgspec

from atomic_services.address.divisions import ABOLISHED, COMMON_NOUNS, COUNTY, Entry, Unit, divisions
from atomic_services.address.text import fold

MENTIONS_MAX = 64
_WORDS_MAX = 18
_LATIN_NAME_MAX = 64
_FOLLOWING_MAX = 4
_BEGINNINGS = (4, 8, 14)
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff\u0300-\u036f'\u2019\u02bc`-]{1,90}")
_BETWEEN_WORDS = re.compile(r"[ '\u2019-]{1,2}")
# A blank separates Chinese words; a Latin name stands apart only between commas and the like.
_APART = re.compile(r"(?:^|[\n,，;；/|()\ue000-\uf8ff])\s{0,2}$")
_FOLLOWED = re.compile(r"\s{0,2}(?:$|[\n,，;；/|().\d\ue000-\uf8ff])")
SEPARATORS = re.compile(r"[\s,，、·;；:：。.|/\\()（）\[\]【】<>《》\"“”_~\ue000-\uf8ff-]*")
_AFTER_TYPED = {"市": "场", "区": "间域块位划", "县": "道", "旗": "舰袍", "州": "际", "盟": "友"}
# What a district of today was before; 新区 are new areas that became districts.
_FORMER_KINDS = ("新区", "县", "市", "区", "旗")
_FORMER_KINDS_BEGIN = frozenset("新县市区旗")
_PREFECTURE = "地区"
_SIDES = tuple("段侧端口面边头首")
_ROAD = "路街道巷弄"
_OTHER_PLACE = re.compile(
    "[东西南北中上下前后新老大小一二三四五]{0,2}(?:大?[路街道巷弄]|胡同|里(?![屯河桥庄店村台坡湾])|[东西南北]路|[东西南北]街)"
    "|公园|广场|大厦|大楼|大学|学院|中学|小学|医院|酒店|宾馆|饭店|银行|[东西南北]?车?站|机场|大桥|桥|新?村|小区|花[园苑]"
    "|家园|公寓|国际|商[场城]|市场|[镇乡湖山河江寺庙港湾岛]|交通大学|师范|理工|科技大学|体育|石化|建工|银座|万达|城(?!区|关|镇)"
)
_LATIN_ROAD = re.compile(
    r"\s*(?:(?:east|west|north|south|middle|central|dong|xi|nan|bei|zhong|[ewns]\.?|1st|2nd)\s+)?"
    r"(?:road|rd|street|st|avenue|ave|lane|lu|jie|dajie|dadao|blvd|boulevard|alley|hutong|building|tower|plaza|square"
    r"|hotel|university|hospital|park|station|airport|bridge|village|town|cun|zhen)\b",
    re.IGNORECASE,
)


class Mention(msgspec.Struct, frozen=True, gc=False):
    """A name in the text and what it may mean; `typed` where it says what kind of unit it is.

    Without `entries` it is the name of nothing that is known. `leading` at the beginning of a piece of the text or behind
    a prefecture (地区), `isolated` where it is a piece of its own, `inner` where it is the end of a longer name (兴县 of
    绍兴县).
    """

    start: int
    end: int
    text: str
    entries: tuple[Entry, ...]
    typed: bool
    latin: bool
    common: bool
    leading: bool
    isolated: bool
    inner: bool = False


def targets(entry: Entry) -> tuple[Unit, ...]:
    """Today's units that an entry may lead to: the unit, or the heirs of an abolished one where they are known."""
    if entry.grade == ABOLISHED and entry.retired is not None and entry.retired.successors:
        return entry.retired.successors
    return (entry.unit,)


def mentions(text: str, plain: str) -> list[Mention]:
    """All mentions, in the order of their beginnings. `plain` is the text in simplified characters."""
    found = sorted((*_chinese(text, plain), *_latin(text)), key=lambda m: (m.start, -m.end))
    beginnings: dict[int, int] = {}
    for mention in found:
        beginnings.setdefault(mention.end, mention.start)
    found = [msgspec.structs.replace(m, inner=True) if beginnings[m.end] < m.start else m for m in found]
    return found[: MENTIONS_MAX // 2] + found[MENTIONS_MAX // 2 :][-MENTIONS_MAX // 2 :]


@functools.cache
def _lengths() -> dict[str, tuple[int, ...]]:
    """The first two characters of the Chinese names -> the lengths that such names have."""
    found: dict[str, set[int]] = {}
    for name in divisions().names:
        if not name.isascii() and len(name) > 1:
            found.setdefault(name[:2], set()).add(len(name))
    return {start: tuple(sorted(lengths, reverse=True)) for start, lengths in found.items()}


def prepare() -> None:
    """Build the indexes of beginnings."""
    _lengths()
    _latin_beginnings()


def _chinese(text: str, plain: str) -> list[Mention]:
    """Those of a usual text; of one with very many the first and the last, and nothing between them is looked at."""
    half, first, last = MENTIONS_MAX // 2, 0, len(plain) - 2
    begin: list[Mention] = []
    end: list[Mention] = []
    while first <= last and len(begin) < half:
        begin += _chinese_at(text, plain, first)
        first += 1
    while first <= last and len(end) < half:
        end += _chinese_at(text, plain, last)
        last -= 1
    return begin + end


def _chinese_at(text: str, plain: str, start: int) -> Iterator[Mention]:
    names = divisions().names
    for length in _lengths().get(plain[start : start + 2], ()):
        end = start + length
        name = plain[start:end]
        entries = names.get(name) if end <= len(plain) else None
        if entries is None:
            continue
        typed = any(entry.typed for entry in entries)
        if plain.startswith(_PREFECTURE, end) and (not typed or length == 2):
            # 上饶地区 is the city of that name today; 温江地区 and 达县地区 were never 温江区 and 达县.
            end, entries = end + len(_PREFECTURE), tuple(e for e in entries if e.level < COUNTY)
            if not entries:
                continue
        elif not typed:
            end, entries = _with_former_kind(plain, start, end, entries)
        if not _another_word(plain, end, typed, length):
            leading = _is_edge(plain, start - 1) or plain.endswith(_PREFECTURE, 0, start)
            isolated = leading and _is_edge(plain, end)
            common = name in COMMON_NOUNS or (length == 2 and name[-1] == "区")
            yield Mention(start, end, text[start:end], entries, typed, False, common, leading, isolated)


def _with_former_kind(
    plain: str, start: int, end: int, entries: tuple[Entry, ...]
) -> tuple[int, tuple[Entry, ...]]:
    """The end of a bare name with its kind, and its meanings: 松江县 is 松江区, and 金华县 means nothing that is known."""
    if plain[end : end + 1] not in _FORMER_KINDS_BEGIN:
        return end, entries
    for kind in _FORMER_KINDS:
        longer = end + len(kind)
        if not plain.startswith(kind, end) or plain[longer : longer + 1] in tuple(
            _AFTER_TYPED.get(kind[-1], "")
        ):
            continue
        if plain[start:longer] in divisions().names:
            break
        counties = tuple(entry for entry in entries if entry.level == COUNTY)
        if counties or kind in "县旗":
            return longer, counties
    return end, entries


def _another_word(plain: str, end: int, typed: bool, length: int) -> bool:
    following = plain[end : end + 1]
    if not following:
        return False
    if not typed:
        return _OTHER_PLACE.match(plain, end) is not None and not _begins_name(plain, end)
    if following in _AFTER_TYPED.get(plain[end - 1], ""):
        return True
    is_road = length < 4 and following in _ROAD and not plain.startswith("街道", end)
    return is_road and not _begins_name(plain, end)


def _begins_name(plain: str, position: int) -> bool:
    """唐山路北 is a city and a district, though 唐山路 is a road too; 唐山路北侧 is at a road."""
    names = divisions().names
    return any(
        plain[position : position + length] in names
        and plain[position + length : position + length + 1] not in _SIDES
        for length in _lengths().get(plain[position : position + 2], ())
    )


def _is_edge(plain: str, position: int) -> bool:
    if not 0 <= position < len(plain):
        return True
    match = SEPARATORS.match(plain, position)
    return match is not None and match.end() > position


def _latin(text: str) -> Iterator[Mention]:
    words = list(_LATIN_WORD.finditer(text))
    plain = [fold(word.group()) for word in words]
    runs = _ends_of_runs(text, words)
    known, beginnings = divisions(), _latin_beginnings()
    for first, word in enumerate(words):
        leading = _is_edge(text, word.start() - 1)
        apart = _APART.search(text[: word.start()][-3:]) is not None
        folded = ""
        for last in range(first, min(runs[first], first + _WORDS_MAX)):
            end = words[last].end()
            if end - word.start() > _LATIN_NAME_MAX:
                break
            folded += plain[last]
            entries = known.find_folded(folded) if len(folded) > 2 else ()
            if not entries:
                if any(n <= len(folded) and folded[:n] not in beginnings for n in _BEGINNINGS):
                    break
                continue
            if _LATIN_ROAD.match(text, end) and not _typed_name_at(plain, last + 1, runs):
                continue
            typed = folded not in known.names or any(entry.typed for entry in entries)
            isolated = apart and _FOLLOWED.match(text, end) is not None
            kinds = of_english_type(folded, entries)
            name = text[word.start() : end]
            yield Mention(word.start(), end, name, kinds, typed, True, False, leading, isolated)
        yield from _glued(word)


def _ends_of_runs(text: str, words: list[re.Match[str]]) -> list[int]:
    """For each word the position behind the last one that only blanks or hyphens join it with."""
    ends = [len(words)] * len(words)
    for position in range(len(words) - 2, -1, -1):
        joined = _BETWEEN_WORDS.fullmatch(text, words[position].end(), words[position + 1].start())
        ends[position] = ends[position + 1] if joined else position + 1
    return ends


def _typed_name_at(plain: list[str], first: int, runs: list[int]) -> bool:
    """Lu Xian is a county although Lu is a road: whether a name with its kind begins at a word."""
    if first >= len(plain):
        return False
    names = divisions().names
    ends = range(first + 1, min(runs[first], first + _FOLLOWING_MAX) + 1)
    return any(entry.typed for end in ends for entry in names.get("".join(plain[first:end]), ()))


@functools.cache
def _latin_beginnings() -> frozenset[str]:
    """The first letters of the Latin names, so that other words are soon left."""
    return frozenset(name[:n] for name in divisions().names if name.isascii() for n in _BEGINNINGS)


_ENGLISH_ENDINGS = {
    "province": "省", "municipality": "市", "city": "市", "district": "区", "county": "县", "prefecture": "州区",
    "banner": "旗", "league": "盟", "region": "区",
}  # fmt: skip
_ENGLISH_KINDS = tuple(_ENGLISH_ENDINGS)


def of_english_type(folded: str, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Of the meanings those of the kind that an English type names (Jilin City, Jilin Province), if there are any."""
    if not folded.endswith(_ENGLISH_KINDS):
        return entries
    for word, endings in _ENGLISH_ENDINGS.items():
        if folded.endswith(word):
            return tuple(entry for entry in entries if entry.unit.name[-1] in endings) or entries
    return entries


def _glued(word: re.Match[str]) -> Iterator[Mention]:
    """Names in full that are written without a space: ZhejiangShengHangzhouShi. The whole word must consist of them."""
    names = divisions().names
    folded = word.group().lower()
    if len(folded) < 12 or not folded.isascii() or not folded.isalpha():
        return
    ends = _ends_of_names(folded)
    if len(ends) < 2:
        return
    start = 0
    for end in ends:
        name = folded[start:end]
        position = word.start() + start
        yield Mention(position, word.start() + end, name, names[name], True, True, False, True, True)
        start = end


def _ends_of_names(folded: str) -> tuple[int, ...]:
    """Where each of the names in full that a word consists of ends; empty if it does not consist of such names."""
    names, beginnings = divisions().names, _latin_beginnings()
    reached: dict[int, tuple[int, ...]] = {0: ()}
    for start in range(len(folded) - 3):
        if start not in reached or folded[start : start + 4] not in beginnings:
            continue
        for end in range(start + 4, min(start + 48, len(folded)) + 1):
            if end not in reached and any(entry.typed for entry in names.get(folded[start:end], ())):
                reached[end] = (*reached[start], end)
    return reached.get(len(folded), ())

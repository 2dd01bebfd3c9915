"""What a reading leaves unexplained beside the divisions that it uses: a misspelt level, or more of a longer name.

海康县 was a county in 广东 that nothing is known of, and 康县 is one in 甘肃; 盘县特区 was not 盘县; 杭卅市 is a typing error.
None of them may pass in silence, while 寄, 前进路, 5栋2单元 or 某某公司 before a division are no part of its name.
"""

import re
from collections.abc import Sequence

import msgspec

from atomic_services.address.divisions import COUNTY
from atomic_services.address.locate import Use
from atomic_services.address.mentions import SEPARATORS, Mention

_HAN = "\u3400-\u9fff"
_WORD = re.compile(f"[{_HAN}]+")
# Divisions whose names nothing knows have one strange character before a known one (海康县), misspelt ones up to three.
_SHORT = 3
_KIND = re.compile("[省市县州盟旗]$|[地专]区$")
_KIND_GLUED = re.compile("[省市县州盟旗区]$")
_LONGEST_KIND = 8
_NO_DIVISION = re.compile(
    "(?:[小园校社厂院库景片街营军辖市城县老住活业农垦林牧灾新发税假范理验名墅技矿港东西南北中一二三四五六七八九十]区"
    "|[超夜菜早闹]市|^(?:城|都|门|上|集|本|全|辖)市|[本全老市]县|[神九]州|[联同加]盟|[红国锦彩军八花战]旗|[外本全]省)$"
)
_WHOLE = re.compile(
    "^[寄发送到在去至往给收住于是为的从和省市区县]$"
    "|.[路街道巷弄里村镇乡号室楼栋幢座层户房门店厂院校馆站场园城苑庭邸轩庄屯组队社厦所局司处部家寨堡坊亭口边侧旁府桥湾库仓港心行团会]$"
    "|.[寄发送到在去至往给收住于是为的址区内外]$|中国$"
)
# 12号楼 before a division begins with a number, and is no name.
_COUNTER = re.compile("[号室楼栋幢座层户单元门房组排期区院之附甲乙丙丁]+")
# 盘县特区, 额尔古纳左旗, 黔江土家族苗族自治县: a name goes on behind the one that is known.
_GOES_ON = re.compile(f"(?:[{_HAN}]{{1,4}}族){{1,4}}自治[县州旗]|[左右前后中]旗|特区|工[矿农]区")


class Unexplained(msgspec.Struct, frozen=True):
    """A word that no division explains; `beside` is the mention next to it, where nothing else stands between them."""

    start: int
    end: int
    beside: Mention | None

    def joined(self, text: str) -> str:
        """The word and the mention beside it as one name, from the text that they stand in."""
        word = text[self.start : self.end]
        if self.beside is None:
            return word
        return word + self.beside.text if self.start < self.beside.start else self.beside.text + word


def unexplained(plain: str, left: str, uses: Sequence[Use], found: Sequence[Mention]) -> list[Unexplained]:
    """The words that look like a division, or like a part of the name of one that was used.

    Both texts are in simplified characters: `plain` the whole, `left` what of it is not yet understood.
    """
    used = {use.mention.start: use.mention for use in uses if not use.mention.latin}
    words = []
    for match in _WORD.finditer(left, 0, max(used, default=0)):
        start = _behind_counter(left, match.start())
        # 呼伦贝尔海康县: all but the last character is a city.
        start = next((m.end for m in found if m.start == start and m.end == match.end() - 1), start)
        beside = used.get(match.end()) or used.get(_behind_separators(plain, match.end()))
        glued = beside is not None and beside.start == match.end()
        if start < match.end() and _is_unexplained(left[start : match.end()], glued=glued):
            words.append(Unexplained(start, match.end(), beside))
    words += [
        Unexplained(mention.end, goes_on.end(), mention)
        for mention in (use.mention for use in uses if use.unit.level == COUNTY)
        if (not mention.typed or mention.text[-1] in "县縣")
        and (goes_on := _GOES_ON.match(left, mention.end))
    ]
    return words


def _behind_separators(plain: str, position: int) -> int:
    match = SEPARATORS.match(plain, position)
    return match.end() if match is not None else position


def _behind_counter(left: str, start: int) -> int:
    counted = _COUNTER.match(left, start) if left[start - 1 : start].isalnum() else None
    return counted.end() if counted is not None else start


def _is_unexplained(word: str, *, glued: bool) -> bool:
    if _NO_DIVISION.search(word):
        return False
    if glued:
        return (len(word) > 1 and _KIND_GLUED.search(word) is not None) or (
            len(word) <= _SHORT and _WHOLE.search(word) is None
        )
    # 陈志州 is a person, and 延边州 is not often misspelt.
    least = _SHORT + (word[-1] in "州盟旗")
    return least <= len(word) <= _LONGEST_KIND and _KIND.search(word) is not None

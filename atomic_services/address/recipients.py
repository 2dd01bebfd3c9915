"""Tells the recipient of a pasted text from the address, by labels, place, surname and shape.

Only a labelled name is certain. Without a label a name needs several signs at once (a surname, a telephone number
beside it, the beginning or end of the text), and the caller says that it was assumed.
"""

import re
from collections.abc import Sequence

import msgspec

from atomic_services.address.han import simplify

# The commonest surnames, some 99 % of all bearers, without those that mostly begin place names.
_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹"
    "孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符"
    "舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫"
    "米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝官封谈匡鞠惠荆乐冀郁胥南班储原栗燕楚鄢劳谌奚皮粟冼蔺楼盘满闻位厉伊仝"
)
_COMPOUND = (
    "欧阳",
    "上官",
    "司马",
    "诸葛",
    "皇甫",
    "令狐",
    "尉迟",
    "东方",
    "夏侯",
    "公孙",
    "慕容",
    "长孙",
    "司徒",
    "端木",
    "独孤",
)
_NAME = re.compile("[\u3400-\u9fff]{2,4}|[\u3400-\u9fff]{1,8}(?:[·•・.][\u3400-\u9fff]{1,8}){1,3}")
_TITLED = re.compile("[\u3400-\u9fff]{1,3}(?:先生|女士|小姐|太太|老师|经理|同学|师傅|医生|阿姨|总)")
_PLACE = re.compile(
    "[路街道巷弄号栋幢楼室层座村镇乡区县市省州盟旗园店厂院校部桥湾城站库仓港寓苑庭邸轩庄屯组队社厦馆场所局司里寨堡坊亭门口边侧旁府]$|"
    "^(?:东|西|南|北|第|快递|驿站|代收|自提|门卫|前台|物业|小区|单元)"
)
# What begins with the character of a surname and is said of goods, times and customers in orders.
_NO_NAME = re.compile(
    "色$|^[白蓝黄金米红黑灰粉青银紫大中小加均]{1,2}[码号款]$|"
    "^(?:白天|包邮|包装|全部|全套|单[件个]|双休|方便|时间|常温|冷藏|冷冻|顾客|商[家品]|水果|成品|应急|温馨|位置)"
)
_RECEIVES = re.compile(r"\s?[(]?[收亲启]{1,2}[)]?$")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f][A-Za-z\u00c0-\u024f.'’-]*(?: [A-Za-z\u00c0-\u024f.'’-]+){0,3}")
_LATIN_PLACE = re.compile(
    r"\b(?:road|rd|street|st|avenue|ave|lane|ln|drive|dr|lu|jie|dajie|dadao|hao|shi|qu|xian|sheng|zhen|xiang|cun|district|city"
    r"|province|county|town|village|building|bldg|block|room|rm|floor|unit|tower|plaza|square|park|apartment|apt|suite|no|po|box"
    r"|hotel|university|hospital|school|company|ltd|inc|gmbh|co|china|strasse|straße|platz|weg|rue|via|calle)\b",
    re.IGNORECASE,
)
# AA建材小李: what people call themselves where a form asks for a name.
_NICKNAME = re.compile("(?=[^A-Za-z]*[A-Za-z])[A-Za-z\u3400-\u9fff·]{3,12}")
_BEHIND_HOUSE = re.compile(
    r"[号號室楼樓栋棟幢座层層房元户\d]\s?(?P<name>[^\W\da-zA-Z_号號室楼樓栋棟幢座层層房元户]{2,3})$"
)
ACCEPTED = 3


class Token(msgspec.Struct, frozen=True):
    """A piece of the text between separators, and what is beside it; `own_line` for the first line of several."""

    start: int
    text: str
    first: bool
    last: bool
    by_phone: bool
    own_line: bool


def bears_surname(text: str) -> int:
    """The length of the surname that a Chinese text begins with; 0 without one."""
    plain = simplify(text)
    return 2 if plain[:2] in _COMPOUND else int(plain[:1] in _SURNAMES)


def without_receives(text: str) -> str:
    """张三（收） is 张三."""
    bare = _RECEIVES.sub("", text)
    return bare.strip() or text


def likeness(token: Token) -> int:
    """How much a piece looks like the name of a person; from `ACCEPTED` on it is taken for one."""
    text = without_receives(token.text)
    signs = 2 * token.by_phone + (token.first or token.last)
    if _LATIN.fullmatch(text) and len(text) > (2 if token.first else 3):
        sure = 2 * token.own_line + (" " in text and token.by_phone)
        return 0 if _LATIN_PLACE.search(text) else signs + sure
    if _TITLED.fullmatch(text):
        return signs + 3
    place = _is_no_name(text)
    if not _NAME.fullmatch(text):
        return signs if token.first and not place and _NICKNAME.fullmatch(text) else 0
    surname = bears_surname(text)
    too_long = len(text) == 4 and surname < 2 and "·" not in text and not token.by_phone
    return signs + 2 * bool(surname) + ("·" in text) - 2 * place - too_long


def _is_no_name(text: str) -> bool:
    plain = simplify(text)
    return bool(_PLACE.search(plain) or _NO_NAME.search(plain))


def may_be_name(text: str) -> bool:
    """Whether a piece has the form of a Chinese name or of several (张三/李四), wherever it stands."""
    parts = re.split("[/&和与]", text)
    return _has_form_of_name(without_receives(text)) or all(map(_has_form_of_name, parts))


def _has_form_of_name(text: str) -> bool:
    if _TITLED.fullmatch(text):
        return True
    return bool(_NAME.fullmatch(text)) and len(text) < 4 and bears_surname(text) > 0 and not _is_no_name(text)


def best_name(tokens: Sequence[Token]) -> Token | None:
    """The piece that most looks like a name; None where none does enough."""
    best = max(tokens, key=lambda token: (likeness(token), -token.start), default=None)
    return best if best is not None and likeness(best) >= ACCEPTED else None


def name_behind_house(text: str) -> str | None:
    """张三 of 文三路90号张三, which only a telephone number behind it makes likely."""
    match = _BEHIND_HOUSE.search(without_receives(text))
    if match is None or not bears_surname(match["name"]) or _is_no_name(match["name"]):
        return None
    return match["name"]

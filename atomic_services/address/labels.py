"""Puts a pasted text in order before it is read: widths, invisible characters, emoji, and the labels of forms.

A label (收货人：, 【电话】, Address:) is replaced by a mark of one character from the private use area, which the text
itself cannot contain any more. Marks separate like line breaks, and say what follows.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from atomic_services.address.han import simplify

RECIPIENT, PHONE, ADDRESS, POSTAL_CODE, ORGANIZATION, NOTE, NUMBER, SENDER, ITEM = (
    "\ue000", "\ue001", "\ue002", "\ue003", "\ue004", "\ue005", "\ue006", "\ue007", "\ue008",
)  # fmt: skip
MARKS = RECIPIENT + PHONE + ADDRESS + POSTAL_CODE + ORGANIZATION + NOTE + NUMBER + SENDER + ITEM
_WIDTHS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | dict.fromkeys(map(ord, "‐‑‒–—―−﹣"), "-")
_DROPPED = frozenset(("Cc", "Cf", "Co", "Cs", "Cn"))
_BLANK = frozenset(("So", "Sk", "Zs", "Zl", "Zp"))
_SPACES = re.compile(r" {2,}")
# ① begins an item of a list, and is a number before a building.
_CIRCLED = re.compile("[\u2460-\u2473](?![号號栋棟幢楼樓单單座层層])")
# Quotes of an exported table, and the characters that stand between fields where nobody typed a blank.
_BETWEEN_FIELDS = re.compile(
    r"""(?:(?<=^)|(?<=[\s,;:{}\[\]|]))["“”]|["“”](?=[\s,;:{}\[\]|]|$)"""
    r"|(?<=[\u3400-\u9fff])_+|_+(?=[\u3400-\u9fff])"
    r"|(?<=[\u3400-\u9fff\d])\+(?=1[3-9]\d{9}(?!\d)|[\u3400-\u9fff])"
)
_PERSONS = ("收货人", "收件人", "买家", "客户", "顾客")
_WORDS: dict[str, tuple[str, ...]] = {
    RECIPIENT: (
        *(f"{person}{kind}" for person in _PERSONS for kind in ("", "姓名", "名")),
        *(f"{person}{joined}{number}" for person in ("收货人", "收件人", "联系人", "姓名") for joined in ("及", "和", "与", "")
          for number in ("电话", "手机", "联系方式", "联系电话") if joined or person == "姓名"),
        "收方", "收货方", "收件方", "收货", "收件", "签收人", "联系人", "姓名", "名字", "用户名",
        "name", "recipient", "consignee", "receiver", "contact", "attn", "to",
    ),
    PHONE: (
        *(f"{whose}{what}{number}" for whose in ("", "联系", "联系人", "收货", "收货人", "收件", "收件人", "手机", "移动", "客户", "买家", "备用", "固定", "办公", "家庭")
          for what in ("电话", "手机") for number in ("", "号码", "号")),
        "联系方式", "固话", "座机", "备用", "tel", "telephone", "phone", "phone number", "mobile", "cell", "mob", "t", "m",
    ),
    ADDRESS: (
        *(f"{whose}地址" for whose in ("", "收货", "收货人", "收件", "收件人", "详细", "联系", "家庭", "配送", "邮寄", "寄送",
                                  "街道", "我的", "公司", "单位", "通讯", "新", "客户", "买家", "联系人")),
        "所在地区", "所在地", "省市区", "地区", "收货信息", "收货人信息", "收件信息", "收件人信息", "地址信息",
        "shipping address", "delivery address", "address", "addr", "add",
    ),
    POSTAL_CODE: (
        "邮政编码", "邮政区码", "邮编", "邮递区号",
        "postal code", "postalcode", "post code", "postcode", "zip", "zip code", "zipcode", "pc", "p.c",
    ),
    SENDER: (
        *(f"{sender}{what}" for sender in ("寄件人", "发件人", "寄件方", "发件方", "发货人", "寄件", "发件", "发货", "寄方", "寄出人")
          for what in ("", "姓名", "信息", "电话", "手机", "地址")),
        "sender", "shipper", "from",
    ),
    ORGANIZATION: ("公司名称", "单位名称", "公司", "单位", "company", "organization", "organisation"),
    NOTE: ("备注", "买家备注", "卖家备注", "订单备注", "留言", "买家留言", "卖家留言", "说明", "note", "notes", "remark", "remarks"),
    ITEM: (
        "数量", "件数", "颜色", "规格", "尺码", "尺寸", "型号", "款式", "品名", "商品", "商品名称", "货品", "宝贝", "金额", "价格", "运费",
        "昵称", "买家昵称", "旺旺", "旺旺号", "微信", "微信号", "会员名", "淘宝id", "qq",
    ),
    NUMBER: (
        *(f"{what}{number}" for what in ("订单", "快递", "运单") for number in ("号", "编号", "号码")),
        "单号", "身份证", "身份证号", "身份证号码", "证件号", "证件号码", "order", "order no", "order no.", "order number", "id",
    ),
}  # fmt: skip
_LABELS = {word: mark for mark, words in _WORDS.items() for word in words}
# Words that are labels only where a piece of the text begins with them: 市： and not 杭州市：.
_LABELS_AT_EDGE = dict.fromkeys(("寄", "收", "发", "寄给", "发给", "送给"), RECIPIENT) | dict.fromkeys(
    (
        *(f"{where}{unit}{name}" for where in ("", "所在") for name in ("", "名", "名称")
          for unit in ("省", "省份", "市", "城市", "地市", "区", "县", "区县", "县区", "县市", "区域", "街道", "镇", "乡镇")),
        "村", "社区", "小区", "门牌", "门牌号", "楼号", "寄到", "寄往", "寄至", "送到", "送至", "发到", "发往", "邮寄到",
    ),
    ADDRESS,
)  # fmt: skip
_LONGEST_LABEL = max(map(len, (*_LABELS, *_LABELS_AT_EDGE)))
_DELIMITER = re.compile(r" ?(?P<mark>[:：=])\s?|(?P<close>[】\]」])\s?[:：]?\s?")
_OPEN = {"】": "【", "]": "[", "」": "「"}
# What belongs to the label behind it: the number of an item, another label before a stroke, words of courtesy.
_BEFORE_LABEL = re.compile(
    rf"(?:(?:麻烦|请|帮忙|帮我|亲)[,， ]?|(?<![\w.])\d{{1,2}}[.、)]\s?|(?:{'|'.join(w for w in _LABELS if not w.isascii())})/)+\Z"
)
_ENDS_BEFORE_LABEL = frozenset("烦请忙我亲,， .、)/")
_EDGES = frozenset(" \n,;，；。|/】])）\t" + MARKS)
_NAME_FOLLOWS = "(?=[\u3400-\u9fff]{2,4}(?:[\\s,;(\\d]|电话|手机|联系|地址|$))"
_PERSON_LABELS = "收货人|收件人|联系人"
# 联系人的电话 names no one.
_NOT_JOINED = "(?!的|信息|姓名|[及和与](?:电话|手机|联系|地址))"
_WHOSE = "收货|收件|详细|联系|我的|公司|单位|通讯"
# Without a colon only what can hardly be anything else; the last value says what may stand before it: an edge (or a
# digit), anything but a Latin letter, or anything.
_Before = Literal["edge", "digit", "no letter", "anything"]
_BARE: tuple[tuple[str, re.Pattern[str], _Before], ...] = (
    (ADDRESS, re.compile(r"(?:收货人?|收件人?|联系人|地址)信息\s?(?=\n)"), "edge"),
    (RECIPIENT, re.compile(rf"(?:(?:{_PERSON_LABELS}){_NOT_JOINED}\s?|姓名\s)(?=[\u3400-\u9fffA-Za-z])|姓名{_NAME_FOLLOWS}"), "digit"),
    (RECIPIENT, re.compile(rf"(?:{_PERSON_LABELS}){_NOT_JOINED}\s?{_NAME_FOLLOWS}"), "anything"),
    (RECIPIENT, re.compile(rf"(?:寄给|发给|送给)\s?{_NAME_FOLLOWS}"), "edge"),
    (PHONE, re.compile(r"(?:联系电话|联系方式|手机号码|手机号|电话号码|备用电话|备用|固定电话|固话|座机|电话|手机)(?:是|为)?\s?(?=[(+\d])"), "anything"),
    (PHONE, re.compile(r"(?:[Tt][Ee][Ll]|[Pp]hone|[Mm]obile|PHONE|MOBILE)\.?\s(?=[(+\d])"), "no letter"),
    (ADDRESS, re.compile(r"(?:收货地址|收件地址|详细地址|我的地址|地址|所在地区)(?:是|为)?\s?(?=[\u3400-\u9fff])"), "digit"),
    (ADDRESS, re.compile(rf"(?:{_WHOSE})?地址(?:是|为)?\s?(?=[\u3400-\u9fff]{{2,8}}[省市区县州盟])"), "anything"),
    (ADDRESS, re.compile(r"(?:请|麻烦)(?:帮忙|帮我|您)?[寄送发](?![到往至给])\s?(?=[\u3400-\u9fff]{2,8}[省市区县州盟])"), "edge"),
    (ADDRESS, re.compile(r"(?:寄到|寄往|寄至|送到|送至|发到|发往|邮寄到)\s?(?=[\u3400-\u9fff])"), "edge"),
    (POSTAL_CODE, re.compile(r"(?:邮政编码|邮编)\s?(?=\d)"), "anything"),
    (NUMBER, re.compile(r"(?:订单(?:编?号)?|运单号|快递单号|身份证(?:号码?)?)\s?(?=\d)"), "anything"),
)  # fmt: skip


def tidy(text: str) -> str:
    """NFC with half-width ASCII, single spaces, line feeds, and a blank for each emoji or symbol."""
    characters = []
    for character in text.translate(_WIDTHS):
        if character.isascii() and character.isprintable():
            characters.append(character)
        elif character in "\n\r\t\v\f\x85\u2028\u2029":
            characters.append("\n")
        else:
            category = unicodedata.category(character)
            if category in _BLANK and character != "〒":
                characters.append(" ")
            elif category not in _DROPPED and not "\ufe00" <= character <= "\ufe0f":
                characters.append(character)
    ordered = _CIRCLED.sub(" ", unicodedata.normalize("NFC", "".join(characters)))
    return _SPACES.sub(" ", _BETWEEN_FIELDS.sub(" ", ordered)).strip()


def mark_labels(text: str) -> str:
    """The tidy text with a mark for each label, and line feeds up to the label's length."""
    plain = simplify(text)
    marked = list(text)
    for start, end, mark in (*_delimited(plain), *_bare(plain)):
        if not any(character in MARKS for character in marked[start:end]):
            marked[start:end] = [*"\n" * (end - start - 1), mark]
    return "".join(marked)


def _delimited(plain: str) -> Iterator[tuple[int, int, str]]:
    """Labels with a colon behind them or in brackets, with their beginning and end."""
    for match in _DELIMITER.finditer(plain):
        end = match.start()
        for length in range(min(_LONGEST_LABEL, end), 0, -1):
            start = end - length
            word = plain[start:end].lower()
            mark = _LABELS.get(word) or _LABELS_AT_EDGE.get(word)
            if mark is None or (word[0].isascii() and plain[start - 1 : start].isalpha()):
                continue
            if (close := match["close"]) and plain[start - 1 : start] != _OPEN[close]:
                continue
            begin = _beginning(plain, start - bool(close))
            if word in _LABELS or _stands_behind(plain, begin, "edge"):
                yield begin, match.end(), mark
                break


def _bare(plain: str) -> Iterator[tuple[int, int, str]]:
    """Labels without a delimiter."""
    for mark, expression, before in _BARE:
        for match in expression.finditer(plain):
            begin = _beginning(plain, match.start())
            if _stands_behind(plain, begin, before):
                yield begin, match.end(), mark


def _beginning(plain: str, start: int) -> int:
    """Where a label begins with all that belongs to it."""
    if plain[start - 1 : start] not in _ENDS_BEFORE_LABEL:
        return start
    window = max(0, start - 2 * _LONGEST_LABEL)
    match = _BEFORE_LABEL.search(plain, window, start)
    return match.start() if match is not None else start


def _stands_behind(plain: str, position: int, before: _Before) -> bool:
    character = plain[position - 1 : position]
    if before == "no letter":
        return not character.isascii() or not character.isalpha()
    if before == "anything" or not character or character in _EDGES:
        return True
    return before == "digit" and character.isdigit()


def behind(text: str, mark: str) -> list[int]:
    """The positions behind a mark."""
    return [match.end() for match in re.finditer(mark, text)]


def blank(text: str, start: int, end: int) -> str:
    """The text with line feeds in place of what stands there; positions stay what they are."""
    return f"{text[:start]}{chr(10) * (end - start)}{text[end:]}"

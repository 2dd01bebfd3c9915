"""Puts a pasted text in order before it is read: widths, invisible characters, emoji, and the labels of forms.

A label (收货人：, 电话, Address:) is replaced by a mark of one character from the private use area, which the text
itself cannot contain any more. Marks separate like line breaks, and say what follows.
"""

import re
import unicodedata

from atomic_services.address.han import simplify

RECIPIENT, PHONE, ADDRESS, POSTAL_CODE, ORGANIZATION = "\ue000", "\ue001", "\ue002", "\ue003", "\ue004"
MARKS = RECIPIENT + PHONE + ADDRESS + POSTAL_CODE + ORGANIZATION
_WIDTHS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | dict.fromkeys(map(ord, "‐‑‒–—―−﹣"), "-")
_DROPPED = frozenset(("Cc", "Cf", "Co", "Cs", "Cn"))
_BLANK = frozenset(("So", "Sk", "Zs", "Zl", "Zp"))
_SPACES = re.compile(r" {2,}")
_WORDS = {
    RECIPIENT: ("收货人姓名|收件人姓名|收货人|收件人|收方|联系人|姓名|名字|客户", "name|recipient|consignee|receiver|contact|attn|to"),
    PHONE: ("(?:联系|收货|收件|手机|移动)?(?:电话|手机)(?:号码|号)?|联系方式", "tel|telephone|phone(?: number)?|mobile|cell|mob"),
    ADDRESS: ("(?:收货|收件|详细|联系|家庭|配送|邮寄|寄送)?地址|所在地区|所在地|省市区|地区", "(?:shipping |delivery )?address|addr|add"),
    POSTAL_CODE: ("邮政编码|邮政区码|邮编|邮递区号", "postal ?code|post ?code|zip(?: ?code)?|p\\.?c"),
    ORGANIZATION: ("公司名称|单位名称|公司|单位", "company|organi[sz]ation"),
}  # fmt: skip
_LABELLED = tuple(
    (mark, re.compile(rf"(?:(?<![A-Za-z])(?:{english})|{chinese})\s?[:：=]\s?", re.IGNORECASE))
    for mark, (chinese, english) in _WORDS.items()
)
# Without a colon only what can hardly be anything else.
_BARE = (
    (
        RECIPIENT,
        re.compile(
            r"(?:(?<=^)|(?<=[\s,;，；\d]))(?:(?:收货人|收件人)\s?|(?:姓名|联系人)\s)(?=[\u3400-\u9fffA-Za-z])"
        ),
    ),
    (PHONE, re.compile(r"(?:联系电话|手机号码|手机号|电话|手机)\s?(?=[(+\d])")),
    (PHONE, re.compile(r"(?<![A-Za-z])(?:tel|phone|mobile)\.?\s(?=[(+\d])", re.IGNORECASE)),
    (
        ADDRESS,
        re.compile(r"(?:(?<=^)|(?<=[\s,;，；\d]))(?:收货地址|收件地址|详细地址|地址)\s?(?=[\u3400-\u9fff])"),
    ),
    (POSTAL_CODE, re.compile(r"(?:邮政编码|邮编)\s?(?=\d)")),
)


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
    return _SPACES.sub(" ", unicodedata.normalize("NFC", "".join(characters))).strip()


def mark_labels(text: str) -> str:
    """The tidy text with a mark for each label, and line feeds up to the label's length."""
    plain = simplify(text)
    marked = list(text)
    for mark, expression in (*_LABELLED, *_BARE):
        for match in expression.finditer(plain):
            if marked[match.start()] not in MARKS:
                marked[match.start() : match.end()] = [*"\n" * (match.end() - match.start() - 1), mark]
    return "".join(marked)


def behind(text: str, mark: str) -> list[int]:
    """The positions behind a mark."""
    return [position + 1 for position, character in enumerate(text) if character == mark]


def blank(text: str, start: int, end: int) -> str:
    """The text with line feeds in place of what stands there; positions stay what they are."""
    return f"{text[:start]}{chr(10) * (end - start)}{text[end:]}"

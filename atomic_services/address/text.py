"""Text as it is compared and as it is kept. Unicode Standard Annex 15 (NFC) is the only canonical form used."""

import re
import unicodedata

# Invisible: soft hyphen, zero-width space, word joiner, byte order mark, C0 and C1 controls except white space.
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_NOT_COMPARED = re.compile(r"[\s\u0300-\u036f'’‘ʼ`´.,·・\-‐‑‒–—_/()（）]+")
_PLAIN_HAN = re.compile("[\u4e00-\u9fff]+")
# Letters that have no decomposition, and the two ways to write the "tai" of Taiwan.
_FOLDED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ı": "i", "þ": "th", "æ": "ae", "œ": "oe", "臺": "台"}
)
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−ー－"), "-")
_ASCII = {**{code: chr(plain) for code, plain in _FULL_WIDTH.items()}, **_DASHES}
# Capitals one by one: `str.upper` would make two letters of some, and a code longer than was sent.
_CAPITALS = {code: chr(code).upper() for code in range(ord("a"), ord("z") + 1)}
_POSTAL = {**{code: plain.upper() for code, plain in _ASCII.items()}, **_CAPITALS}


def clean(value: str) -> str:
    """NFC, without invisible characters, white space collapsed and trimmed. Idempotent."""
    if value.isascii() and value.isprintable():
        return " ".join(value.split()) if "  " in value or value[:1] == " " or value[-1:] == " " else value
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", value)).split())


def clean_postal(value: str) -> str:
    """Like `clean`, with full-width characters and dashes as ASCII, in capitals, without a postal mark."""
    return clean(clean(value).translate(_POSTAL).lstrip("〒"))


def fold(value: str) -> str:
    """The form in which names are compared: no case, no Latin diacritics, no spaces, no punctuation."""
    if _PLAIN_HAN.fullmatch(value):
        return value.replace("臺", "台")
    decomposed = value if value.isascii() else unicodedata.normalize("NFKD", value)
    folded = _NOT_COMPARED.sub("", decomposed.casefold()).translate(_FOLDED)
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


def is_latin(value: str) -> bool:
    """Whether every letter is Latin; true for text without letters."""
    if value.isascii():
        return True
    return all(
        ord(c) <= 0x24F or 0x1E00 <= ord(c) <= 0x1EFF or 0xFF21 <= ord(c) <= 0xFF5A or not c.isalpha()
        for c in value
    )


def has_letters(value: str) -> bool:
    """Whether there is anything in it that a script can be told from."""
    return any(c.isalpha() for c in value)

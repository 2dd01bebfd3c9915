"""Which country a pasted text is from, as far as the text says it: a name of the country, its script, its divisions."""

import functools
import re

import phonenumbers

from atomic_services.address.divisions import CITY
from atomic_services.address.han import simplify
from atomic_services.address.labels import blank
from atomic_services.address.locate import Location, locate
from atomic_services.address.mentions import mentions
from atomic_services.address.pasted import SEPARATING, Pasted
from atomic_services.address.reference import countries, rules_of
from atomic_services.address.regions import find_beginning
from atomic_services.address.text import fold

_PIECE = re.compile(f"[^{SEPARATING}]+")
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_HAN = re.compile("[\u3400-\u9fff]")
_OTHER_NAMES = {
    "CN": ("中国", "中华人民共和国", "中国大陆", "P.R. China", "PR China", "People's Republic of China", "Mainland China", "Chine", "Kina"),
    "HK": ("香港", "中国香港", "Hong Kong SAR"), "MO": ("澳门", "中国澳门", "Macau", "Macao"), "TW": ("台湾", "中国台湾"),
    "US": ("USA", "U.S.A.", "US", "United States of America", "美国"), "GB": ("UK", "U.K.", "Great Britain", "England", "Scotland", "Wales", "英国"),
    "DE": ("Deutschland", "Allemagne", "德国"), "FR": ("法国", "Frankreich"), "JP": ("日本", "日本国", "Nippon"), "KR": ("대한민국", "South Korea", "Korea", "韩国"),
    "IT": ("Italia", "意大利"), "ES": ("España", "西班牙"), "AT": ("Österreich", "奥地利"), "CH": ("Schweiz", "Suisse", "Svizzera", "瑞士"),
    "NL": ("Nederland", "The Netherlands", "Holland", "荷兰"), "BE": ("België", "Belgique", "比利时"), "SE": ("Sverige", "瑞典"), "DK": ("Danmark",), "NO": ("Norge",),
    "FI": ("Suomi",), "PL": ("Polska",), "CZ": ("Czech Republic", "Czechia", "Česko"), "RU": ("Russia", "Россия", "俄罗斯"), "BR": ("Brasil", "巴西"),
    "MX": ("México", "墨西哥"), "CA": ("加拿大",), "AU": ("澳大利亚",), "SG": ("新加坡",), "MY": ("马来西亚",), "TH": ("泰国",), "VN": ("Vietnam", "Viet Nam", "越南"),
    "AE": ("UAE", "U.A.E.", "阿联酋"), "SA": ("沙特阿拉伯",), "TR": ("Türkiye", "Turkey"), "PT": ("葡萄牙",), "IE": ("爱尔兰",), "IN": ("印度",), "ID": ("印度尼西亚",), "NZ": ("新西兰",),
}  # fmt: skip


@functools.cache
def _names() -> dict[str, str]:
    names = {fold(name): code for code, others in _OTHER_NAMES.items() for name in others}
    return {fold(rules_of(code).regions.local): code for code in sorted(countries())} | names


def prepare() -> None:
    """Build the index of country names."""
    _names()


def country_of(pasted: Pasted) -> str | None:
    """The country that the text names or shows; a name that is a piece of its own is taken out of the text."""
    if named := take_country_name(pasted, None):
        return named
    text = pasted.text
    if _KANA.search(text) or "〒" in text or _begins_in_japan(text):
        return "JP"
    if _HANGUL.search(text):
        return "KR"
    if _HAN.search(text):
        plain = simplify(text).lstrip(SEPARATING + " ").removeprefix("中国")
        for code in ("HK", "MO", "TW"):
            if plain.startswith(_OTHER_NAMES[code][0]):
                return code
        return "CN"
    if _speaks_for_china(locate(text, mentions(text, text))):
        return "CN"
    numbers = {phonenumbers.region_code_for_number(phonenumbers.parse(f.phone.e164)) for f in pasted.phones}
    abroad = {number for number in numbers if number is not None and number in countries()}
    international = all(f.phone.given.lstrip("(").startswith(("+", "00")) for f in pasted.phones)
    return abroad.pop() if len(abroad) == 1 and international else None


def _begins_in_japan(text: str) -> bool:
    """東京都 and 大阪府 are written with the same characters, and no province of China is called so."""
    match = _PIECE.search(text)
    return match is not None and find_beginning(rules_of("JP").regions, match[0].strip()) is not None


def take_country_name(pasted: Pasted, country: str | None) -> str | None:
    """The country whose name the first or last piece of the text is; only the given one where there is one."""
    pieces = [(m.start(), m.end()) for m in _PIECE.finditer(pasted.text) if m[0].strip(" .:-")]
    for start, end in [*pieces[-1:], *pieces[:1]]:
        code = _names().get(fold(pasted.text[start:end].strip(" .:-")))
        if code is not None and country in (None, code) and len(pieces) > 1:
            pasted.text = blank(pasted.text, start, end)
            return code
    return None


def _speaks_for_china(location: Location) -> bool:
    """Two levels that agree, or a province or a city named with its kind; a bare Latin word proves little."""
    if not location.best or location.contradicting:
        return False
    best = location.best[0]
    last = best.uses[-1]
    return len(best.uses) > 1 or (last.unit.level <= CITY and (last.mention.typed or last.worth > 6))

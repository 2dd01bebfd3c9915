"""Which country a pasted text is from, as far as the text says it: a name of the country, its script, its divisions."""

import functools
import itertools
import re

import phonenumbers

from atomic_services.address.divisions import CITY, divisions
from atomic_services.address.han import fold_chinese, simplify
from atomic_services.address.labels import blank
from atomic_services.address.locate import Location, locate
from atomic_services.address.pasted import SEPARATING, Pasted
from atomic_services.address.reference import Region, countries, rules_of
from atomic_services.address.regions import find_beginning
from atomic_services.address.text import fold

_PIECE = re.compile(f"[^{SEPARATING}]+")
_WORD = re.compile(f"[^{SEPARATING}\\s]+")
_NAME_AND_CODE = re.compile(r"(?P<name>.*?)(?:(?<=\S)\s+(?P<code>\d[\d-]{2,9}))?\s*\Z", re.ASCII | re.DOTALL)
_PREFECTURE = re.compile("(?:東京都|北海道|(?:大阪|京都)府|..県|...県)")
_ROAD = re.compile("[东西南北中]?[路街道]|大道")
_KIND = re.compile("^(?:省|特[别別]行政[区區])")
_WORDS_MAX = 4
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_HAN = re.compile("[\u3400-\u9fff]")
_OTHER_NAMES = {
    "CN": ("中国", "中华人民共和国", "中国大陆", "P.R. China", "PR China", "People's Republic of China", "Mainland China", "Chine", "Kina"),
    "HK": ("香港", "中国香港", "Hong Kong SAR", "港"), "MO": ("澳门", "中国澳门", "Macau", "Macao"), "TW": ("台湾", "中国台湾"),
    "US": ("USA", "U.S.A.", "US", "United States of America", "美国"), "GB": ("UK", "U.K.", "Great Britain", "England", "Scotland", "Wales", "英国"),
    "DE": ("Deutschland", "Allemagne", "德国"), "FR": ("法国", "Frankreich"), "JP": ("日本", "日本国", "Nippon"), "KR": ("대한민국", "South Korea", "Korea", "韩国"),
    "IT": ("Italia", "意大利"), "ES": ("España", "西班牙"), "AT": ("Österreich", "奥地利"), "CH": ("Schweiz", "Suisse", "Svizzera", "瑞士"),
    "NL": ("Nederland", "The Netherlands", "Holland", "荷兰"), "BE": ("België", "Belgique", "比利时"), "SE": ("Sverige", "瑞典"), "DK": ("Danmark", "丹麦"), "NO": ("Norge", "挪威"),
    "FI": ("Suomi", "芬兰"), "PL": ("Polska", "波兰"), "CZ": ("Czech Republic", "Czechia", "Česko", "捷克"), "RU": ("Russia", "Россия", "俄罗斯"), "BR": ("Brasil", "巴西"),
    "MX": ("México", "墨西哥"), "CA": ("加拿大",), "AU": ("澳大利亚",), "SG": ("Singapore", "新加坡"), "MY": ("马来西亚",), "TH": ("泰国",), "VN": ("Vietnam", "Viet Nam", "越南"),
    "AE": ("UAE", "U.A.E.", "阿联酋"), "SA": ("沙特阿拉伯",), "TR": ("Türkiye", "Turkey"), "PT": ("葡萄牙",), "IE": ("爱尔兰",), "IN": ("印度",), "ID": ("印度尼西亚",), "NZ": ("新西兰",),
    "BG": ("Bulgaria", "България", "保加利亚"), "HU": ("Hungary", "Magyarország", "匈牙利"), "RS": ("Serbia", "Србија", "塞尔维亚"), "RO": ("România", "罗马尼亚"),
    "GR": ("Ελλάδα", "希腊"), "HR": ("Hrvatska", "克罗地亚"), "UA": ("Україна", "乌克兰"), "MD": ("Moldova", "摩尔多瓦"), "MK": ("North Macedonia", "北马其顿"),
    "DO": ("Dominican Republic", "多米尼加"), "PA": ("Panama", "Panamá", "巴拿马"), "AR": ("阿根廷",), "CL": ("智利",), "CO": ("哥伦比亚",), "PE": ("Perú", "秘鲁"),
    "PH": ("菲律宾",), "LA": ("Laos", "老挝"), "KH": ("柬埔寨",), "MM": ("缅甸",), "BN": ("Brunei", "文莱"), "MN": ("蒙古", "蒙古国"), "KZ": ("哈萨克斯坦",),
    "IL": ("以色列",), "EG": ("埃及",), "ZA": ("南非",), "NG": ("尼日利亚",), "KE": ("肯尼亚",), "PS": ("Palestine",),
    "TZ": ("Tanzania", "坦桑尼亚"), "CI": ("Ivory Coast",), "CV": ("Cabo Verde",), "SZ": ("Eswatini",), "CD": ("DR Congo",), "CG": ("Congo",),
}  # fmt: skip


@functools.cache
def _names() -> dict[str, str]:
    names = {fold(name): code for code, others in _OTHER_NAMES.items() for name in others}
    return {fold(rules_of(code).regions.local): code for code in sorted(countries())} | names


def behind_country_name(folded: str, country: str | None) -> tuple[str, str] | None:
    """A country and what follows its name in a folded text: 香港旺角. Without `country` only of those that have a place
    among the provinces of China as well."""
    for code in ("HK", "MO", "TW") if country is None else (country,):
        local = rules_of(code).regions.local
        names = [fold_chinese(name) for name in (local, *_OTHER_NAMES.get(code, ()))]
        for name in sorted(names, key=len, reverse=True):
            if name and folded.startswith(name):
                return code, folded[len(name) :]
    return None


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
        return _named_outside_the_mainland(pasted) or _region_outside_the_mainland(pasted) or "CN"
    if _speaks_for_china(locate(text, pasted.mentions())):
        return "CN"
    numbers = {phonenumbers.region_code_for_number(phonenumbers.parse(f.phone.e164)) for f in pasted.phones}
    abroad = {number for number in numbers if number is not None and number in countries()}
    international = all(f.phone.given.lstrip("(").startswith(("+", "00")) for f in pasted.phones)
    return abroad.pop() if len(abroad) == 1 and international else None


def _begins_in_japan(text: str) -> bool:
    """東京都 and 大阪府 are written with the same characters, and no province of China is called so.

    A name may stand before it (田中一郎 東京都…), which then is called what it is, 都, 道, 府 or 県.
    """
    match = _PIECE.search(text)
    if match is None:
        return False
    prefectures = rules_of("JP").regions
    if find_beginning(prefectures, match[0].strip()) is not None:
        return True
    named = (_PREFECTURE.match(word[0]) for word in itertools.islice(_WORD.finditer(text), _WORDS_MAX))
    return any(match is not None and len(prefectures.find(match[0])) == 1 for match in named)


def _named_outside_the_mainland(pasted: Pasted) -> str | None:
    """香港九龙…, also behind a name (陳大文 香港九龍…); 香港中路 is a road, and what stands behind 青岛市 is in it."""
    for word in _WORD.finditer(pasted.text):
        plain = simplify(word[0]).removeprefix("中国")
        for code in ("HK", "MO", "TW"):
            name = _OTHER_NAMES[code][0]
            if plain.startswith(name) and not _ROAD.match(plain, len(name)):
                first = not pasted.text[: word.start()].strip(SEPARATING + " ")
                return code if first or _leads_there(pasted, word, code, plain[len(name) :]) else None
    return None


def _leads_there(pasted: Pasted, word: re.Match[str], code: str, following: str) -> bool:
    """Whether no division of the mainland stands before the name of a country, nor one in full behind it in its place."""
    others = [m for m in pasted.mentions() if m.entries and not word.start() <= m.start < word.end()]
    if any(mention.start < word.start() for mention in others):
        return False
    inside = find_beginning(rules_of(code).regions, _KIND.sub("", following)) is not None
    return inside or not any(mention.typed for mention in others)


def _region_outside_the_mainland(pasted: Pasted) -> str | None:
    """台北市大安区 and 九龙旺角 need no 台湾 or 香港 before them, 九龙 and 连江县 do: the mainland has them too.

    A division of the mainland that stands before says that they are something else (天河区 桃园市场).
    """
    for word in _WORD.finditer(pasted.text):
        for code in ("TW", "HK"):
            begins = find_beginning(rules_of(code).regions, word[0])
            if begins is not None and _is_sure(begins[1], word[0][begins[0] :]):
                # Most texts have no such word, and need not be searched.
                before = any(mention.start < word.start() for mention in pasted.mentions())
                return None if before else code
    return None


def _is_sure(region: Region, following: str) -> bool:
    """Whether a place bears its kind and no place of the mainland its name, or one of its own places follows."""
    name = simplify(region.local)
    only_there = name[-1] in "市县" and name not in divisions().names
    return only_there or find_beginning(region, following) is not None


def take_country_name(pasted: Pasted, country: str | None) -> str | None:
    """The country whose name the first or last piece of the text is; only the given one where there is one.

    A postal code of that country may stand behind it: Singapore 048616, and not Georgia 30303.
    """
    pieces = [(m.start(), m.end()) for m in _PIECE.finditer(pasted.text) if m[0].strip(" .:-")]
    for start, end in [*pieces[-1:], *pieces[:1]]:
        match = _NAME_AND_CODE.match(pasted.text, start, end)
        assert match is not None  # whatever the piece is
        code = _names().get(fold(match["name"].strip(" .:-")))
        if code is None or country not in (None, code) or len(pieces) < 2:
            continue
        form = rules_of(code).postal_pattern
        if match["code"] is None or (form is not None and re.fullmatch(form, match["code"])):
            pasted.text = blank(pasted.text, *match.span("name"))
            return code
    return None


def _speaks_for_china(location: Location) -> bool:
    """Two levels that agree, or a province or a city named with its kind; a bare Latin word proves little."""
    if not location.best or location.contradicting:
        return False
    best = location.best[0]
    last = best.uses[-1]
    return len(best.uses) > 1 or (last.unit.level <= CITY and (last.mention.typed or last.worth > 6))

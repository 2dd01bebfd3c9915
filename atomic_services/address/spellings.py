"""How the name of a Chinese division may be written: full, short, colloquial, in pinyin and in English.

Readings come from data/pinyin.tsv, baked by data/build_spellings.py, and from the postal metadata (official
non-Han names such as Ürümqi). A spelling is typed where it names the kind of unit: 杭州市, Hangzhou Shi.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files

from atomic_services.address.text import fold

_PINYIN = files("atomic_services.address") / "data" / "pinyin.tsv"
_PINYIN_TYPES = (
    "zuzizhizhou", "zuzizhixian", "zuzizhiqi", "zizhizhou", "zizhixian", "zizhiqi", "zizhiqu",
    "sheng", "diqu", "xinqu", "meng", "xian", "shi", "qu", "qi",
)  # fmt: skip
_ENGLISH_TYPES = (
    "autonomousregion", "autonomousprefecture", "autonomouscounty", "autonomousbanner", "municipality", "prefecture",
    "newdistrict", "district", "province", "county", "banner", "league", "city",
)  # fmt: skip
# Shou County is Shou Xian: one syllable never goes without its kind.
_IN_PINYIN = {"county": "xian", "city": "shi", "district": "qu", "banner": "qi", "province": "sheng"}
_ETHNIC = (
    "tujia", "miao", "she", "hui", "yi", "dai", "zang", "tibetan", "qiang", "bai", "mongolian", "mongol", "menggu",
    "uygur", "uyghur", "uighur", "kazak", "kazakh", "zhuang", "yao", "dong", "li", "manchu", "man", "korean",
    "chaoxian", "lisu", "hani", "jingpo", "naxi", "lahu", "wa", "va", "nu", "derung", "dulong", "pumi", "blang",
    "buyi", "bouyei", "shui", "sui", "gelao", "gelo", "mulao", "mulam", "maonan", "salar", "tu", "dongxiang",
    "baoan", "bonan", "yugur", "yugu", "kirgiz", "kyrgyz", "tajik", "xibe", "daur", "ewenki", "evenki", "oroqen",
    "gaoshan", "multiethnic", "various", "and",
)  # fmt: skip
# By code: short forms and foreign names that no rule gives.
OTHER_NAMES = {
    "150000": ("内蒙", "Inner Mongolia", "Nei Mongol"), "540000": ("Tibet",), "533401": ("Shangri-La",),
    "540200": ("Shigatse", "Xigaze"), "540600": ("Nagqu",), "540300": ("Qamdo", "Chamdo"), "653101": ("Kashgar",),
    "653100": ("Kashgar",), "653200": ("Hotan",), "652900": ("Aksu",), "654000": ("Ili",),
    "652700": ("博州",), "652800": ("巴州",), "653000": ("克州",), "152500": ("锡盟",), "152900": ("阿盟",),
    "650100": ("乌市",), "150100": ("呼市",),
    # Nanjing's new area (State Council, 2015) has towns of both and is no division itself.
    "320111": ("江北新区",), "320116": ("江北新区",),
}  # fmt: skip
_READINGS_MAX = 8
Readings = Mapping[str, tuple[str, ...]]
_COLLOQUIAL = {"自治州": "州", "自治县": "县", "自治旗": "旗", "自治区": "区"}


def load_readings() -> Readings:
    """The readings of every current and former name; not kept."""
    rows = (line.split("\t") for line in _PINYIN.read_text(encoding="utf-8").splitlines())
    return {name: tuple(readings.split(",")) for name, readings in rows}


@functools.cache
def sounds() -> dict[str, tuple[str, ...]]:
    """The readings of each character of the names, the commonest first."""
    counted: dict[str, Counter[str]] = {}
    for name, readings in load_readings().items():
        for reading in readings:
            syllables = reading.split()
            for character, syllable in (
                zip(name, syllables, strict=False) if len(name) == len(syllables) else ()
            ):
                counted.setdefault(character, Counter())[syllable] += 1
    return {
        character: tuple(syllable for syllable, _ in said.most_common())
        for character, said in counted.items()
    }


def read_aloud(text: str) -> Iterator[str]:
    """What a simplified Chinese text sounds like, in at most eight ways; nothing where a character is in no name."""
    said = [sounds().get(character, ()) for character in text]
    yield from ("".join(syllables) for syllables in itertools.islice(itertools.product(*said), _READINGS_MAX))


def colloquial(name: str, short: str) -> tuple[str, ...]:
    """What people say: 恩施州 for 恩施土家族苗族自治州, 新疆自治区 and 广西省 for autonomous regions, 内蒙."""
    kind = _COLLOQUIAL.get(name[-3:])
    if kind is None or len(short) < 2 or short.endswith(name[-3:]):
        return ()
    if name.endswith("自治区"):
        return tuple(f"{said}{ending}" for said in {short, short[:2]} for ending in ("自治区", "省", "区"))
    return (short + kind,)


def in_pinyin(name: str, readings: Readings) -> Iterator[tuple[str, bool]]:
    """The folded readings of a Chinese name with ü as u, v and yu; the second value marks a less usual one."""
    for position, reading in enumerate(readings.get(name, ())):
        plain = reading.replace(" ", "")
        rare = position > 0
        if "v" not in plain:
            yield plain, rare
            continue
        for written in ("u", "v", "yu"):
            yield plain.replace("v", written), rare


def short_latin(latin: str) -> str | None:
    """A Latin name without its kind of unit: Hangzhou Shi becomes hangzhou; None where it has none."""
    folded = fold(latin)
    for suffix in _PINYIN_TYPES:
        if folded.endswith(suffix) and len(folded) > len(suffix) + 1:
            return folded.removesuffix(suffix)
    return None


def without_english_type(folded: str) -> Iterator[str]:
    """What may be the name before an English kind of unit, peoples taken off: enshitujiaandmiao... gives enshi."""
    if not folded.endswith(_ENGLISH_TYPES):
        return
    for suffix in _ENGLISH_TYPES:
        if folded.endswith(suffix) and len(folded) > len(suffix):
            bare = folded.removesuffix(suffix)
            yield bare
            if suffix in _IN_PINYIN:
                yield bare + _IN_PINYIN[suffix]
            if suffix.startswith("autonomous"):
                yield from _without_peoples(bare)
            return


def _without_peoples(bare: str) -> Iterable[str]:
    for _ in itertools.repeat(None, 6):
        people = max((p for p in _ETHNIC if bare.endswith(p) and len(bare) > len(p) + 1), key=len, default="")
        if not people:
            return
        bare = bare.removesuffix(people)
        yield bare

"""Builds pinyin.tsv and traditional.tsv, so that neither converter is needed while serving.

Run by hand after build_divisions.py, with `pypinyin` and `opencc` in the environment:  python build_spellings.py
pinyin.tsv: a name of divisions.tsv or retired.tsv, and its readings, syllables apart, ü written v.
traditional.tsv: a simplified character and the traditional ones and variants that become it.
"""

from collections.abc import Iterable
from pathlib import Path

import opencc
import pypinyin

HERE = Path(__file__).parent
# Readings of place names that a dictionary of words gets wrong; they are added, and none is taken away.
LOCAL_READINGS = {
    "陕西": "shaan xi", "铅山": "yan shan", "番禺": "pan yu", "东阿": "dong e", "莘县": "shen xian", "单县": "shan xian",
    "乐亭": "lao ting", "蔚县": "yu xian", "涡阳": "guo yang", "枞阳": "zong yang", "歙县": "she xian",
    "尉犁": "yu li", "监利": "jian li", "洪洞": "hong tong", "繁峙": "fan shi", "柞水": "zha shui", "吴堡": "wu bu",
    "大埔": "da bu", "长子": "zhang zi", "犍为": "qian wei", "宕昌": "tan chang", "会昌": "hui chang",
    "会泽": "hui ze", "牟平": "mu ping", "中牟": "zhong mu", "任丘": "ren qiu", "台儿庄": "tai er zhuang",
    "尉氏": "wei shi", "郏县": "jia xian", "泌阳": "bi yang", "鄠邑": "hu yi", "什邡": "shi fang", "讷河": "ne he",
    "丽水": "li shui", "乐清": "yue qing", "台州": "tai zhou", "六安": "lu an", "亳州": "bo zhou", "蚌埠": "beng bu",
    "荥阳": "xing yang", "荥经": "ying jing", "浚县": "xun xian", "黄陂": "huang pi", "阆中": "lang zhong",
    "筠连": "jun lian", "盱眙": "xu yi", "邛崃": "qiong lai", "珲春": "hun chun", "桦甸": "hua dian",
    "六合": "lu he", "浒墅": "xu shu", "天台": "tian tai", "仙居": "xian ju", "丽江": "li jiang", "墨脱": "mo tuo",
    "洱源": "er yuan", "厦门": "xia men", "重庆": "chong qing", "长垣": "chang yuan", "济源": "ji yuan",
    "井陉": "jing xing", "藁城": "gao cheng", "栾城": "luan cheng", "蠡县": "li xian", "行唐": "xing tang",
    "朝阳": "chao yang", "西藏": "xi zang", "隰县": "xi xian", "解放": "jie fang", "长海": "chang hai",
}  # fmt: skip
# Characters that a converter reads differently in longer texts; the other reading is added as a less usual one.
TWO_READINGS = {"长": ("chang", "zhang"), "重": ("chong", "zhong"), "朝": ("chao", "zhao"), "乐": ("le", "yue"),
                "六": ("liu", "lu"), "厦": ("xia", "sha"), "番": ("fan", "pan"), "蚌": ("bang", "beng"),
                "单": ("dan", "shan"), "会": ("hui", "kuai")}  # fmt: skip
# Variants that the tables keep apart because some names are officially written with them.
MORE_VARIANTS = {"澄": "澂"}
CONFIGURATIONS = ("t2s", "tw2s", "hk2s")


def readings(name: str) -> list[str]:
    """All readings of a name: by its words, and with the local one of the part that has one."""
    found = [" ".join(pypinyin.lazy_pinyin(name, errors="ignore"))]
    for part, reading in LOCAL_READINGS.items():
        if name.startswith(part):
            rest = pypinyin.lazy_pinyin(name[len(part) :], errors="ignore")
            found.insert(0, " ".join([reading, *rest]))
    for reading in tuple(found):
        syllables = reading.split()
        for position, character in enumerate(name) if len(syllables) == len(name) else ():
            others = TWO_READINGS.get(character, ())
            found += [" ".join([*syllables[:position], o, *syllables[position + 1 :]]) for o in others]
    return list(dict.fromkeys(found))


def main() -> None:
    """Write both tables next to this script."""
    names: dict[str, None] = {}
    for table in ("divisions.tsv", "retired.tsv"):
        for row in (HERE / table).read_text(encoding="utf-8").splitlines():
            _, name, short, *_ = row.split("\t")
            names |= {name: None, short: None}
    _write("pinyin.tsv", ((name, ",".join(readings(name))) for name in sorted(names)))
    variants: dict[str, str] = dict(MORE_VARIANTS)
    converters = [opencc.OpenCC(configuration) for configuration in CONFIGURATIONS]
    for code in range(0x3400, 0xA000):
        character = chr(code)
        for converter in converters:
            simplified = converter.convert(character)
            if simplified != character and len(simplified) == 1:
                variants[simplified] = variants.get(simplified, "") + character
                break
    _write("traditional.tsv", sorted(variants.items()))


def _write(name: str, rows: Iterable[tuple[str, str]]) -> None:
    (HERE / name).write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The UN/LOCODE of an address: its locality, where country, region and name leave exactly one place; never a guess."""

import functools

from atomic_services.address.divisions import PROVINCE, Unit, divisions
from atomic_services.address.locode_schema import UnLocode
from atomic_services.address.locodes import codes_named, locode
from atomic_services.address.places import places
from atomic_services.address.reading import AREA, DEPENDENT, LOCALITY, Reading
from atomic_services.address.reference import CountryRules
from atomic_services.address.spellings import short_latin, without_english_type
from atomic_services.address.text import fold

# First two digits of GB/T 2260 -> ISO 3166-2:CN (2017), by which UN/LOCODE tells the provinces apart.
CHINESE_SUBDIVISIONS = {
    "11": "BJ", "12": "TJ", "13": "HE", "14": "SX", "15": "NM", "21": "LN", "22": "JL", "23": "HL", "31": "SH",
    "32": "JS", "33": "ZJ", "34": "AH", "35": "FJ", "36": "JX", "37": "SD", "41": "HA", "42": "HB", "43": "HN",
    "44": "GD", "45": "GX", "46": "HI", "50": "CQ", "51": "SC", "52": "GZ", "53": "YN", "54": "XZ", "61": "SN",
    "62": "GS", "63": "QH", "64": "NX", "65": "XJ",
}  # fmt: skip


def of_reading(rules: CountryRules, reading: Reading) -> UnLocode | None:
    """The place that the locality of a resolved address is, or None where the list has none or more than one."""
    code = _of_chinese(reading) if rules.code == "CN" else _of_locality(rules, reading)
    return locode(code) if code is not None else None


@functools.lru_cache(maxsize=4096)
def of_division(unit: Unit) -> str | None:
    """The code of a Chinese city or county itself, by its name in pinyin within its province.

    None where the list has not exactly one such name, or where another unit of the province sounds the same and does
    not lie in this one (朝阳县 lies in 朝阳市). A district is named only with its city, as in `Pudong/Shanghai`.
    """
    province, city, county = unit.slots()
    subdivision = CHINESE_SUBDIVISIONS[unit.code[:2]]
    if city is None:
        return None
    names = _pinyin(unit)
    if county is not None and county.name.endswith("区"):
        names = [f"{name}{behind}" for name in names for behind in _pinyin(city)]
    codes = {
        code
        for name in names
        if _is_only(name, unit, province)
        for code in codes_named("CN", name, subdivision)
    }
    return codes.pop() if len(codes) == 1 else None


def _of_chinese(reading: Reading) -> str | None:
    """The county's own code; for a district without one the city's, because it is a part of the city."""
    units = divisions().units
    parts = [reading.parts[field] for field in (DEPENDENT, LOCALITY) if field in reading.parts]
    found = [unit for part in parts if part.code is not None and (unit := units.get(part.code)) is not None]
    for unit in found:
        code = of_division(unit)
        if code is not None or not unit.name.endswith("区"):
            return code
    return None


def _pinyin(unit: Unit) -> list[str]:
    """Its folded names in Latin letters, also the official short one (harbin) and 浦东 for 浦东新区."""
    names = [name for name in places().by_code[unit.code].names if name.isascii()]
    if unit.latin is not None and (short := short_latin(unit.latin)) is not None:
        names.append(short)
    if unit.name.endswith("新区"):
        names += [name.removesuffix("xin") for name in names if name.endswith("xin")]
    return names


def _is_only(name: str, unit: Unit, province: Unit) -> bool:
    same = (entry.unit for entry in divisions().find(name) if entry.unit.within(province))
    return all(other.within(unit) or other.level == PROVINCE for other in same)


def _of_locality(rules: CountryRules, reading: Reading) -> str | None:
    area, locality = reading.parts.get(AREA), reading.parts.get(LOCALITY)
    doubted = {found.pointer for found in reading.findings if found.rule.startswith("division-")}
    for field, part in ((AREA, area), (LOCALITY, locality)):
        if part is not None and part.status == "unconfirmed" and f"/{field}" in doubted:
            return None
    if locality is None or not locality.value:
        return None
    names = {locality.value}
    if area is not None and area.value:
        for region in rules.regions.find(area.value):
            for place in region.find(locality.value):
                names |= {place.latin, place.name, *without_english_type(fold(place.latin))}
    subdivision = None
    if area is not None and area.code is not None and area.code.startswith(f"{rules.code}-"):
        subdivision = area.code.removeprefix(f"{rules.code}-")
    codes = {code for name in names for code in codes_named(rules.code, name, subdivision)}
    return codes.pop() if len(codes) == 1 else None

"""Reads the Chinese address in a pasted text: divisions to the town, and what is left as street address."""

import functools
import re
from collections.abc import Iterator

import msgspec

from atomic_services.address import streets
from atomic_services.address.divisions import CITY, COUNTY, PROVINCE, Unit, divisions
from atomic_services.address.han import simplify
from atomic_services.address.leftover import Unexplained, unexplained
from atomic_services.address.locate import Explanation, Location, Use, adjacent, locate
from atomic_services.address.mentions import Mention
from atomic_services.address.pasted import SEPARATING, Pasted
from atomic_services.address.recipients import bears_surname
from atomic_services.address.streets import Place

CANDIDATES_MAX = 50
# Words of drop-down lists and of the corps that stand between divisions and are none.
_FILLERS = re.compile(
    "(?<=[市区])市辖区|(?<=[省区])(?:省|自治区)?直辖县级(?:行政(?:区划|单位))?"
    r"|(?<=重庆市)\s?县(?=\s?[\u3400-\u9fff]{1,11}县)|(?:(?<=河北)|(?<=[省市])) ?雄安新区(?=\W?(?:雄县|容城|安新))"
    "|(?:新疆)?生产建设兵团(?:第?[一二三四五六七八九十]{1,3}师)?|兵团第?[一二三四五六七八九十]{1,3}师"
    "|^中国(?:大陆)?|^中华人民共和国"
    r"|(?:\bP\.? ?R\.? ?|\b)China(?=[ .,]{0,3}(?:\d{6})?[ .]{0,2}$)|People's Republic of China"
    r"|(?<=[,\d] )China(?= (?-i:[A-Z][a-z]+ ?){1,3}$)",
    re.IGNORECASE | re.MULTILINE,
)
# A zone that no list has, before a town: 大鹏新区葵涌街道.
_ZONE = re.compile(
    "[\u3400-\u9fff]{1,9}?(?:新|开发|高新|技术产业|实验|试验|示范|管理|合作|工业园|园|港|保税|旅游度假|风景名胜)区"
)
_TOWN = re.compile(
    "(?P<name>[\u3400-\u9fff]{1,8}?(?:街道办事处|街道办|街道|[镇乡]|苏木))(?![路街巷弄道东西南北中大政人卫医派法小府企村际])"
)
_KINDS_OF_TOWNS = ("街道", "镇", "乡", "苏木", "街道办事处", "街道办", "办事处", "街办")
_OF_A_ROAD = re.compile(streets.OF_A_ROAD)
_TOWN_ALONE = re.compile("[\u3400-\u9fff]{1,10}?(?:街道|[镇乡]|苏木)")
_HEADS_MAX = 6


class Town(msgspec.Struct, frozen=True):
    """A town or a zone as the text names it; without `code` where the table does not have it."""

    name: str
    code: str | None
    given: str


class ChineseText(msgspec.Struct, frozen=True):
    """What was understood. `unit` is the deepest division that is sure, `candidates` the places to choose from.

    `by_town`, `by_postal_code` tell what decided between several; `zone` is a development zone in place of a district;
    `elsewhere` are districts of the same city that have the town, where the district that the text names has not;
    `unexplained` are words of `text` beside the divisions that look like one or like a part of one.
    """

    location: Location
    explanation: Explanation | None
    unit: Unit | None
    candidates: tuple[tuple[Unit, str | None], ...]
    town: Town | None
    zone: Town | None
    by_town: bool
    by_postal_code: bool
    elsewhere: tuple[Unit, ...]
    unexplained: tuple[Unexplained, ...]
    text: str


def level_of(mention: Mention) -> int:
    """The highest level that a name may mean, whatever the text means by it; a county for the name of nothing known."""
    return min((entry.level for entry in mention.entries), default=COUNTY)


def read(pasted: Pasted) -> ChineseText:
    """Take divisions, town, postal code and recipient out of the text; what is left is the street address."""
    pasted.text = _FILLERS.sub(lambda match: "\n" * len(match[0]), pasted.text)
    plain, found, location = _located(pasted)
    return _Reader(pasted, plain, found, location).read()


def _located(pasted: Pasted) -> tuple[str, list[Mention], Location]:
    plain = simplify(pasted.text)
    found = pasted.mentions()
    location = locate(plain, found)
    if not location.best and (cut := pasted.split_name([m.start for m in found])):
        # 张三杭州文三路90号: behind a name a text begins anew.
        found = [msgspec.structs.replace(m, leading=m.leading or m.start == cut) for m in found]
        location = locate(plain, found)
    return plain, found, location


class _Reader:
    """One text, from the mentions to the town."""

    def __init__(self, pasted: Pasted, plain: str, found: list[Mention], location: Location) -> None:
        self.pasted = pasted
        self.plain = plain
        self.found = found
        self.location = location
        self.units = [explanation.unit for explanation in location.best]
        self.open = len(self.units) != 1 or location.weak
        self.town: Town | None = None
        self.zone: Town | None = None
        self.towns: list[Place] = []
        self.elsewhere: tuple[Unit, ...] = ()
        self.unexplained: tuple[Unexplained, ...] = ()
        self.text = pasted.text
        self.by_town = self.by_postal_code = False

    def read(self) -> ChineseText:
        self._take_divisions()
        self._take_postal_code()
        if not self.location.contradicting:
            for position in self._heads():
                if self._town_at(position):
                    break
            self._take_repeated_town()
        begin = min((use.mention.start for e in self.location.best for use in e.uses), default=None)
        self.pasted.take_recipient(begin)
        conflict = bool(self.location.contradicting)
        if len(self.units) == 1 and not self.open and not conflict:
            self._look_beside(self.units[0], self.location.best[0].uses)
        unit = self.units[0] if len(self.units) == 1 and not self.open else None
        candidates: tuple[tuple[Unit, str | None], ...] = ()
        if unit is None or conflict:
            candidates = tuple((u, None) for u in self.units)
        if self.towns:
            table = divisions().units
            candidates = tuple((table[p.holder], p.name) for p in self.towns if p.holder in table)
        explanation = self.location.best[0] if self.location.best else None
        return ChineseText(
            self.location, explanation, None if conflict else unit, candidates[:CANDIDATES_MAX],
            self.town, self.zone, self.by_town, self.by_postal_code, self.elsewhere,
            self.unexplained, self.text,
        )  # fmt: skip

    def _look_beside(self, unit: Unit, uses: tuple[Use, ...]) -> None:
        """Find what is left beside the divisions; a single one that it may be a part of becomes a question."""
        words = unexplained(self.plain, simplify(self.pasted.text), uses, self.found)
        self.unexplained = tuple(words)
        complete = unit.level == COUNTY or unit.code not in divisions().divided
        confirmed = self.town is not None and self.town.code is not None
        beside = [word for word in words if word.beside is not None]
        if beside and len(uses) == 1 and complete and not confirmed:
            self.open = True
            for word in beside:
                self.pasted.take(word.start, word.end)

    def _take_divisions(self) -> None:
        taken = {(use.mention.start, use.mention.end) for e in self.location.best for use in e.uses}
        used = [m for m in self.found if (m.start, m.end) in taken]
        ends = {m.end for m in used}
        for mention in self.location.repeated:
            # Said twice, and not the beginning of a name such as 杭州大厦: in full, or followed by a division.
            followed = any(adjacent(self.plain, mention, m) for m in used)
            alone = mention.isolated or (mention.typed and mention.end not in ends)
            if self._is_name(mention):
                continue
            if (
                followed
                or (alone and any(adjacent(self.plain, m, mention) for m in used))
                or mention.isolated
            ):
                taken.add((mention.start, mention.end))
        taken |= {(m.start, m.end) for run in self._runs() for m in run}
        taken |= set(self._contradicting())
        for start, end in taken:
            self.pasted.take(start, end)
        self.cuts = sorted(end for _, end in taken)

    def _contradicting(self) -> Iterator[tuple[int, int]]:
        """Those that stand in a field of their own; of a second address what has none stays in the lines."""
        levels = {level_of(use.mention) for e in self.location.best for use in e.uses}
        for mention in self.location.contradicting:
            if level_of(mention) not in levels:
                levels.add(level_of(mention))
                yield mention.start, mention.end

    def _is_name(self, mention: Mention) -> bool:
        """高安 beside a number, where the text says 高安市 as well, is who waits there."""
        beside = self.pasted.beside_number(mention.start, mention.end)
        return beside and mention.isolated and not mention.typed and bears_surname(mention.text) > 0

    def _runs(self) -> list[list[Mention]]:
        """The divisions said a second time from the top, as shops write them before what the customer wrote."""
        runs: list[list[Mention]] = []
        for mention in sorted(self.location.repeated, key=lambda m: m.start):
            if runs and adjacent(self.plain, runs[-1][-1], mention):
                runs[-1].append(mention)
            else:
                runs.append([mention])
        return [run for run in runs if len(run) > 1 and run[0].typed and self._begins_anew(run[0])]

    def _begins_anew(self, mention: Mention) -> bool:
        """Behind a division, a town or a separator; behind 1号 it is the beginning of some other name."""
        return mention.leading or self.plain[mention.start - 1] in "省市区县州旗盟道镇乡"

    def _take_repeated_town(self) -> None:
        for head in self._heads() if self.town is not None else ():
            if self.town is not None and self.pasted.text.startswith(self.town.given, head):
                self.pasted.take(head, head + len(self.town.given))

    def _take_postal_code(self) -> None:
        prefixes = divisions().postal_prefixes
        provinces = {unit.slots()[0].code for unit in self.units}
        known = [prefixes.get(code, frozenset()) for code in provinces]
        self.pasted.take_postal_code(frozenset().union(*known) if known else None)
        code = self.pasted.postal_code
        if code is None or len(provinces) < 2:
            return
        fitting = [u for u in self.units if code[:2] in prefixes.get(u.slots()[0].code, frozenset())]
        if fitting and len(fitting) < len(self.units):
            self.units = fitting
            if len(fitting) == 1:
                self.open, self.by_postal_code = False, True

    def _heads(self) -> list[int]:
        """Where a town may stand: behind a division first, then where a piece begins."""
        heads = [end + len(self.pasted.text[end:]) - len(self.pasted.text[end:].lstrip(SEPARATING + " "))
                 for end in reversed(self.cuts)]  # fmt: skip
        heads += [start for start, _ in self.pasted.pieces()]
        return [h for h in dict.fromkeys(heads) if h < len(self.plain)][:_HEADS_MAX]

    def _town_at(self, position: int) -> bool:
        """Take the town or zone at a position, and let it decide what is still open."""
        plain = simplify(self.pasted.text)
        if not self.units:
            return self._town_alone(plain, position)
        if (city := self._city()) and (zone := streets.zone_at(city.code, plain, position)):
            self.zone = Town(zone.name, zone.code, self.pasted.text[position : position + zone.length])
            self.pasted.take(position, position + zone.length)
            position += zone.length
        holders = dict.fromkeys(code for unit in self.units for code in _counties(unit))
        if self.zone is not None and self.zone.code is not None:
            holders = {self.zone.code: None} | holders
        places = streets.streets_at(holders, plain, position)
        if not places and self.zone is None and (unlisted := _ZONE.match(plain, position)):
            places = streets.streets_at(holders, plain, unlisted.end())
            if places or _TOWN.match(plain, unlisted.end()):
                given = self.pasted.text[position : unlisted.end()]
                self.zone = Town(given, None, given)
                self.pasted.take(*unlisted.span())
                position = unlisted.end()
        if not places:
            return self._unlisted_town_at(plain, position) or self.zone is not None
        given = self.pasted.text[position : position + places[0].length]
        named = [unit for unit in self.units if unit.level == COUNTY]
        if self.zone is not None and any(p.holder == self.zone.code for p in places):
            places = [p for p in places if p.holder == self.zone.code]
        if len(places) == 1:
            self._settle(places[0], given)
        elif named or len(self.units) == 1:
            self.towns, self.open = places, True
            self.town = Town(places[0].name, None, given)
        else:
            return False
        self.pasted.take(position, position + len(given))
        return True

    def _settle(self, place: Place, given: str) -> None:
        self.town = Town(place.name, place.code, given)
        holder = divisions().units.get(place.holder)
        if holder is None:
            return
        if self.open or self.units[0] is not holder:
            self.by_town = self.units[0] is not holder or len(self.units) > 1
            self.units, self.open = [holder], False

    def _unlisted_town_at(self, plain: str, position: int) -> bool:
        if self.units[0].level == PROVINCE:
            return False
        end = self._town_elsewhere(plain, position)
        if end is None:
            match = _TOWN.match(plain, position)
            if match is None or _ZONE.match(match["name"]):
                return False
            end = match.end()
        given = self.pasted.text[position:end]
        self.town = Town(given, None, given)
        self.pasted.take(position, end)
        return True

    def _town_elsewhere(self, plain: str, position: int) -> int | None:
        """The end of the name of a town that other districts of the city have, and not that of a road named after it."""
        if (city := self._city()) is None:
            return None
        known = divisions().units
        places = [p for p in streets.streets_at(_counties(city), plain, position) if p.holder in known]
        end = position + max((place.length for place in places), default=0)
        of_a_road = plain[end - 1 : end] in "镇乡" and _OF_A_ROAD.match(plain, end) is not None
        if of_a_road or not plain.endswith(_KINDS_OF_TOWNS, position, end):
            return None
        self.elsewhere = tuple(known[place.holder] for place in places)
        return end

    def _town_alone(self, plain: str, position: int) -> bool:
        """A town without any division: its bearers are asked about, even where there is only one."""
        match = _TOWN_ALONE.match(plain, position)
        places = streets.bearers(match[0]) if match is not None else []
        if match is None or not places:
            return False
        self.towns, self.open = places, True
        self.town = Town(match[0], None, self.pasted.text[position : match.end()])
        self.pasted.take(position, match.end())
        return True

    def _city(self) -> Unit | None:
        if len(self.units) != 1 or self.open:
            return None
        unit = self.units[0]
        return unit if unit.level == CITY else unit.parent if unit.level == COUNTY else None


@functools.lru_cache(maxsize=512)
def _counties(unit: Unit) -> tuple[str, ...]:
    """The codes of the county-level units of a unit, and its own where towns lie in it directly."""
    if unit.level == COUNTY:
        return (unit.code,)
    width = 2 if unit.level == PROVINCE else 4
    return tuple(code for code in divisions().units if code[:width] == unit.code[:width])

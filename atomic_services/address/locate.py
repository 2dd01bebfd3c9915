"""Decides which division a free text means: the unit that explains most of its mentions, or several, or none.

Every unit that is mentioned is tried as the answer. It is worth what is said for each level of its path, each
place in the text used once: a name with its kind counts more than a bare one, a former name less than today's.
Equal worth is an ambiguity and never a choice. The text is bounded, and so are the mentions and the trials.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from atomic_services.address.divisions import (
    ABOLISHED,
    CITY,
    COUNTY,
    LOOSE,
    PROVINCE,
    RENAMED,
    Entry,
    Unit,
    divisions,
)
from atomic_services.address.han import simplify
from atomic_services.address.mentions import SEPARATORS, Mention, targets

_OPTIONS_MAX = 4
# What a street address has and 上海市第一医药商店 has not: who repeats a place before it begins another address.
_STREET = re.compile("(?<![公铁])[路街巷弄](?!桥)|大道|胡同|[镇乡村号]|小区")
_WORD = re.compile(f"[^{SEPARATORS.pattern[1:-2]}]*")
_FORMER_WORTH = 5
_TYPED = (10, 10, 9, 9, 8)  # by grade: full, short, loose, renamed, abolished
_BARE = (10, 6, 5, 3, 3)
# 伊犁 is above two prefectures that the codes place beside it.
_ABOVE = {"654200": "654000", "654300": "654000"}


class Use(msgspec.Struct, frozen=True, gc=False):
    """A mention as the name of one unit of a path."""

    mention: Mention
    entry: Entry
    unit: Unit
    worth: int


class Explanation(msgspec.Struct, frozen=True, gc=False):
    """One unit as the meaning of the text: what is said for it, the highest level first."""

    unit: Unit
    uses: tuple[Use, ...]
    worth: int

    @property
    def rank(self) -> tuple[int, int]:
        """Worth, and then how much of the text it uses: 岳阳楼 is more than 岳阳."""
        return self.worth, sum(end - start for start, end in self.spans)

    @property
    def spans(self) -> frozenset[tuple[int, int]]:
        """The places in the text that it uses."""
        return frozenset((use.mention.start, use.mention.end) for use in self.uses)


class Location(msgspec.Struct, frozen=True):
    """The best explanations, one if the text is clear; `weak` where one is left that is too little said for.

    `contradicting` are mentions beside those of the best explanation that it cannot explain; `repeated` those that
    say again what it says; `former` a city that the unit belonged to before.
    """

    best: tuple[Explanation, ...]
    weak: bool
    contradicting: tuple[Mention, ...]
    repeated: tuple[Mention, ...]
    former: tuple[Use, ...]


def locate(plain: str, found: Sequence[Mention]) -> Location:
    """The location that the mentions of a text (in simplified characters) say together."""
    best = _best(plain, found)
    if not best:
        return Location((), False, (), (), ())
    if len({explanation.spans for explanation in best}) > 1:
        # Equal worth in different places of the text: 浙江省朝阳区, which lie in different provinces.
        apart = min(
            (use for e in best for use in e.uses), key=lambda use: (use.unit.level, use.mention.start)
        )
        others = tuple(e for e in best if apart.mention not in {use.mention for use in e.uses})
        return Location(others or best, False, (apart.mention,), (), ())
    taken = {span for explanation in best for span in explanation.spans}
    rest = [m for m in found if not any(m.start < end and start < m.end for start, end in taken)]
    former = [use for e in best for use in e.uses if not e.unit.within(use.unit)]
    repeated: list[Mention] = []
    contradicting: list[Mention] = []
    for mention in _longest(rest):
        if any(_uses(mention, explanation.unit, _meanings(mention)) for explanation in best):
            repeated.append(mention)
        elif _contradicts(plain, mention, found, taken):
            contradicting.append(mention)
    return Location(best, _is_weak(best), tuple(contradicting), tuple(repeated), tuple(former))


def is_without_heirs(entry: Entry) -> bool:
    """Whether the entry is an abolished unit that nothing is known to have taken the place of."""
    return entry.grade == ABOLISHED and entry.retired is not None and not entry.retired.successors


def adjacent(plain: str, left: Mention, right: Mention) -> bool:
    """Whether only separators stand between two mentions."""
    return left.end <= right.start and SEPARATORS.fullmatch(plain, left.end, right.start) is not None


def _best(plain: str, found: Sequence[Mention]) -> tuple[Explanation, ...]:
    units = dict.fromkeys(unit for m in found for entry in m.entries for unit in targets(entry))
    tried = sorted(((_bound(options), unit.code, unit, options) for unit, options in _options(units, found)),
                   key=lambda row: (-row[0], row[1]))  # fmt: skip
    explanations: list[Explanation] = []
    rank = (0, 0)
    for bound, _, unit, options in tried:
        if bound < rank[0]:
            break
        explanation = _explain(plain, unit, options)
        if explanation is not None:
            explanations.append(explanation)
            rank = max(rank, explanation.rank)
    equal = [e for e in explanations if e.rank == rank]
    equal = [e for e in equal if not any(e.unit is not o.unit and e.unit.within(o.unit) for o in equal)]
    if len(equal) == 1:
        equal += _homonyms_of_the_past(plain, equal[0], tried)
    return tuple(equal)


def _homonyms_of_the_past(
    plain: str, best: Explanation, tried: Iterable[tuple[int, str, Unit, list[list[Use]]]]
) -> list[Explanation]:
    """江北区 alone is one district today, and until 2025 there were two: people still mean either."""
    found = []
    for _, _, unit, options in tried:
        if unit.within(best.unit) or best.unit.within(unit) or len(best.uses) > 1:
            continue
        past = _explain(plain, unit, options)
        if past is not None and past.spans == best.spans and past.uses[-1].entry.grade >= RENAMED:
            found.append(past)
    return found


def _options(units: Iterable[Unit], found: Sequence[Mention]) -> Iterator[tuple[Unit, list[list[Use]]]]:
    """Per unit and level of its path the best uses; only what a mention says of the path is looked at."""
    naming: dict[Unit, list[tuple[int, Entry]]] = {}
    called: dict[str, list[int]] = {}
    for position, mention in enumerate(found):
        for entry, target in _meanings(mention):
            naming.setdefault(target, []).append((position, entry))
        called.setdefault(simplify(mention.text), []).append(position)
    known = divisions()
    for unit in units:
        meanings: dict[int, list[tuple[Entry, Unit]]] = {}
        for holder in _holders(unit):
            for position, entry in naming.get(holder, ()):
                meanings.setdefault(position, []).append((entry, holder))
        for name in known.former_cities.get(unit.code, ()):
            meanings.update((position, _meanings(found[position])) for position in called.get(name, ()))
        levels: dict[int, list[Use]] = {}
        for position in sorted(meanings):
            for level, use in _uses(found[position], unit, meanings[position]).items():
                levels.setdefault(level, []).append(use)
        options = [sorted(uses, key=lambda u: (-u.worth, u.mention.start))[:_OPTIONS_MAX]
                   for _, uses in sorted(levels.items())]  # fmt: skip
        yield unit, options


def _meanings(mention: Mention) -> list[tuple[Entry, Unit]]:
    return [(entry, target) for entry in mention.entries for target in targets(entry)]


def _holders(unit: Unit) -> Iterator[Unit]:
    """The unit and what it lies in, as people see it."""
    holder: Unit | None = unit
    while holder is not None:
        yield holder
        if holder.code in _ABOVE:
            yield divisions().units[_ABOVE[holder.code]]
        holder = holder.parent


def _bound(options: list[list[Use]]) -> int:
    return sum(uses[0].worth for uses in options)


def _uses(mention: Mention, unit: Unit, meanings: Iterable[tuple[Entry, Unit]]) -> dict[int, Use]:
    """The levels of the unit's path that the mention may name, each with the best of these meanings."""
    best: dict[int, Use] = {}
    for entry, target in meanings:
        level, worth = target.level, _FORMER_WORTH
        if is_without_heirs(entry):
            # Speaks for what it lay in as one of its parts, and against the other parts.
            if unit is not target:
                continue
            level, worth = entry.level, _worth(mention, entry, target)
        elif unit.within(target):
            worth = _worth(mention, entry, target)
        elif _is_former_city(mention, target, unit):
            level = CITY
        else:
            continue
        if level not in best or best[level].worth < worth:
            best[level] = Use(mention, entry, target, worth)
    return best


def _is_former_city(mention: Mention, target: Unit, unit: Unit) -> bool:
    """Whether the unit belonged to a city of that name before, or the city above it stands under another one."""
    former = divisions().former_cities.get(unit.code)
    if former is not None and simplify(mention.text) in former:
        return True
    return unit.parent is not None and _ABOVE.get(unit.parent.code) == target.code


def _worth(mention: Mention, entry: Entry, target: Unit) -> int:
    if entry.typed or (mention.latin and mention.typed):
        return _TYPED[entry.grade]
    # A province or its capital goes by its bare name more than any district of that name.
    known = entry.grade <= LOOSE and (target.level == PROVINCE or target.code.endswith("0100"))
    return _BARE[entry.grade] + known


def _explain(plain: str, unit: Unit, options: list[list[Use]]) -> Explanation | None:
    """The best use of the mentions for a unit that is itself mentioned."""
    if not options or not any(use.unit is unit for use in options[-1]):
        return None
    choices = [[*uses, None] for uses in options[:-1]] + [[use for use in options[-1] if use.unit is unit]]
    best: tuple[tuple[int, int, int], tuple[Use, ...]] | None = None
    for choice in itertools.product(*choices):
        uses = tuple(use for use in choice if use is not None)
        if not _is_sound(plain, uses):
            continue
        beside = sum(_beside(plain, a.mention, b.mention) for a, b in itertools.pairwise(uses))
        rank = (sum(use.worth for use in uses), beside, -sum(use.mention.start for use in uses))
        if best is None or rank > best[0]:
            best = rank, uses
    return Explanation(unit, best[1], best[0][0]) if best is not None else None


def _is_sound(plain: str, uses: tuple[Use, ...]) -> bool:
    """No place is used twice, and a bare or common name stands alone, at an edge or beside another one."""
    for a, b in itertools.permutations(uses, 2):
        if a.mention.start < b.mention.end and b.mention.start < a.mention.end:
            return False
        if _has_other_kind(a.mention) and a.unit.level == COUNTY and _is_city_behind(plain, a, b):
            return False
    for use in uses:
        mention = use.mention
        if mention.inner and not any(adjacent(plain, other.mention, mention) for other in uses):
            return False
        needs_company = mention.common or not (use.entry.typed or (mention.latin and mention.typed))
        if not needs_company or mention.isolated:
            continue
        others = [other.mention for other in uses if other is not use]
        if any(_beside(plain, mention, other) for other in others):
            continue
        if mention.latin or not mention.leading or (mention.common and len(uses) > 1):
            return False
    return True


def _is_city_behind(plain: str, use: Use, other: Use) -> bool:
    """淮阴市淮安市 are a former city and its county, though 淮阴 is a district of the city 淮安 today."""
    return (
        other.unit.level == CITY
        and use.mention.text[-1] == "市"
        and adjacent(plain, use.mention, other.mention)
    )


def _beside(plain: str, a: Mention, b: Mention) -> bool:
    return adjacent(plain, a, b) or adjacent(plain, b, a)


def _longest(found: Iterable[Mention]) -> Iterator[Mention]:
    """From the left, the longest of the mentions that overlap."""
    end = 0
    for mention in sorted(found, key=lambda m: (m.start, -m.end)):
        if mention.start >= end:
            end = mention.end
            yield mention


def _contradicts(plain: str, mention: Mention, found: Sequence[Mention], taken: set[tuple[int, int]]) -> bool:
    if mention.common:
        return False
    used = [m for m in found if (m.start, m.end) in taken]
    if mention.typed and not mention.latin:
        beside = any(_beside(plain, mention, m) for m in used)
        return beside or mention.isolated or _begins_another(plain, mention, found)
    if _has_other_kind(mention) and any(_has_other_kind(m) and adjacent(plain, m, mention) for m in used):
        # 淮阴市 before 宿迁县 was a city and not the district 淮阴.
        return True
    before = any(adjacent(plain, mention, m) for m in used)
    return before and mention.leading


def _begins_another(plain: str, mention: Mention, found: Sequence[Mention]) -> bool:
    """Whether a second address begins with the mention: at an edge, behind a house or with the next level, and
    a street or nothing."""
    last = mention
    for following in found:
        if following.typed and not following.latin and adjacent(plain, last, following):
            last = following
    if last is mention and not mention.leading and not _is_behind_house(plain, mention):
        return False
    match = _WORD.match(plain, last.end)
    return match is None or not match[0] or _STREET.search(match[0]) is not None


def _is_behind_house(plain: str, mention: Mention) -> bool:
    """Whether a province or a city stands right behind a house number: 解放路1号海南省."""
    before = plain[mention.start - 1 : mention.start]
    return (before.isdigit() or before in "号室楼栋幢座") and any(e.level < COUNTY for e in mention.entries)


def _has_other_kind(mention: Mention) -> bool:
    """Whether a name stands with a kind that no unit of the table has or had with it: 淮阴市, 临江区."""
    return not mention.typed and not mention.latin and simplify(mention.text)[-1] in "县市区旗"


def _is_weak(best: tuple[Explanation, ...]) -> bool:
    """A county by its bare name, or by a common noun, without any other level."""
    if len(best) != 1 or len(best[0].uses) > 1:
        return False
    use = best[0].uses[0]
    bare = not (use.entry.typed or (use.mention.latin and use.mention.typed))
    return use.unit.level == COUNTY and (use.mention.common or bare or use.entry.grade == ABOLISHED)

"""Explains what became of the divisions of a pasted Chinese text: fields, levels, candidates and findings."""

import msgspec

from atomic_services.address.divisions import (
    ABOLISHED,
    RENAMED,
    SOURCE,
    Unit,
)
from atomic_services.address.findings import finding
from atomic_services.address.han import simplify
from atomic_services.address.locate import Use, is_without_heirs
from atomic_services.address.parse_china import ChineseText, Town, level_of
from atomic_services.address.reading import AREA, DIVISIONS, LOCALITY
from atomic_services.address.schema import Candidate, Division, DivisionLevel, Finding, Status
from atomic_services.address.streets import SOURCE as STREETS

_LEVELS: dict[int, DivisionLevel] = {1: "province", 2: "city", 3: "district"}


class Report(msgspec.Struct, frozen=True):
    """`fields` for the address, `given` status and given text of each; `doubtful` where the place is not decided."""

    fields: dict[str, str]
    divisions: tuple[Division, ...]
    candidates: tuple[Candidate, ...]
    findings: list[Finding]
    given: dict[str, tuple[Status, str | None]]
    doubtful: bool
    in_zone: bool = False


def report(found: ChineseText) -> Report:
    """What `parse` says about the divisions that were found."""
    if found.unit is not None:
        return _settled(found, found.unit)
    if not found.location.best and not found.candidates:
        return Report({}, _town(found), (), [finding("division-not-found", "/text")], {}, doubtful=False)
    return _doubtful(found)


def _settled(found: ChineseText, unit: Unit) -> Report:
    said = [use for e in found.location.best for use in e.uses if unit.within(use.unit)]
    uses = {use.unit: use for use in said if not is_without_heirs(use.entry)}
    findings = [
        finding("division-abolished", "/text", given=use.mention.text, hint=use.entry.retired.last_year)
        for use in said
        if is_without_heirs(use.entry) and use.entry.retired is not None
    ]
    fields: dict[str, str] = {}
    given: dict[str, tuple[Status, str | None]] = {}
    levels: list[Division] = []
    for field, slot in zip(DIVISIONS, unit.slots(), strict=True):
        if slot is None:
            continue
        fields[field] = slot.name
        status, text = _status(uses.get(slot), slot)
        given[field] = status, text
        if levels and levels[-1].name == slot.name:
            continue  # a municipality is its own city
        levels.append(
            Division(
                level=_LEVELS[slot.level], name=slot.name, code=slot.code, status=status, given=text, source=SOURCE.name,
            )
        )  # fmt: skip
        findings += _findings(uses.get(slot), slot, found)
    if found.by_town and found.town is not None:
        findings.append(finding("division-by-town", "/text", given=found.town.name, value=unit.name))
    for use in found.location.former:
        holder = unit.slots()[1]
        findings.append(
            finding("division-moved-away", "/text", given=use.mention.text, value=unit.name, hint=holder.name if holder else "")
        )  # fmt: skip
    if found.zone is not None and found.zone.code is not None:
        findings.append(finding("development-zone", "/text", value=found.zone.name))
    if found.town is not None and found.elsewhere:
        candidates = tuple(other.candidate() for other in found.elsewhere)
        findings.append(
            finding("town-elsewhere", "/text", value=found.town.name, hint=unit.name, candidates=candidates)
        )
    elif found.town is not None and found.town.code is None:
        findings.append(finding("town-unconfirmed", "/text", value=found.town.name, hint=unit.name))
    findings += _unexplained(found)
    return Report(
        fields, (*levels, *_town(found)), (), findings, given, doubtful=False,
        in_zone=found.zone is not None and found.zone.code is not None,
    )  # fmt: skip


def _status(use: Use | None, slot: Unit) -> tuple[Status, str | None]:
    if use is None:
        return "inferred", None
    return ("confirmed", None) if use.mention.text == slot.name else ("corrected", use.mention.text)


def _findings(use: Use | None, slot: Unit, found: ChineseText) -> list[Finding]:
    if use is None:
        return [finding("division-inferred", "/text", value=slot.name)]
    text = use.mention.text
    if use.entry.grade >= RENAMED and use.entry.retired is not None:
        return [
            finding(
                "division-renamed", "/text", given=text, value=slot.name, hint=use.entry.retired.last_year
            )
        ]
    if found.by_postal_code and slot is found.unit:
        return [finding("division-inferred-from-postal-code", "/text", value=slot.name)]
    return [] if text == slot.name else [finding("name-standardised", "/text", given=text, value=slot.name)]


def _town(found: ChineseText) -> tuple[Division, ...]:
    zone, town = found.zone, found.town
    levels = []
    if zone is not None:
        levels.append(_listed("zone", zone, "confirmed", None))
    if town is not None:
        # 文新街道办事处 is 文新街道; 九堡镇 has become 九堡街道.
        same_kind = town.name[-1] in (simplify(town.given)[-1], "道") and town.given[-1] not in "镇鎮乡鄉"
        same = town.given == town.name or same_kind
        levels.append(
            _listed("street", town, "confirmed" if same else "corrected", town.given if town.given != town.name else None)
        )  # fmt: skip
    return tuple(levels)


def _listed(level: DivisionLevel, place: Town, status: Status, given: str | None) -> Division:
    known = place.code is not None
    return Division(
        level=level, name=place.name, code=place.code, status=status if known else "unconfirmed", given=given,
        source=STREETS.name if known else None,
    )  # fmt: skip


def _doubtful(found: ChineseText) -> Report:
    """Nothing is chosen: what all candidates share is stated, the rest is listed."""
    units = [unit for unit, _ in found.candidates] or [e.unit for e in found.location.best]
    candidates = tuple(
        Candidate(c.administrative_area, c.locality, c.dependent_locality, c.code, street)
        for unit, street in found.candidates
        for c in (unit.candidate(),)
    )
    uses = [use for e in found.location.best for use in e.uses]
    deepest = max(uses, key=lambda use: use.mention.start, default=None)
    text = deepest.mention.text if deepest is not None else (found.town.name if found.town else "")
    fields = _texts(found)
    levels: list[Division] = []
    given: dict[str, tuple[Status, str | None]] = {}
    if found.location.contradicting:
        against = found.location.contradicting[0].text
        told = finding("divisions-contradict", "/text", given=against, value=text, candidates=candidates)
        return Report(fields, (), candidates, [told], given, doubtful=True)
    # Of what may be another name altogether (海康县) nothing is known, its province neither.
    for field, slot in _shared(units) if not found.unexplained else ():
        fields[field] = slot.name
        use = next((u for u in uses if u.unit is slot), None)
        status, written = _status(use, slot)
        given[field] = status, written
        if not levels or levels[-1].name != slot.name:
            levels.append(
                Division(level=_LEVELS[slot.level], name=slot.name, code=slot.code, status=status, given=written, source=SOURCE.name)
            )  # fmt: skip
    if deepest is not None and deepest.entry.grade == ABOLISHED and deepest.entry.retired is not None:
        told = finding(
            "division-abolished",
            "/text",
            given=text,
            hint=deepest.entry.retired.last_year,
            candidates=candidates,
        )
    else:
        told = finding("division-ambiguous", "/text", given=text, candidates=candidates)
    return Report(
        fields, (*levels, *_town(found)), candidates, [told, *_unexplained(found)], given, doubtful=True
    )


def _unexplained(found: ChineseText) -> list[Finding]:
    """What stands beside the divisions and is none that is known."""
    mentions = [use.mention for e in found.location.best[:1] for use in e.uses]
    return [
        finding(
            "division-unexplained", "/text",
            value=found.text[word.start : word.end], given=(word.beside or mentions[-1]).text,
        )
        for word in found.unexplained
    ]  # fmt: skip


def _shared(units: list[Unit]) -> list[tuple[str, Unit]]:
    """The province, and the city, that all candidates lie in."""
    shared = []
    for position, field in ((0, AREA), (1, LOCALITY)):
        holders = {unit.slots()[position] for unit in units}
        holder = next(iter(holders))
        if len(holders) != 1 or holder is None or (len(units) == 1 and holder is units[0]):
            break
        shared.append((field, holder))
    return shared


def _texts(found: ChineseText) -> dict[str, str]:
    """The doubtful names as they were given, each in the field of its level."""
    texts: dict[str, str] = {}
    mentions = [use.mention for e in found.location.best for use in e.uses]
    longer = {
        word.beside.start: word.joined(found.text) for word in found.unexplained if word.beside is not None
    }
    for mention in (*mentions, *found.location.contradicting):
        field = DIVISIONS[level_of(mention) - 1]
        texts.setdefault(field, longer.get(mention.start, mention.text)[:120])
    return texts

"""Suggests places of UN/LOCODE by their code, by the beginning of a name, or by the Chinese division that they are."""

import msgspec

from atomic_services.address import locodes
from atomic_services.address.fields import Candidate
from atomic_services.address.highlighting import highlights
from atomic_services.address.locode_naming import CHINESE_SUBDIVISIONS, of_division
from atomic_services.address.locode_schema import Function, UnLocode
from atomic_services.address.name_index import Hit
from atomic_services.address.places import Place, asks_latin, places
from atomic_services.address.suggest_schema import Match, Suggestion

_DIVISIONS = {letters: f"{digits}0000" for digits, letters in CHINESE_SUBDIVISIONS.items()}


class Asked(msgspec.Struct, frozen=True):
    """What is looked for: a folded text in a country, within a place, with one of some functions."""

    text: str
    country: str | None
    scope: Place | None
    functions: frozenset[Function]
    limit: int
    language: str | None


def suggestions(asked: Asked, hits: list[Hit]) -> list[Suggestion]:
    """The places, whole matches before beginnings. `hits` are the divisions that a Chinese text may stand for."""
    if not asked.text or (asked.scope is not None and _subdivision(asked.scope) is None):
        return []
    found: dict[str, Match] = {}
    if not asked.text.isascii():
        for hit in hits:
            unit = hit.place.division if hit.match in ("whole", "beginning") else None
            if unit is not None and (code := of_division(unit)) is not None:
                found.setdefault(code, hit.match)
    whole, longer = locodes.begin_with(
        asked.text,
        limit=asked.limit,
        country=asked.scope.country if asked.scope is not None else asked.country,
        subdivision=_subdivision(asked.scope) if asked.scope is not None else None,
        functions=asked.functions,
    )
    typed = (asked.text.upper(),) if locodes.CODE.fullmatch(asked.text) else ()
    for code in (*whole, *typed):
        found.setdefault(code, "whole")
    for code in longer:
        found.setdefault(code, "beginning")
    known = [(place, match) for code, match in found.items() if (place := locodes.locode(code)) is not None]
    wanted = [_suggestion(asked, place, match) for place, match in known if _is_wanted(asked, place)]
    return sorted(wanted, key=lambda suggestion: suggestion.match != "whole")[: asked.limit]


def _is_wanted(asked: Asked, place: UnLocode) -> bool:
    if asked.scope is not None and (
        place.code[:2] != asked.scope.country or place.subdivision != _subdivision(asked.scope)
    ):
        return False
    if asked.country not in (None, place.code[:2]):
        return False
    return not asked.functions or not asked.functions.isdisjoint(place.functions)


def _subdivision(scope: Place) -> str | None:
    """A first-level region as UN/LOCODE writes it; None for smaller ones, by which the list tells nothing apart."""
    if scope.level:
        return None
    if scope.division is not None:
        return CHINESE_SUBDIVISIONS[scope.code[:2]]
    country, hyphen, subdivision = scope.code.partition("-")
    return subdivision if hyphen and country == scope.country else None


def _suggestion(asked: Asked, place: UnLocode, match: Match) -> Suggestion:
    country = place.code[:2]
    region = f"{country}-{place.subdivision}"
    if country == "CN":
        region = _DIVISIONS.get(place.subdivision or "", "")
    area = places().by_code.get(region)
    return Suggestion(
        text=place.name,
        level="locality",
        kind="un_locode",
        code=place.code,
        match=match,
        country=country,
        address=Candidate(
            area.address(latin=asks_latin(country, asked.language)).administrative_area if area else None,
            locodes.locality(place.name),
        ),
        highlights=highlights(place.name, asked.text),
        functions=place.functions,
    )

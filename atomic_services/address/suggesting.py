"""The operation `suggest`: places whose names begin with what was typed so far."""

import heapq
from collections.abc import Iterable
from itertools import chain, islice

from atomic_services.address import divisions, locode_suggesting, locodes, reference, streets
from atomic_services.address.fields import Source
from atomic_services.address.han import fold_chinese
from atomic_services.address.highlighting import highlights
from atomic_services.address.locode_suggesting import Asked
from atomic_services.address.name_index import Hit, NameIndex, Wanted, everywhere
from atomic_services.address.origins import behind_country_name
from atomic_services.address.places import LEVELS, Place, asks_latin, places, towns_in
from atomic_services.address.reference import countries
from atomic_services.address.suggest_schema import Match, Suggestion, SuggestReply, SuggestRequest
from atomic_services.contract import CallContext
from catalog.vocabulary.problem import CallerFault, FieldError

_MATCHES: tuple[Match, ...] = ("whole", "beginning", "initials", "path", "similar")


async def suggest(request: SuggestRequest, _context: CallContext) -> SuggestReply:
    """The places that the text may become, best first; none is an answer and no error.

    Raises `CallerFault` unsupported-country for a country that the reference data does not know, and invalid-input
    where `within` is no place, or none of the country.
    """
    country = request.country.upper() if request.country is not None else None
    if country is not None and country not in countries():
        detail = f"{country} is not a country code that this service knows."
        raise CallerFault(
            "unsupported-country", detail, errors=(FieldError("/country", "supported", detail),)
        )
    scope = _scope(request.within, country) if request.within is not None else None

    def wanted(place: Place) -> bool:
        # Hong Kong, Macau and Taiwan have codes of their own; under CN they stand for those who ask for CN.
        if country is None:
            return scope is not None or place.country != "CN" or place.division is not None
        return place.country == country

    text = fold_chinese(request.text)
    asked = Asked(text, country, scope, frozenset(request.functions), request.limit, request.language)
    if text:
        index = everywhere() if scope is None else NameIndex((*scope.within(), *towns_in(scope)))
        hits = _found(index, text, wanted, request.limit)
        if scope is None:
            hits = _best((*hits, *_in_country(text, country, request.limit)), request.limit)
        traded = locode_suggesting.suggestions(asked, hits)
        if not hits and not traded:
            hits = _best(index.similar_to(text, wanted), request.limit)
    else:
        below = (*scope.children, *towns_in(scope)) if scope is not None else ()
        hits, traded = [Hit(place, "beginning", "") for place in below[: request.limit]], []
    # A division has no function, so where one is asked for, none fits.
    divided = [] if request.functions else [_suggestion(hit, request.language) for hit in hits]
    merged = heapq.merge(divided, traded, key=lambda suggestion: _MATCHES.index(suggestion.match))
    suggestions = tuple(islice(merged, request.limit))
    return SuggestReply(suggestions=suggestions, sources=_sources(suggestions))


def _sources(suggestions: tuple[Suggestion, ...]) -> tuple[Source, ...]:
    kinds = {suggestion.kind for suggestion in suggestions}
    found = [reference.SOURCE]
    if "division" in kinds:
        found.append(divisions.SOURCE)
    if any(suggestion.level == "street" for suggestion in suggestions):
        found.append(streets.SOURCE)
    if "un_locode" in kinds:
        found.append(locodes.SOURCE)
    return tuple(found)


def _scope(within: str, country: str | None) -> Place:
    place = places().by_code.get(within)
    if place is None or country not in (None, place.country):
        detail = "is not the code of a division or region that this operation suggests"
        if place is not None:
            detail = f"is a place of {place.country}"
        raise CallerFault(
            "invalid-input", f"/within {detail}.", errors=(FieldError("/within", "reference", detail),)
        )
    return place


def _found(index: NameIndex, text: str, wanted: Wanted, limit: int) -> list[Hit]:
    return _best(chain(index.begin_with(text, wanted, limit), index.behind_larger(text, wanted)), limit)


def _in_country(text: str, country: str | None, limit: int) -> list[Hit]:
    """The places of a country behind its name, 香港旺角; its largest where the name is all."""
    named = behind_country_name(text, country)
    if named is None:
        return []
    code, rest = named
    if not rest:
        return [
            Hit(place, "path", "") for place in places().all if place.country == code and place.parent is None
        ]
    found = _found(everywhere(), rest, lambda place: place.country == code, limit)
    return [Hit(hit.place, "path", hit.typed) for hit in found]


def _best(hits: Iterable[Hit], limit: int) -> list[Hit]:
    """The best hits; a place counts once, by its best match."""
    best: dict[str, Hit] = {}
    for hit in hits:
        known = best.get(hit.place.code)
        if known is None or _rank(hit) < _rank(known):
            best[hit.place.code] = hit
    return heapq.nsmallest(limit, best.values(), key=_rank)


def _rank(hit: Hit) -> tuple[int, int, int]:
    return _MATCHES.index(hit.match), hit.place.level, hit.place.order


def _suggestion(hit: Hit, language: str | None) -> Suggestion:
    place = hit.place
    latin = asks_latin(place.country, language)
    shown = place.latin if latin else place.name
    return Suggestion(
        text=shown,
        level=LEVELS[place.level],
        kind=place.kind,
        code=place.code,
        match=hit.match,
        country=place.country,
        address=place.address(latin=latin),
        highlights=highlights(shown, hit.typed, place.spoken if shown == place.name else ()),
    )

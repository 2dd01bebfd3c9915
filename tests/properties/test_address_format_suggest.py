"""What holds for every format and every suggestion, whatever was sent."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_services.address.forms import form_countries, synonyms
from atomic_services.address.locodes import locode
from atomic_services.address.places import places, towns_in
from atomic_services.address.reference import countries
from catalog.vocabulary.problem import CallerFault
from tests.address_calls import answer

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
TEXT = st.text(CHARACTERS, max_size=30)
ODD = st.sampled_from(
    ["{{{road}}}", "{{#first}}", "||", ", ,", "\\g<1>", "$1", "New York", "123;456", "http://x"]
)
NAMES = st.sampled_from([*synonyms(), "shop", "attention", "ISO3166-2"])
PLACES = places()
TYPED = st.sampled_from(PLACES.all).flatmap(
    lambda place: st.sampled_from((place.name, place.latin, *place.names, *place.initials))
)
COMPONENTS = st.dictionaries(NAMES, TEXT | ODD | st.lists(ODD, max_size=8).map("".join), max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    COMPONENTS,
    st.none() | st.sampled_from(sorted(form_countries())),
    st.none() | st.sampled_from(["en", "zh", "fr", "ja"]),
    st.booleans(),
)
def test_any_components_are_written_the_same_each_time_without_empty_lines(
    components: dict[str, str], country: str | None, language: str | None, abbreviate: bool
) -> None:
    request = {
        "components": components, "country": country, "language": language, "abbreviate": abbreviate,
    }  # fmt: skip
    try:
        reply = answer("format", **request)
    except CallerFault as fault:
        assert fault.type.name == "unsupported-country"
        assert country is None
        return
    assert answer("format", **request) == reply
    assert "\n".join(reply.formatted) == reply.text
    assert all(line.strip() for line in reply.formatted)
    reordered = dict(reversed(components.items()))
    assert answer("format", **(request | {"components": reordered})) == reply


def suggest_requests() -> st.SearchStrategy[dict[str, Any]]:
    beginnings = TYPED.flatmap(lambda name: st.integers(1, 12).map(lambda length: name[:length]))
    return st.fixed_dictionaries(
        {"text": TEXT | beginnings | st.lists(TYPED, max_size=3).map(lambda parts: "".join(parts)[:120])},
        optional={
            "country": st.sampled_from(sorted(countries())),
            "language": st.sampled_from(["en", "zh", "zh-Hant"]),
            "limit": st.integers(1, 20),
            "within": st.sampled_from(sorted(PLACES.by_code)),
        },
    )


@settings(max_examples=300, deadline=None)
@given(suggest_requests())
def test_suggestions_are_distinct_in_order_of_match_and_their_codes_are_places(
    request: dict[str, Any],
) -> None:
    try:
        found = answer("suggest", **request).suggestions
    except CallerFault as fault:
        assert fault.type.name == "invalid-input"
        assert PLACES.by_code[request["within"]].country != request["country"]
        return
    codes = [place.code for place in found]
    assert len(set(codes)) == len(codes) <= request.get("limit", 10)
    ranks = [("whole", "beginning", "initials", "path", "similar").index(place.match) for place in found]
    assert ranks == sorted(ranks)
    scope = PLACES.by_code[request["within"]] if "within" in request else None
    inside = (
        {place.code for place in (*scope.within(), *towns_in(scope))} if scope is not None else PLACES.by_code
    )
    for place in found:
        assert place.code in inside or (place.kind == "un_locode" and locode(place.code) is not None)
        assert request.get("country", place.country) == place.country
        for highlight in place.highlights:
            assert 0 <= highlight.start < highlight.start + highlight.length <= len(place.text)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PLACES.all), st.data())
def test_a_place_is_found_within_its_parent_by_its_whole_name(place: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(place.names))
    more = {"within": place.parent.code} if place.parent is not None else {"country": place.country}
    found = answer("suggest", text=name, limit=20, **more).suggestions
    same = [one for one in PLACES.all if name in one.names and one.country == place.country]
    assert place.code in {one.code for one in found} or len(same) > len(found)

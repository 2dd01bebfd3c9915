"""The operation `suggest`: places that what was typed so far may become."""

from typing import Any

import msgspec
import pytest

from atomic_services.address.suggest_schema import Suggestion, SuggestRequest
from catalog.vocabulary.problem import CallerFault
from tests.address_calls import answer


def suggested(text: str, **more: Any) -> list[Suggestion]:
    return list(answer("suggest", text=text, **more).suggestions)


def names(text: str, **more: Any) -> list[str]:
    return [place.text for place in suggested(text, **more)]


@pytest.mark.parametrize(
    ("text", "code", "match", "highlighted"),
    [
        ("杭州市", "330100", "whole", "杭州市"),
        ("杭州", "330100", "whole", "杭州"),
        ("廣東", "440000", "whole", "广东"),
        ("hangz", "330100", "beginning", "杭州"),
        ("Hangzhou", "330100", "whole", "杭州"),
        ("hzxh", "330106", "path", "西湖"),
        ("杭州西湖", "330106", "path", "西湖"),
        ("浙江省杭州市西湖", "330106", "path", "西湖"),
        ("zhejiang hangzhou xihu", "330106", "path", "西湖"),
        ("hangzuo", "330100", "similar", "杭州"),
        ("lvliang", "141100", "whole", "吕梁"),
        ("luliang", "141100", "whole", "吕梁"),
    ],
)
def test_a_chinese_division_is_found_by_every_usual_way_to_type_it(
    text: str, code: str, match: str, highlighted: str
) -> None:
    first = suggested(text, country="CN")[0]
    assert (first.code, first.match, first.kind) == (code, match, "division")
    assert "".join(first.text[h.start : h.start + h.length] for h in first.highlights) == highlighted


@pytest.mark.parametrize(
    ("text", "code", "highlighted"),
    [
        ("广洲", "440100", "广州"),
        ("廣洲", "440100", "广州"),
        ("杭洲西湖", "330106", "西湖"),
        ("乌鲁木其", "650100", "乌鲁木齐"),
        ("呼和浩持", "150100", "呼和浩特"),
        ("石家装", "130100", "石家庄"),
        ("乌木齐", "650100", "乌鲁木齐"),
    ],
)
def test_a_chinese_name_with_a_wrong_character_is_found_by_its_sound_or_by_the_others(
    text: str, code: str, highlighted: str
) -> None:
    first = suggested(text)[0]
    assert (first.code, first.match) == (code, "similar")
    assert "".join(first.text[h.start : h.start + h.length] for h in first.highlights) == highlighted


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("香港", "HK", {"香港島", "九龍", "新界"}),
        ("港", "HK", {"香港島", "九龍", "新界"}),
        ("香港", None, {"香港島", "九龍", "新界"}),
        ("Hong Kong Kow", "HK", {"九龍"}),
        ("香港旺角", "HK", {"旺角"}),
        ("台湾台北", None, {"台北市"}),
        ("中国浙江", "CN", {"浙江省"}),
    ],
)
def test_behind_the_name_of_a_country_its_places_are_found(
    text: str, country: str | None, expected: set[str]
) -> None:
    more = {} if country is None else {"country": country}
    assert set(names(text, limit=20, **more)) >= expected


def test_a_suggestion_fills_the_fields_of_an_address() -> None:
    place = suggested("hzxh")[0]
    assert (place.text, place.level) == ("西湖区", "dependent_locality")
    fields = msgspec.to_builtins(place.address)
    assert fields == {"administrative_area": "浙江省", "locality": "杭州市", "dependent_locality": "西湖区"}
    reply = answer("validate", country="CN", lines=["文三路1号"], **fields)
    assert {part.name: part.status for part in reply.components}["dependent_locality"] == "confirmed"


@pytest.mark.parametrize(
    ("text", "country", "code", "match"),
    [
        ("calif", "US", "US-CA", "beginning"),
        ("CA", "US", "US-CA", "whole"),
        ("Califrnia", "US", "US-CA", "similar"),
        ("Califonria", "US", "US-CA", "similar"),
        ("Callifornia", "US", "US-CA", "similar"),
        ("Calivornia", "US", "US-CA", "similar"),
        ("sao pau", "BR", "BR-SP", "beginning"),
        ("東京", "JP", "JP-13", "whole"),
        ("九龙", "HK", "HK/九龍", "whole"),
    ],
)
def test_regions_of_other_countries_are_found_without_accents_and_with_one_typing_error(
    text: str, country: str, code: str, match: str
) -> None:
    first = suggested(text, country=country)[0]
    assert (first.code, first.match, first.kind, first.country) == (code, match, "region", country)


def test_better_matches_come_first_then_larger_places() -> None:
    found = suggested("sh", country="CN", limit=20)
    ranks = [("whole", "beginning", "initials", "path", "similar").index(place.match) for place in found]
    assert ranks == sorted(ranks)
    levels = [place.level for place in found if place.match == "beginning"]
    assert levels == sorted(
        levels
    )  # administrative_area, dependent_locality, locality: no smaller one in between
    assert names("sh", country="CN") == names("sh", country="CN", limit=20)[:10]


def test_within_a_place_only_what_lies_in_it_is_suggested() -> None:
    assert names("xh", within="330100") == ["西湖区"]
    assert set(names("", within="330100", limit=20)) >= {"西湖区", "上城区", "临安区"}
    assert {place.kind for place in suggested("San", within="US-CA")} == {"un_locode"}
    assert "Campinas" in names("Campi", within="BR-SP")


def test_towns_are_suggested_within_their_county_only() -> None:
    town = suggested("灵隐", within="330106")[0]
    assert (town.text, town.level, town.code[:6]) == ("灵隐街道", "street", "330106")
    assert (town.address.dependent_locality, town.address.street) == ("西湖区", "灵隐街道")
    assert names("灵隐街道") == []
    with pytest.raises(CallerFault):
        suggested("x", within=town.code)


def test_latin_names_are_shown_to_those_who_ask_in_another_language() -> None:
    place = suggested("guangzhou", language="en")[0]
    assert (place.text, place.address.administrative_area) == ("Guangzhou Shi", "Guangdong Sheng")
    assert suggested("guangzhou", language="zh-CN")[0].text == "广州市"


def test_nothing_found_and_nothing_typed_are_answers() -> None:
    assert names("qqqq") == []
    assert names("") == []
    assert names(" ·- ") == []


def test_hong_kong_stands_under_its_own_code_and_under_china_for_those_who_ask_there() -> None:
    assert {place.country for place in suggested("九龍")} >= {"HK"}
    assert suggested("香港", country="CN")[0].code == "CN-91"
    assert "CN-91" not in [place.code for place in suggested("香港")]


@pytest.mark.parametrize(
    ("request_", "problem", "pointer"),
    [
        ({"text": "a", "country": "ZZ"}, "unsupported-country", "/country"),
        ({"text": "a", "within": "nowhere"}, "invalid-input", "/within"),
        ({"text": "a", "within": "330100", "country": "US"}, "invalid-input", "/within"),
    ],
)
def test_a_place_that_is_not_known_is_refused(request_: dict[str, Any], problem: str, pointer: str) -> None:
    with pytest.raises(CallerFault) as refused:
        answer("suggest", **request_)
    assert refused.value.type.name == problem
    assert [error.pointer for error in refused.value.errors] == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "x" * 121},
        {"text": "x", "limit": 0},
        {"text": "x", "limit": 21},
        {"text": "x", "prefix": "y"},
    ],
)
def test_what_does_not_fit_the_schema_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, SuggestRequest)

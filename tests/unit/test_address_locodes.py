"""UN/LOCODE: found by code and by name, told of an address that names one place, and suggested."""

from typing import Any

import msgspec
import pytest

from atomic_services.address.locodes import codes_named, locode
from atomic_services.address.suggest_schema import Suggestion, SuggestRequest
from catalog.vocabulary.problem import CallerFault
from tests.address_calls import answer, call


def place_of(**address: Any) -> str | None:
    found = call("validate", **{"lines": ["Quay 1"], **address}).un_locode
    return found.code if found is not None else None


def suggested(text: str, **more: Any) -> list[Suggestion]:
    return list(answer("suggest", text=text, **more).suggestions)


def test_a_code_tells_what_the_list_says() -> None:
    rotterdam = locode("NLRTM")
    assert msgspec.json.decode(msgspec.json.encode(rotterdam)) == {
        "code": "NLRTM", "name": "Rotterdam", "functions": ["port", "rail", "road", "airport", "postal"],
        "status": "AF", "subdivision": "ZH", "latitude": 51.9167, "longitude": 4.5,
    }  # fmt: skip
    sydney, bregenz = locode("AUSYD"), locode("ATBRZ")
    assert sydney is not None
    assert sydney.latitude is not None
    assert sydney.latitude < 0
    assert bregenz is not None
    assert bregenz.iata == "XGZ"


@pytest.mark.parametrize("code", ["ZZZZZ", "", "NL", "NLRT", "nlrtm", "AAAAA", "ZZZZZZ", "DEFUH"])
def test_a_code_that_is_not_in_the_list_or_is_to_be_removed_is_none(code: str) -> None:
    assert locode(code) is None


@pytest.mark.parametrize(
    ("country", "name", "codes"),
    [
        ("DE", "HAMBURG", ("DEHAM",)),
        ("DE", "Koln", ("DECGN",)),
        ("DE", "Cologne", ("DECGN",)),
        ("BE", "Bruxelles", ("BEBRU",)),
        ("BE", "Brussel", ("BEBRU",)),
        ("IN", "Bombay", ("INBOM",)),
        ("DE", "Bremen", ("DEBRE", "DERME")),
        ("AT", "Weststeiermark", ()),
        ("DE", "Atlantis", ()),
        ("DE", "-", ()),
    ],
)
def test_names_are_compared_without_case_and_accents_and_old_names_count(
    country: str, name: str, codes: tuple[str, ...]
) -> None:
    assert codes_named(country, name) == codes


def test_a_name_that_others_bear_with_an_addition_names_none_alone() -> None:
    assert len(codes_named("DE", "Neustadt")) > 1
    assert codes_named("CN", "Pudong") == ()
    assert codes_named("CN", "Pudong/Shanghai") == ("CNPDG",)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ({"country": "DE", "locality": "Hamburg"}, "DEHAM"),
        ({"country": "US", "administrative_area": "Illinois", "locality": "Springfield"}, "USSPI"),
        ({"country": "BR", "locality": "Santos"}, "BRSSZ"),
        ({"country": "CN", "lines": ["广东省深圳市南山区深南大道9988号"]}, "CNSNZ"),
        ({"country": "CN", "lines": ["上海市浦东新区世纪大道1号"]}, "CNPDG"),
        ({"country": "CN", "lines": ["上海市徐汇区漕溪路1号"]}, "CNSGH"),
        ({"country": "CN", "lines": ["江苏省昆山市前进路1号"]}, "CNKUS"),
        ({"country": "CN", "locality": "Harbin", "lines": ["1 Zhongyang Street"]}, "CNHRN"),
    ],
)
def test_an_address_whose_locality_is_one_place_of_the_list_names_it(
    address: dict[str, Any], code: str
) -> None:
    assert place_of(**address) == code
    assert "UN/LOCODE: UNECE" in [
        source.name for source in call("normalise", **{"lines": [], **address}).sources
    ]


@pytest.mark.parametrize(
    "address",
    [
        {"country": "DE", "locality": "Bremen"},
        {"country": "DE", "locality": "Neustadt"},
        {"country": "DE"},
        {"country": "US", "locality": "Springfield"},
        {"country": "US", "administrative_area": "NY", "locality": "Los Angeles"},
        {"country": "US", "administrative_area": "Nowhere", "locality": "Los Angeles"},
        {"country": "BR", "administrative_area": "RJ", "locality": "Santos"},
        {"country": "CN", "lines": ["福建省福州市鼓楼区东街1号"]},
        {"country": "CN", "dependent_locality": "鼓楼区"},
        {"country": "CN", "administrative_area": "浙江省"},
    ],
)
def test_nothing_is_told_where_the_list_has_none_or_several_or_the_address_is_doubtful(
    address: dict[str, Any],
) -> None:
    assert place_of(**address) is None
    body = msgspec.json.decode(msgspec.json.encode(call("validate", **{"lines": ["1"], **address})))
    assert "un_locode" not in body


def test_a_county_never_has_the_place_of_the_city_above_it() -> None:
    assert place_of(country="CN", lines=["浙江省杭州市西湖区文三路1号"]) == "CNHAZ"
    assert place_of(country="CN", lines=["浙江省杭州市淳安县排岭路1号"]) is None


def test_a_pasted_text_tells_the_place_of_its_address() -> None:
    assert answer("parse", text="张三 13800138000 浙江省杭州市西湖区文三路90号").un_locode.code == "CNHAZ"
    assert answer("parse", text="Coolsingel 40, 3011 AD Rotterdam, Netherlands").un_locode.code == "NLRTM"
    assert answer("parse", text="???x").un_locode is None


@pytest.mark.parametrize("text", ["西湖区文三路90号", "浙江省宁波市 广州市 天河路1号"])
def test_a_text_that_is_ambiguous_or_contradicts_itself_has_no_place(text: str) -> None:
    reply = answer("parse", text=text)
    assert reply.verdict in ("ambiguous", "invalid")
    assert reply.un_locode is None
    assert "UN/LOCODE: UNECE" not in [source.name for source in reply.sources]


@pytest.mark.parametrize("text", ["CNSHA", "CN SHA", "cn-sha", " cnsha "])
def test_a_typed_code_is_the_whole_match(text: str) -> None:
    [place] = suggested(text)
    assert (place.code, place.kind, place.match, place.functions) == (
        "CNSHA",
        "un_locode",
        "whole",
        ("airport",),
    )
    assert msgspec.to_builtins(place.address) == {"administrative_area": "上海市"}


def test_divisions_and_regions_come_before_places_of_equal_match() -> None:
    found = suggested("shanghai", limit=20)
    assert [(place.code, place.match) for place in found[:2]] == [("310000", "whole"), ("CNSGH", "whole")]
    kinds = [
        place.kind == "un_locode"
        for place in suggested("ning", country="CN", limit=20)
        if place.match == "beginning"
    ]
    assert kinds == sorted(kinds)


def test_a_place_is_found_by_the_beginning_of_its_name_the_busiest_first() -> None:
    first = suggested("hamb", country="DE")[0]
    assert (first.code, first.match) == ("DEHAM", "beginning")
    assert [first.text[h.start : h.start + h.length] for h in first.highlights] == ["Hamb"]
    counts = [len(place.functions) for place in suggested("hamb", country="DE", limit=20)]
    assert counts == sorted(counts, reverse=True)


def test_functions_leave_only_places_that_have_one_of_them() -> None:
    found = suggested("s", functions=["border", "fixed"], limit=20)
    assert len(found) == 20
    assert all({"border", "fixed"} & set(place.functions) for place in found)
    assert suggested("浙江", functions=["fixed"]) == []
    assert [place.code for place in suggested("宁波", functions=["port"])] == ["CNNBO"]
    assert suggested("NLRTM", functions=["border"]) == []


def test_within_a_first_level_region_only_its_places_are_suggested() -> None:
    assert {locode(place.code).subdivision for place in suggested("san", within="US-CA")} == {"CA"}  # type: ignore[union-attr]
    assert [place.code for place in suggested("ning", within="330000", functions=["port"])] == [
        "CNNBO",
        "CNNBG",
    ]
    assert suggested("CNSHA", within="US-CA") == []
    assert suggested("CNSHA", country="DE") == []
    assert suggested("ning", within="330100", functions=["port"]) == []


def test_nothing_lies_in_a_place_of_the_list() -> None:
    with pytest.raises(CallerFault) as refused:
        answer("suggest", text="x", within="NLRTM")
    assert refused.value.type.name == "invalid-input"


@pytest.mark.parametrize("functions", [["harbour"], "port", ["port"] * 9, [1]])
def test_functions_that_do_not_fit_the_schema_are_refused(functions: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"text": "x", "functions": functions}, SuggestRequest)

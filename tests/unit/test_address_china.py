"""Chinese addresses: province, city and district by all their names, and no guess among several."""

from typing import Any

import pytest

from atomic_services.address.divisions import divisions
from atomic_services.address.schema import ValidateReply
from tests.address_calls import call

NANSHAN = {"administrative_area": "广东省", "locality": "深圳市", "dependent_locality": "南山区"}


def chinese(operation: str = "validate", **fields: Any) -> ValidateReply:
    return call(operation, **{"country": "CN", "lines": ["深南大道9988号"], **fields})


def divisions_of(reply: ValidateReply) -> tuple[str | None, str | None, str | None]:
    address = reply.address
    return address.administrative_area, address.locality, address.dependent_locality


def rules(reply: ValidateReply) -> set[str]:
    return {found.rule for found in reply.findings} - {"recommended-missing"}


def candidates(reply: ValidateReply) -> set[tuple[str | None, str | None, str | None]]:
    return {
        (c.administrative_area, c.locality, c.dependent_locality)
        for found in reply.findings
        for c in found.candidates
    }


def codes(reply: ValidateReply) -> dict[str, str | None]:
    return {part.name: part.code for part in reply.components if part.code}


def test_full_names_are_confirmed_with_their_gb_t_2260_codes() -> None:
    reply = chinese(**NANSHAN, postal_code="518057")
    assert (reply.verdict, reply.next_action, reply.findings) == ("valid", "accept", ())
    assert codes(reply) == {
        "administrative_area": "440000",
        "locality": "440300",
        "dependent_locality": "440305",
    }


@pytest.mark.parametrize(
    "given",
    [
        {"administrative_area": "广东", "locality": "深圳", "dependent_locality": "南山"},
        {"locality": "深圳", "dependent_locality": "南山"},
        {"administrative_area": "广东", "dependent_locality": "南山区"},
        {"lines": ["广东省深圳市南山区深南大道9988号"]},
        {"lines": ["广东 深圳 南山区 深南大道9988号"]},
        {"administrative_area": "广东省", "lines": ["深圳市南山区深南大道9988号"]},
        {**NANSHAN, "lines": ["广东省深圳市南山区深南大道9988号"]},
        {**NANSHAN, "lines": ["南山区深南大道9988号"]},
        {"administrative_area": "Guangdong", "locality": "Shenzhen City", "dependent_locality": "Nanshan District",
         "language": "zh"},
    ],
)  # fmt: skip
def test_short_latin_missing_and_repeated_names_lead_to_the_same_canonical_address(
    given: dict[str, Any],
) -> None:
    reply = chinese(**given)
    assert divisions_of(reply) == tuple(NANSHAN.values())
    assert reply.address.lines == ["深南大道9988号"]
    assert (reply.verdict, reply.next_action) == ("corrected", "accept")


@pytest.mark.parametrize(
    ("given", "cities"),
    [
        ({"dependent_locality": "西湖区"}, {"杭州市", "南昌市"}),
        ({"dependent_locality": "鼓楼区"}, {"南京市", "徐州市", "福州市", "开封市"}),
        ({"lines": ["鼓楼区中山路1号"]}, {"南京市", "徐州市", "福州市", "开封市"}),
        ({"administrative_area": "江苏", "dependent_locality": "鼓楼"}, {"南京市", "徐州市"}),
        ({"locality": "朝阳"}, {"北京市", "长春市", "朝阳市"}),
        ({"locality": "Suzhou"}, {"苏州市", "宿州市", "酒泉市"}),
        ({"dependent_locality": "江北区"}, {"宁波市", "重庆市"}),
        ({"dependent_locality": "东区"}, {"攀枝花市"}),
        ({"dependent_locality": "徐汇"}, {"上海市"}),
    ],
)
def test_a_name_that_leaves_a_doubt_is_answered_with_candidates_and_never_completed(
    given: dict[str, str], cities: set[str]
) -> None:
    reply = chinese(**given)
    assert (reply.verdict, reply.next_action) == ("ambiguous", "confirm")
    assert {city for _, city, _ in candidates(reply)} == cities
    assert "inferred" not in {part.status for part in reply.components if part.name == "locality"}


def test_the_parent_decides_between_districts_of_the_same_name() -> None:
    assert codes(chinese(locality="南昌", dependent_locality="西湖区"))["dependent_locality"] == "360103"
    assert codes(chinese(locality="杭州", dependent_locality="西湖区"))["dependent_locality"] == "330106"
    assert (
        codes(chinese(lines=["南京市鼓楼区中山路1号"], dependent_locality="鼓楼区"))["locality"] == "320100"
    )


def test_a_wrong_parent_is_reported_with_the_right_place_and_nothing_is_changed() -> None:
    given = {"administrative_area": "广东省", "locality": "杭州市", "dependent_locality": "西湖区"}
    reply = chinese(**given)
    assert (reply.verdict, reply.next_action) == ("invalid", "fix")
    assert rules(reply) == {"division-mismatch"}
    assert candidates(reply) == {("浙江省", "杭州市", "西湖区")}
    assert divisions_of(reply) == tuple(given.values())


def test_an_unknown_name_is_reported_with_what_the_others_point_at() -> None:
    reply = chinese(administrative_area="广东省", locality="深川市", dependent_locality="南山区")
    assert rules(reply) == {"division-unknown"}
    assert reply.verdict == "invalid"
    assert candidates(reply) == {("广东省", "深圳市", "南山区")}


@pytest.mark.parametrize(
    "given",
    [
        {"administrative_area": "北京市", "locality": "北京市", "dependent_locality": "朝阳区"},
        {"administrative_area": "北京市", "dependent_locality": "朝阳区"},
        {"administrative_area": "北京", "locality": "朝阳区"},
        {"administrative_area": "北京市", "locality": "市辖区", "dependent_locality": "朝阳区"},
        {"lines": ["北京朝阳区深南大道9988号"]},
        {"lines": ["北京市北京市朝阳区深南大道9988号"]},
    ],
)
def test_a_municipality_is_its_own_city_however_it_is_given(given: dict[str, Any]) -> None:
    reply = chinese(**given)
    assert divisions_of(reply) == ("北京市", "北京市", "朝阳区")
    assert reply.formatted == ("北京市朝阳区", "深南大道9988号")
    assert codes(reply)["dependent_locality"] == "110105"


def test_a_county_level_city_in_the_city_field_moves_down_and_the_town_moves_into_the_lines() -> None:
    reply = chinese(
        administrative_area="江苏省", locality="昆山市", dependent_locality="千灯镇", lines=["玉溪西路1号"]
    )
    assert divisions_of(reply) == ("江苏省", "苏州市", "昆山市")
    assert reply.address.lines == ["千灯镇玉溪西路1号"]
    assert rules(reply) == {"division-moved"}


def test_cities_without_districts_need_none_and_keep_a_town() -> None:
    plain = chinese(administrative_area="湖北省", locality="仙桃市")
    town = chinese(administrative_area="广东省", locality="东莞市", dependent_locality="虎门镇")
    assert (plain.verdict, plain.next_action) == ("valid", "accept")
    assert codes(plain)["locality"] == "429004"
    assert (town.verdict, rules(town)) == ("valid", {"division-below-county"})


def test_a_city_with_districts_needs_one() -> None:
    reply = chinese(administrative_area="广东省", locality="深圳市")
    assert (reply.verdict, reply.next_action) == ("incomplete", "confirm")
    assert rules(reply) == {"district-missing"}


@pytest.mark.parametrize(
    ("given", "now", "code"),
    [
        ({"locality": "襄樊市", "dependent_locality": "樊城区"}, ("湖北省", "襄阳市", "樊城区"), "420606"),
        ({"locality": "杭州市", "dependent_locality": "萧山市"}, ("浙江省", "杭州市", "萧山区"), "330109"),
        ({"locality": "洛阳", "dependent_locality": "偃师市"}, ("河南省", "洛阳市", "偃师区"), "410307"),
        ({"locality": "重庆市", "dependent_locality": "江北区"}, ("重庆市", "重庆市", "两江新区"), "500157"),
        ({"locality": "九江市", "dependent_locality": "庐山区"}, ("江西省", "九江市", "濂溪区"), "360402"),
        (
            {"locality": "南宁市", "dependent_locality": "横县"},
            ("广西壮族自治区", "南宁市", "横州市"),
            "450181",
        ),
    ],
)
def test_a_former_name_becomes_todays_where_the_successor_is_certain(
    given: dict[str, str], now: tuple[str, str, str], code: str
) -> None:
    reply = chinese(**given)
    assert divisions_of(reply) == now
    assert codes(reply)["dependent_locality"] == code
    assert "division-renamed" in rules(reply)
    assert reply.verdict == "corrected"


def test_a_district_that_was_divided_is_asked_about() -> None:
    reply = chinese(administrative_area="重庆市", locality="重庆市", dependent_locality="渝北区")
    assert (reply.verdict, reply.next_action) == ("ambiguous", "confirm")
    assert candidates(reply) == {("重庆市", "重庆市", "两江新区"), ("重庆市", "重庆市", "北碚区")}
    assert reply.address.dependent_locality == "渝北区"


@pytest.mark.parametrize("line", ["上海路100号", "深圳大道1号", "北京市场路1号", "南山大道1号", "中山路1号"])
def test_a_street_that_is_named_after_a_place_is_no_place(line: str) -> None:
    reply = chinese(lines=[line])
    assert divisions_of(reply) == (None, None, None)
    assert reply.address.lines == [line]
    assert reply.verdict == "incomplete"


def test_lines_that_disagree_with_the_fields_are_left_alone_and_asked_about() -> None:
    reply = chinese(**NANSHAN, lines=["广州市天河区体育西路1号"])
    assert rules(reply) == {"lines-disagree"}
    assert reply.verdict == "ambiguous"
    assert reply.address.lines == ["广州市天河区体育西路1号"]


def test_a_postal_code_must_agree_with_the_province_and_is_not_demanded() -> None:
    assert rules(chinese(**NANSHAN, postal_code="310000")) == {"postal-code-region"}
    without = chinese(**NANSHAN)
    assert (without.verdict, without.next_action) == ("valid", "accept")
    assert [found.rule for found in without.findings] == ["recommended-missing"]


def test_hong_kong_macau_and_taiwan_follow_the_postal_metadata() -> None:
    reply = chinese(administrative_area="台湾省", locality="台北市", lines=["忠孝東路1號"], postal_code="106")
    assert divisions_of(reply) == ("台湾", "台北市", None)
    assert reply.verdict == "corrected"


def test_latin_lines_are_answered_in_latin_names_and_the_international_order() -> None:
    reply = chinese(**NANSHAN, lines=["9988 Shennan Avenue"], postal_code="518057")
    assert divisions_of(reply) == ("Guangdong Sheng", "Shenzhen Shi", "Nanshan Qu")
    assert reply.formatted == ("9988 Shennan Avenue", "Nanshan Qu", "Shenzhen Shi", "GUANGDONG SHENG, 518057")


def test_the_table_is_the_one_of_2024_with_the_change_of_december_2025() -> None:
    units = divisions().units
    counties = [unit for unit in units.values() if unit.level == 3]
    assert len(counties) == 2_845  # 2,846 of 2024, one new, two gone
    for code, name in {"440311": "光明区", "440309": "龙华区", "440310": "坪山区", "500157": "两江新区",
                       "653228": "和康县", "653229": "和安县", "540581": "错那市"}.items():  # fmt: skip
        assert units[code].name == name
    assert not {"500105", "500112", "710000"} & units.keys()

"""`address/parse`: places that are hard to tell - beside the mainland, under a former kind, abolished, masked."""

import pytest

from tests.address_calls import deepest, parse, rules


@pytest.mark.parametrize(
    ("text", "country", "area", "locality", "lines"),
    [
        ("台北市大安区忠孝东路四段1号", "TW", "台北市", "大安區", "忠孝东路四段1号"),
        ("新北市板橋區縣民大道二段7號", "TW", "新北市", "板橋區", "縣民大道二段7號"),
        ("高雄市左營區博愛二路777號", "TW", "高雄市", "左營區", "博愛二路777號"),
        ("九龙旺角弥敦道700号", "HK", "九龍", "旺角", "弥敦道700号"),
        ("新界沙田沙田正街18號", "HK", "新界", "沙田", "沙田正街18號"),
        ("香港特别行政区湾仔区轩尼诗道1号", "HK", "香港島", "灣仔", "轩尼诗道1号"),
    ],
)  # fmt: skip
def test_places_of_taiwan_and_hong_kong_are_known_without_the_name_of_the_region(
    text: str, country: str, area: str | None, locality: str, lines: str
) -> None:
    address = parse(text).address
    assert (address.country, address.administrative_area, address.locality) == (country, area, locality)
    assert " ".join(address.lines) == lines


@pytest.mark.parametrize(
    "text",
    [
        "福建省福州市连江县凤城镇1号",
        "连江县凤城镇1号",
        "四川省甘孜州九龙县1号",
        "广州市天河区 桃园市场1号",
        "江苏常州新北区通江路1号",
    ],
)
def test_places_that_the_mainland_has_too_stay_there(text: str) -> None:
    assert parse(text).address.country == "CN"


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("台灣台北市信義區信義路五段7號 陳小姐 0912345678", "+886912345678"),
        ("收件人：陳小姐 電話：0912-345-678 地址：台北市信義區信義路五段7號", "+886912345678"),
        ("澳門新馬路1號 66123456", "+85366123456"),
        ("香港中环皇后大道中1号 9123 4567", "+85291234567"),
    ],
)
def test_numbers_are_read_by_the_plan_of_the_country_that_the_text_tells(text: str, phone: str) -> None:
    reply = parse(text)
    assert reply.phone == phone
    assert "digits-not-recognised" not in rules(reply)


def test_masked_numbers_are_pointed_out() -> None:
    reply = parse("王** 138****8000 北京市朝阳区望京街道阜通东大街6号")
    assert "digits-not-recognised" in rules(reply)
    assert reply.next_action == "confirm"


@pytest.mark.parametrize(
    ("text", "code", "lines"),
    [
        ("上海市松江县中山路1号", "310117", "中山路1号"),
        ("南京市江宁县东山街道", "320115", "东山街道"),
        ("深圳市龙华新区民治街道1号", "440309", "民治街道1号"),
        ("深圳光明新区公明街道1号", "440311", "公明街道1号"),
        ("浙江余杭新区1号", "330110", "1号"),
        ("山东省济南市历下区历下区域中心1号", "370102", "历下区域中心1号"),
        ("新疆巴州库尔勒人民路1号", "652801", "人民路1号"),
        ("博州博乐市人民路1号", "652701", "人民路1号"),
        ("内蒙古锡盟锡林浩特1号", "152502", "1号"),
    ],
)
def test_the_kind_that_a_district_had_before_belongs_to_its_name(text: str, code: str, lines: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert " ".join(reply.address.lines) == lines


@pytest.mark.parametrize(
    "text", ["广西南宁市永新区中华路12号", "南宁永新区中华路12号", "南宁市永新区中华路12号"]
)
def test_an_abolished_district_without_known_heirs_leads_to_its_city_and_is_said(text: str) -> None:
    reply = parse(text)
    assert deepest(reply) == "450100"
    assert {"division-abolished", "district-missing"} <= rules(reply)
    assert reply.next_action == "confirm"


@pytest.mark.parametrize(
    ("text", "code", "town"),
    [
        ("山西大同矿区新平旺街道", "140214", "新平旺街道"),
        ("大同市南郊区西韩岭乡1号", "140214", "西韩岭乡"),
        ("大同市南郊区古店镇1号", "140212", "古店镇"),
        ("河南省济源市沁园街道1号", "419001", "沁园街道"),
        ("如皋市如城街道1号", "320682", "如城街道"),
    ],
)
def test_towns_are_known_by_their_own_name(text: str, code: str, town: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert [(d.name, d.status) for d in reply.divisions if d.level == "street"] == [(town, "confirmed")]


def test_a_county_that_nothing_is_known_of_is_left_in_the_lines_whole() -> None:
    reply = parse("浙江金华县人民路1号")
    assert (deepest(reply), reply.address.lines) == ("330000", ["金华县人民路1号"])
    assert reply.next_action == "fix"


@pytest.mark.parametrize(
    ("text", "country", "code"),
    [
        ("1 Raffles Place, Singapore 048616", "SG", "048616"),
        ("18 Keyuan Road, Nanshan District, Shenzhen, China 518057, Tel 13800138000", "CN", "518057"),
        ("123 Main St, Atlanta, Georgia 30303", "ZZ", None),
        ("Andrássy út 1, 1061 Budapest, Hungary", "HU", "1061"),
        ("bul. Vitosha 1, 1000 Sofia, Bulgaria", "BG", "1000"),
    ],
)
def test_a_country_is_known_with_one_of_its_postal_codes_behind_it(
    text: str, country: str, code: str | None
) -> None:
    reply = parse(text)
    assert (reply.address.country, reply.postal_code) == (country, code)
    assert not any("Singapore" in line or "China" in line for line in reply.address.lines)


@pytest.mark.parametrize(
    ("text", "code", "year"),
    [
        ("浙江省杭州市下城区体育场路218号", "330105", "2020"),
        ("河北省保定市北市区东风中路1号", "130606", "2014"),
        ("保定市南市区裕华东路1号", "130606", "2014"),
        ("江苏省扬州市维扬区邗江北路1号", "321003", "2010"),
        ("广东省佛山市石湾区江湾路1号", "440604", "2001"),
        ("哈尔滨市太平区红旗大街1号", "230104", "2003"),
        ("韶关市北江区解放路1号", "440204", "2003"),
        ("汕头市金园区金砂路1号", "440511", "2002"),
    ],
)
def test_a_district_that_joined_another_whole_is_that_one(text: str, code: str, year: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert [f.message.en for f in reply.findings if f.rule == "division-renamed" and year in f.message.en]


@pytest.mark.parametrize(
    ("text", "among"),
    [
        ("石家庄市桥东区建设大街12号", {"130102", "130104"}),
        ("贵州省遵义市遵义县1号", {"520302", "520303", "520304"}),
        ("徐州市九里区平山路1号", {"320302", "320311", "320312"}),
        ("福建省莆田市莆田县1号", {"350302", "350303", "350304", "350305"}),
        ("遂宁市市中区1号", {"510903", "510904"}),
    ],
)
def test_a_county_that_was_divided_is_asked_about(text: str, among: set[str]) -> None:
    reply = parse(text)
    assert reply.verdict == "ambiguous"
    assert {candidate.code for candidate in reply.candidates} == among


@pytest.mark.parametrize(
    ("text", "code"),
    [("贵州省遵义市遵义县南白镇1号", "520304"), ("河北省石家庄市桥东区阜康街道1号", "130102")],
)
def test_the_town_tells_which_part_of_a_divided_county_is_meant(text: str, code: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert "division-by-town" in rules(reply)

"""`address/parse`: recipient, telephone and address of a pasted text, and what it says where the text is not clear."""

from typing import Any

import msgspec
import pytest

from atomic_services.address.schema import ParseRequest
from catalog.vocabulary.problem import CallerFault
from tests.address_calls import answer, deepest, parse, rules
from tests.conformance import chinese_variants
from tests.fakes.journal_disk import is_torture


@pytest.mark.parametrize(
    ("text", "recipient", "phone", "code", "lines"),
    [
        ("收货人：张三 13800138000 浙江省杭州市西湖区文三路 90 号", "张三", "13800138000", "330106", "文三路 90 号"),
        ("北京朝阳建国路88号 李四 010-88888888", "李四", "010-88888888", "110105", "建国路88号"),
        ("张三,13800138000,浙江省,杭州市,西湖区,文三路90号", "张三", "13800138000", "330106", "文三路90号"),
        ("张三13800138000浙江省杭州市西湖区文三路90号", "张三", "13800138000", "330106", "文三路90号"),
        ("浙江省杭州市西湖区文三路90号张三13800138000", "张三", "13800138000", "330106", "文三路90号"),
        ("文三路90号 西湖区 杭州市 浙江省 张三 13800138000", "张三", "13800138000", "330106", "文三路90号"),
        ("欧阳娜娜 0086 13800138000 上海市浦东新区世纪大道1号", "欧阳娜娜", "13800138000", "310115", "世纪大道1号"),
        ("上海浦东新区世纪大道1号 陈先生（收） 021-88886666转8001", "陈先生", "021-88886666", "310115", "世纪大道1号"),
        ("收件人: 王小姐\n手机号码: +86 138-0013-8000\n所在地区: 广东省深圳市南山区\n详细地址: 科苑路15号", "王小姐", "13800138000",
         "440305", "科苑路15号"),
        ("姓名 张三 电话 13800138000 地址 浙江省杭州市西湖区文三路90号", "张三", "13800138000", "330106", "文三路90号"),
        ("張三 0086-13800138000 廣東省廣州市天河區體育西路1號", "張三", "13800138000", "440106", "體育西路1號"),
        ("😀浙江省　杭州市　西湖区　文三路９０号　１３８００１３８０００", None, "13800138000", "330106", "文三路90号"),
        ("李四杭州西湖区文三路90号", "李四", None, "330106", "文三路90号"),
        ("400-800-8888 广东省广州市天河区体育西路1号", None, "400-800-8888", "440106", "体育西路1号"),
        ("新疆乌鲁木齐新市区北京南路1号 阿里木江·买买提 13999999999", "阿里木江·买买提", "13999999999", "650104", "北京南路1号"),
        ("Zhang San, 13800138000, No. 90 Wensan Road, Xihu District, Hangzhou, Zhejiang, China", "Zhang San", "13800138000",
         "330106", "No. 90 Wensan Road"),
    ],
)  # fmt: skip
def test_recipient_telephone_and_address_are_told_apart_in_any_order(
    text: str, recipient: str | None, phone: str | None, code: str, lines: str
) -> None:
    reply = parse(text)
    assert (reply.recipient, reply.phone, deepest(reply)) == (recipient, phone, code)
    assert " ".join(reply.address.lines) == lines
    assert reply.rest == lines
    assert reply.verdict in ("valid", "corrected")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("新疆石河子市北三路1号", "659001"),
        ("新疆生产建设兵团第八师石河子市北三路1号", "659001"),
        ("内蒙呼和浩特新城区新华大街1号", "150102"),
        ("广西南宁青秀民族大道1号", "450103"),
        ("广西省南宁市青秀区民族大道1号", "450103"),
        ("湖北仙桃市沔州大道1号", "429004"),
        ("河南省济源市沁园路1号", "419001"),
        ("海南省陵水县英州镇1号", "469028"),
        ("昆山市前进路1号", "320583"),
        ("浙江景宁人民路1号", "331127"),
        ("湖北恩施州恩施市施州大道1号", "422801"),
        ("新疆伊犁州塔城地区乌苏市1号", "654202"),
        ("吉林省吉林市船营区1号", "220204"),
        ("乐山市中区1号", "511102"),
        ("济南市市中区经四路", "370103"),
        ("青岛市南区香港中路1号", "370202"),
        ("河北唐山路北建设路1号", "130203"),
        ("湖南岳阳岳阳楼巴陵路1号", "430602"),
        ("浙江省浙江省杭州市杭州市西湖区文三路", "330106"),
        ("东莞市虎门镇人民路1号", "441900"),
        ("南昌市西湖区南昌市第一中学", "360103"),
        ("Zhèjiāng Shěng Hángzhōu Shì Xīhú Qū Wénsān Lù 90 Hào", "330106"),
        ("zhejiangshenghangzhoushixihuqu 1", "330106"),
        ("Lüliang Shi Lishi Qu, Shanxi", "141102"),
        ("Lvliang, Lishi, Shanxi Province", "141102"),
        ("Xi'an, Shaanxi, Yanta District, Xiaozhai Road 1", "610113"),
        ("Xian, Yanta, Shanxi, Xiaozhai Road 1", "610113"),
        ("Chaoyang District, Beijing", "110105"),
        ("Shou County, Huainan City, Anhui Province", "340422"),
        ("Enshi City, Enshi Tujia and Miao Autonomous Prefecture, Hubei", "422801"),
        ("Suzhou City, Anhui Province", "341300"),
        ("Hohhot, Inner Mongolia, 1 Xinhua Street", "150100"),
    ],
)
def test_short_colloquial_and_latin_names_lead_to_the_code(text: str, code: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert reply.candidates == ()


@pytest.mark.parametrize(
    ("text", "among"),
    [
        ("西湖区文三路90号", {"330106", "360103"}),
        ("朝阳区建国路88号", {"110105", "220104"}),
        ("鼓楼区中山路1号 李四 13800138000", {"320106", "320302", "350102", "410204"}),
        ("市中区1号", {"370103", "370402", "511002", "511102"}),
        ("Xihu District, China", {"330106", "360103"}),
        ("朝阳 建国路88号", {"110105", "211300", "220104"}),
        ("江北区1号", {"330205", "500157"}),
        ("东区1号", {"510402"}),
        ("常熟 人民路1号", {"320581"}),
        ("甘肃临夏临夏人民路1号", {"622901", "622921"}),
        ("浙江省杭州市江干区凯旋路1号", {"330102", "330114"}),
        ("绍兴县人民路1号", {"330602", "330603"}),
    ],
)
def test_what_the_text_leaves_open_is_asked_and_never_chosen(text: str, among: set[str]) -> None:
    reply = parse(text)
    assert reply.verdict == "ambiguous"
    assert reply.next_action == "confirm"
    assert among <= {candidate.code for candidate in reply.candidates}
    assert deepest(reply) not in among


def test_a_town_that_very_many_counties_have_is_asked_about_with_its_counties() -> None:
    reply = parse("城关镇人民路1号")
    assert reply.verdict == "ambiguous"
    assert len(reply.candidates) == 50
    assert {candidate.street for candidate in reply.candidates} == {"城关镇"}
    assert reply.address.lines == ["城关镇人民路1号"]


@pytest.mark.parametrize(
    ("text", "code", "rule"),
    [
        ("西湖区文新街道文三路90号", "330106", "division-by-town"),
        ("长安区韦曲街道1号", "610116", "division-by-town"),
        ("西湖区文三路90号 310012", "330106", "division-inferred-from-postal-code"),
        ("杭州市江干区笕桥街道1号", "330102", "division-by-town"),
        ("重庆市渝北区统景镇1号", "500109", "division-by-town"),
    ],
)
def test_another_part_of_the_text_decides_and_the_reply_says_so(text: str, code: str, rule: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert rule in rules(reply)
    assert reply.candidates == ()


@pytest.mark.parametrize(
    ("text", "code", "rule", "said"),
    [
        ("上海市闸北区天目西路1号", "310106", "division-renamed", "2014"),
        ("湖北省襄樊市襄阳区人民路1号", "420607", "division-renamed", "2009"),
        ("苏州市吴江市松陵镇1号", "320509", "division-renamed", "2011"),
        ("吉林省四平市公主岭市人民路1号", "220184", "division-moved-away", "四平市"),
        ("安徽省巢湖市庐江县人民路1号", "340124", "division-moved-away", "巢湖市"),
        ("四川省资阳市简阳市1号", "510185", "division-moved-away", "资阳市"),
    ],
)
def test_former_names_become_those_of_today_with_the_change_stated(
    text: str, code: str, rule: str, said: str
) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert any(said in found.message.en for found in reply.findings if found.rule == rule)


def test_divisions_have_level_name_code_status_and_source_down_to_the_town() -> None:
    reply = parse("浙江杭州市西湖区文新街道办事处文三路90号")
    told = [(d.level, d.name, d.code, d.status, d.given) for d in reply.divisions]
    assert told == [
        ("province", "浙江省", "330000", "corrected", "浙江"),
        ("city", "杭州市", "330100", "confirmed", None),
        ("district", "西湖区", "330106", "confirmed", None),
        ("street", "文新街道", "330106013", "confirmed", "文新街道办事处"),
    ]
    assert all(d.source for d in reply.divisions)
    assert reply.address.lines == ["文新街道办事处文三路90号"]
    assert reply.rest == "文三路90号"


def test_a_development_zone_is_recognised_and_marked_as_no_division() -> None:
    reply = parse("苏州工业园区星湖街1号")
    zone = reply.divisions[-1]
    assert (zone.level, zone.name, zone.code) == ("zone", "苏州工业园区", "320576")
    assert "development-zone" in rules(reply)
    assert reply.address.lines == ["苏州工业园区星湖街1号"]
    assert parse("安徽省合肥市高新区长江西路1号").divisions[-1].code == "340176"


def test_a_town_of_a_neighbouring_district_is_pointed_out() -> None:
    reply = parse("杭州市余杭区临平街道1号")
    [found] = [found for found in reply.findings if found.rule == "town-elsewhere"]
    assert {candidate.code for candidate in found.candidates} == {"330113"}
    assert reply.next_action == "confirm"


@pytest.mark.parametrize(
    "text", ["浙江省南京市鼓楼区中山路1号", "江苏杭州西湖区1号", "浙江省朝阳区建国路1号"]
)
def test_divisions_that_contradict_each_other_are_invalid_with_candidates(text: str) -> None:
    reply = parse(text)
    assert reply.verdict == "invalid"
    assert reply.divisions == ()
    assert reply.candidates
    assert "divisions-contradict" in rules(reply)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("上海南京西路100号", "南京西路100号"),
        ("浙江杭州西湖大道1号", "西湖大道1号"),
        ("上海唐山路1号", "唐山路1号"),
        ("重庆渝中区解放碑", "解放碑"),
    ],
)
def test_names_of_roads_and_squares_are_left_to_the_street_address(text: str, lines: str) -> None:
    reply = parse(text)
    assert reply.address.lines == [lines]
    assert reply.recipient is None


def test_numbers_keep_their_extension_and_the_mark_of_masked_numbers_goes() -> None:
    reply = parse("张三[1234] 18412345678-1234 浙江省杭州市余杭区仓前街道文一西路969号[1234]")
    assert (reply.phone, reply.phones[0].extension) == ("18412345678", "1234")
    assert reply.recipient == "张三"
    assert reply.address.lines == ["仓前街道文一西路969号"]


def test_postal_codes_are_taken_by_label_by_place_and_by_province() -> None:
    assert parse("四川省成都市武侯区天府五街 邮编610041 杨过 18080808080").postal_code == "610041"
    assert parse("610041 四川省成都市武侯区人民南路1号").postal_code == "610041"
    assert parse("浙江省杭州市西湖区文三路90号310012张三").postal_code == "310012"
    unfit = parse("浙江省杭州市西湖区文三路90号 100000")
    assert unfit.postal_code is None
    assert unfit.address.lines == ["文三路90号 100000"]


def test_a_recipient_by_its_label_is_sure_and_any_other_is_to_be_confirmed() -> None:
    assert "recipient-assumed" not in rules(parse("收货人：张三 浙江省杭州市西湖区文三路90号"))
    assumed = parse("浙江省杭州市西湖区文三路90号 张三 13800138000")
    assert "recipient-assumed" in rules(assumed)
    assert assumed.next_action == "confirm"


def test_several_and_doubtful_numbers_are_said() -> None:
    reply = parse("浙江省杭州市西湖区文三路90号 13800138000 13900139000")
    assert [phone.number for phone in reply.phones] == ["13800138000", "13900139000"]
    assert "phones-several" in rules(reply)
    assert "digits-not-recognised" in rules(parse("浙江省杭州市西湖区文三路90号 8812345678901234"))


@pytest.mark.parametrize(
    ("text", "country", "found"),
    [
        ("Invalidenstr. 116, 10115 Berlin", "DE",
         {"postal_code": "10115", "locality": "Berlin", "lines": ["Invalidenstr. 116"]}),
        ("1600 Amphitheatre Pkwy, Mountain View, CA 94043, USA", None,
         {"country": "US", "administrative_area": "CA", "locality": "Mountain View", "postal_code": "94043"}),
        ("John Smith\n1600 Amphitheatre Pkwy\nMountain View, CA 94043\nUSA", None, {"recipient": "John Smith"}),
        ("10 Downing Street, London SW1A 2AA, UK", None, {"country": "GB", "postal_code": "SW1A 2AA", "locality": "London"}),
        ("〒100-0001 東京都千代田区千代田1-1", None, {"country": "JP", "administrative_area": "東京都", "postal_code": "100-0001"}),
        ("서울특별시 강남구 테헤란로 152 06236", None, {"country": "KR", "locality": "강남구", "postal_code": "06236"}),
        ("臺灣省台北市信義區信義路五段7號", None, {"country": "TW", "administrative_area": "台北市", "locality": "信義區"}),
        ("香港九龙旺角弥敦道1号", None, {"country": "HK", "administrative_area": "九龍"}),
    ],
)  # fmt: skip
def test_addresses_of_other_countries_are_read_as_far_as_the_metadata_goes(
    text: str, country: str | None, found: dict[str, Any]
) -> None:
    reply = parse(text, country=country)
    address = msgspec.to_builtins(reply.address)
    assert {name: address.get(name) for name in found} == found
    assert "text-kept" in rules(reply)


def test_a_locality_by_its_place_alone_is_to_be_confirmed() -> None:
    reply = parse("Invalidenstr. 116, 10115 Berlin", country="DE")
    assert "locality-assumed" in rules(reply)
    assert reply.next_action == "confirm"


def test_without_a_country_nothing_is_guessed() -> None:
    reply = parse("Suzhou")
    assert (reply.address.country, reply.verdict, reply.address.lines) == ("ZZ", "incomplete", ["Suzhou"])
    assert "country-not-recognised" in rules(reply)


def test_chinese_text_without_divisions_asks_for_them() -> None:
    reply = parse("人民路1号 张三 13800138000")
    assert reply.verdict == "incomplete"
    assert "division-not-found" in rules(reply)
    assert reply.recipient == "张三"


@pytest.mark.parametrize("text", ["!!!", "　", "😀😀", "\ue000\ue001"])
def test_a_text_without_letters_is_refused(text: str) -> None:
    with pytest.raises(CallerFault, match="letter"):
        parse(text)


def test_an_unknown_country_and_a_text_that_grows_too_long_are_refused() -> None:
    with pytest.raises(CallerFault, match="country"):
        parse("1", country="XX")
    with pytest.raises(CallerFault, match="normal form"):
        parse("\u0958" * 1000)


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": "x" * 1001}, {"text": 1}, {"text": "1", "country": "CHN"}]
)
def test_what_does_not_fit_the_schema_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, ParseRequest)


def test_every_county_is_found_in_every_way_of_writing_and_none_is_silently_wrong() -> None:
    """A fixed part of the suite of `make conformance`; the whole of it with ORDERGATE_TORTURE=full."""
    chosen = list(chinese_variants.cases()) if is_torture() else chinese_variants.sample(25)
    judged = [(case, chinese_variants.judge(case)) for case in chosen]
    assert [case for case, result in judged if result in ("wrong", "missed")] == []
    assert [
        case for case, result in judged if result == "asked" and not chinese_variants.may_be_asked(case)
    ] == []
    exact = sum(result == "exact" for _, result in judged)
    assert exact >= chinese_variants.LEAST_EXACT * len(judged)


@pytest.mark.parametrize(
    ("area", "locality", "district"),
    [
        ("浙江省", "麗水市", "景寧縣"),
        ("Zhejiang", "Li Shui Shi", "Jingning She Autonomous County"),
        ("zhejiang sheng", "Lishui", "jing ning she zu zi zhi xian"),
    ],
)
def test_validate_understands_traditional_characters_pinyin_and_english(
    area: str, locality: str, district: str
) -> None:
    reply = answer(
        "validate", country="CN", administrative_area=area, locality=locality, dependent_locality=district,
        lines=["人民路1号"],
    )  # fmt: skip
    assert reply.address.dependent_locality == "景宁畲族自治县"
    assert "331127" in {part.code for part in reply.components}


def test_validate_reads_the_beginning_of_a_line_in_traditional_characters() -> None:
    reply = answer("validate", country="CN", lines=["廣東省廣州市天河區體育西路1號"])
    assert "440106" in {part.code for part in reply.components}
    assert reply.address.lines == ["體育西路1號"]

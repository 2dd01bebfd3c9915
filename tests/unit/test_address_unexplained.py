"""`address/parse`: what of a text the answer does not explain is said, and never accepted in silence."""

import pytest

from tests.address_calls import answer, deepest, parse, rules


@pytest.mark.parametrize(
    "text",
    [
        "云南省文山壮族苗族自治州西畴县解放路1号，黑龙江省双鸭山市宝清县人民路2号",
        "广东省广州市天河区体育西路1号/上海市浦东新区世纪大道2号",
        "上海市浦东新区世纪大道2号\n广东省广州市天河区体育西路1号",
        "浙江省温州市永嘉县解放路1号，河南省开封市尉氏县人民路2号",
        "甘肃省定西市漳县解放路1号；青海省海东市乐都区人民路2号",
        "陕西省汉中市勉县解放路1号 宁夏回族自治区固原市西吉县",
        "江西省赣州市信丰县解放路1号广西壮族自治区玉林市博白县人民路2号",
        "四川省凉山彝族自治州会理市解放路1号，贵州省铜仁市",
        "湖南省邵阳市隆回县解放路1号，隆昌市人民路2号",
        "山东省菏泽市曹县解放路1号 张三 13800138000 山西省临汾市洪洞县人民路2号",
    ],
)
def test_two_addresses_in_one_text_are_never_one_answer(text: str) -> None:
    reply = parse(text)
    assert (reply.verdict, reply.next_action) == ("invalid", "fix")
    assert "divisions-contradict" in rules(reply)
    assert reply.divisions == ()


def test_nothing_of_a_second_address_is_lost() -> None:
    reply = parse("广东省广州市天河区体育西路1号，黑龙江省双鸭山市宝清县人民路2号")
    [told] = [found for found in reply.findings if found.rule == "divisions-contradict"]
    address = reply.address
    fields = (address.administrative_area or "", address.locality or "", address.dependent_locality or "")
    written = " ".join([*address.lines, *fields, told.message.en])
    places = ("广东省", "广州市", "天河区", "黑龙江省", "双鸭山市", "宝清县")
    assert all(name in written for name in (*places, "体育西路1号", "人民路2号"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("浙江省杭州市西湖区文三路90号 上海市第一医药商店对面", "330106"),
        ("湖南省长沙市雨花区韶山中路1号，湖北省驻湘办事处3楼", "430111"),
        ("广东省深圳市南山区深南大道9988号 沙县小吃", "440305"),
        ("北京市海淀区复兴路1号（四川省农业银行旁）", "110108"),
        ("广东省广州市天河区体育西路1号，广州市天河区", "440106"),
        ("山东省青岛市市南区香港中路10号 北京市某某律师事务所青岛分所", "370202"),
    ],
)
def test_a_company_or_a_house_named_after_another_place_is_no_second_address(text: str, code: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert reply.next_action == "accept"


@pytest.mark.parametrize(
    ("text", "town", "code"),
    [
        ("深圳市宝安区民治街道人民路1号", "民治街道", "440309"),
        ("北京市朝阳区海淀街道中关村大街1号", "海淀街道", "110108"),
        ("上海市徐汇区莘庄镇东城路1号", "莘庄镇", "310112"),
        ("苏州市姑苏区木渎镇中山东路1号", "木渎镇", "320506"),
        ("成都市武侯区东升街道大件路1号", "东升街道", "510116"),
        ("杭州市西湖区九堡街道办事处人民路1号", "九堡街道办事处", "330102"),
        ("南京市鼓楼区汤山街道企业路1号", "汤山街道", "320115"),
    ],
)
def test_a_town_of_another_district_is_pointed_out_whatever_road_follows(
    text: str, town: str | None, code: str | None
) -> None:
    reply = parse(text)
    told = [found for found in reply.findings if found.rule == "town-elsewhere"]
    if town is None:
        assert not told
        return
    assert [code] == [candidate.code for found in told for candidate in found.candidates]
    assert town in told[0].message.en
    assert reply.next_action == "confirm"


@pytest.mark.parametrize(
    ("text", "town"),
    [
        ("深圳市龙华区民治街道人民路1号", "民治街道"),
        ("苏州市吴中区木渎镇中山东路1号", "木渎镇"),
        ("上海市松江区九亭镇中心小学", "九亭镇"),
        ("上海市嘉定区南翔镇人民政府", "南翔镇"),
    ],
)
def test_a_town_of_the_district_is_confirmed_whatever_follows(text: str, town: str) -> None:
    reply = parse(text)
    assert [(d.name, d.status) for d in reply.divisions if d.level == "street"] == [(town, "confirmed")]
    assert reply.next_action == "accept"


def test_a_former_township_of_the_district_is_no_town_of_another_one() -> None:
    reply = parse("北京市朝阳区东风乡南十里居")
    assert [(d.name, d.status) for d in reply.divisions if d.level == "street"] == [("东风地区", "corrected")]
    assert reply.next_action == "accept"


@pytest.mark.parametrize(
    "text",
    [
        "景德镇市珠山区景德镇大道1号",
        "新乡市红旗区新乡路东段1号",
        "杭州市西湖区古镇东路1号",
        "杭州市西湖区新镇南大街1号",
        "上海市徐汇区莘庄镇路1号",
    ],
)
def test_a_road_named_after_a_town_is_no_town(text: str) -> None:
    assert not [d for d in parse(text).divisions if d.level == "street"]


@pytest.mark.parametrize(
    ("text", "county"),
    [
        ("海康县解放路12号", "621224"),
        ("峨眉县1号", "610326"),
        ("老康县解放路1号", "621224"),
        ("王连州市解放路1号", "441882"),
        ("金霍山县解放路1号", "341525"),
        ("湛江海康县解放路12号", "621224"),
        ("解放路12号海康县", "621224"),
        ("杭卅市海曙区中山路1号", "330203"),
        ("杭卅市 海曙区 中山路1号", "330203"),
        ("盘县特区解放路12号", "520281"),
    ],
)
def test_the_end_of_a_longer_unknown_name_is_asked_about(text: str, county: str) -> None:
    reply = parse(text)
    assert (reply.verdict, reply.next_action) == ("ambiguous", "confirm")
    assert "division-unexplained" in rules(reply)
    assert [candidate.code for candidate in reply.candidates] == [county]
    assert not [d for d in reply.divisions if d.level == "district"]


def test_an_unknown_longer_name_is_kept_as_it_was_written() -> None:
    address = parse("海康县解放路12号").address
    assert (address.dependent_locality, address.lines) == ("海康县", ["解放路12号"])


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("浙江省杭卅市西湖区文三路90号", "330106", "杭卅市"),
        ("浙江省 杭卅市 西湖区 文三路90号", "330106", "杭卅市"),
        ("浙江省，杭卅市，西湖区，文三路90号", "330106", "杭卅市"),
        ("折东省清远市连州市解放路1号", "441882", "折东省"),
        ("四川省攀卅花市米易县解放路1号", "510421", "攀卅花市"),
        ("福建省夏门市思明区厦禾路189号", "350203", "夏门市"),
        ("新疆维吾尔自冶区乌鲁木齐市天山区解放北路1号", "650102", "维吾尔自冶区"),
        ("折江杭州西湖区文三路90号", "330106", "折江"),
        ("折江省,杭州市,西湖区,文三路90号", "330106", "折江省"),
        ("河南省万京市鼓楼区中山路1号", "410204", "万京市"),
        ("江苏省淮阴市清河区淮海路1号", "320812", "淮阴市"),
        ("文三路90号西湖区杭卅市浙江省", "330106", "杭卅市"),
        ("安徽省徽州地区屯溪市解放路1号", "341002", "徽州地区"),
        ("四川省温江地区什邡县解放路12号", "510682", "温江地区"),
        ("广东省梅县地区兴宁县解放路12号", "441481", "梅县地区"),
        ("吉林省永吉地区蛟河县解放路12号", "220281", "永吉地区"),
        ("贵州省六盘水市水城特区解放路12号", "520204", "特区"),
        ("重庆市黔江土家族苗族自治县解放路12号", "500114", "土家族苗族自治县"),
        ("内蒙古自治区呼伦贝尔盟额尔古纳左旗解放路12号", "150784", "左旗"),
    ],
)
def test_a_word_in_the_place_of_a_division_is_reported_and_kept(text: str, code: str, word: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    [told] = [found for found in reply.findings if found.rule == "division-unexplained"]
    assert word in told.message.en
    assert reply.next_action == "confirm"
    assert word in " ".join(reply.address.lines)


@pytest.mark.parametrize(
    "text",
    [
        "江苏省淮阴市宿迁县解放路12号",
        "江苏省淮阴市淮安县解放路12号",
        "江苏省淮阴市淮安市解放路12号",
        "吉林省浑江市临江区解放路12号",
        "江苏省淮阴地区淮安县解放路12号",
        "四川省达县地区万源县解放路12号",
    ],
)
def test_a_former_city_is_not_taken_for_the_district_of_its_name(text: str) -> None:
    reply = parse(text)
    assert reply.next_action != "accept"
    assert deepest(reply) not in {"320804", "220602", "511703"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("江西省上饶地区广丰县解放路1号", "361103"),
        ("四川省绵阳地区安县花荄镇1号", "510705"),
        ("新疆维吾尔自治区阿克苏地区库车市文化路1号", "652902"),
    ],
)
def test_a_former_prefecture_is_the_city_of_its_name(text: str, code: str) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    assert not any("地区" in line for line in reply.address.lines)
    assert "division-unexplained" not in rules(reply)


@pytest.mark.parametrize(
    "text",
    [
        "请寄到浙江省杭州市西湖区文三路90号",
        "麻烦发往杭州市西湖区文三路90号",
        "寄昆山市前进西路100号",
        "家住昆山市前进西路100号",
        "老家昆山市前进西路100号",
        "广东省深圳市福田区特区报业大厦",
        "大连市甘井子区地区医院",
        "杭州某某贸易有限公司昆山市前进西路100号",
        "阿里巴巴杭州市余杭区文一西路969号",
        "永辉超市 杭州市西湖区文三路90号",
        "第一人民医院昆山市前进西路100号",
        "幸福里小区5栋2单元601昆山市",
        "老火车站旁邮政局二楼昆山市",
        "阳光花园小区昆山市",
        "前进西路昆山市苏州市江苏省",
        "石家庄市区长安区建设北大街1号",
        "江苏省苏州市工业园区吴中区星湖街1号",
        "陈志州，13800138000，浙江省杭州市西湖区文三路90号",
        "中国杭州市西湖区文三路90号",
    ],
)
def test_what_stands_before_an_address_without_being_a_part_of_it_is_not_reported(text: str) -> None:
    assert "division-unexplained" not in rules(parse(text))


def test_a_town_of_the_county_speaks_for_it_behind_a_strange_word() -> None:
    reply = parse("王连州市星子镇解放路1号")
    assert deepest(reply) == "441882"
    assert "division-unexplained" in rules(reply)
    assert reply.next_action == "confirm"


def test_validate_decides_by_the_postal_code_as_parse_does() -> None:
    reply = answer(
        "validate", country="CN", dependent_locality="西湖区", postal_code="310012", lines=["文三路90号"]
    )
    assert (reply.address.administrative_area, reply.address.locality) == ("浙江省", "杭州市")
    assert "division-inferred-from-postal-code" in {found.rule for found in reply.findings}
    assert reply.verdict == "corrected"

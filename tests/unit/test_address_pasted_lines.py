"""`address/parse` on lines as people paste them into a shop: labels, separators, numbers, colloquial and old divisions."""

import pytest

from tests.address_calls import deepest, parse, rules

WENSAN = "浙江省杭州市西湖区文三路90号"


@pytest.mark.parametrize(
    "text",
    [
        f"收件人：王强，联系电话：13711112222，收货地址：{WENSAN}",
        f"【收件人】王强【电话】13711112222【地址】{WENSAN}",
        f"1.姓名：王强 2.电话：13711112222 3.地址：{WENSAN}",
        f"①王强②13711112222③{WENSAN}",
        f"收件人王强电话13711112222地址{WENSAN}",
        f"{WENSAN}收件人王强电话13711112222",
        f"收件人：王强{WENSAN} 电话13711112222",
        f"收货人信息\n王强\n13711112222\n{WENSAN}",
        f"手机/电话：13711112222 姓名/收件人：王强 地址：{WENSAN}",
        "省：浙江省 市：杭州市 区：西湖区 详细地址：文三路90号 收件人：王强 电话：13711112222",
        "所在省份：浙江省\n所在城市：杭州市\n所在区县：西湖区\n街道地址：文三路90号\n联系人：王强\n联系方式：13711112222",
        f"买家：王强 电话13711112222 {WENSAN}",
        f"寄：王强 13711112222 {WENSAN}",
        f"寄给王强 13711112222 {WENSAN}",
        f"麻烦寄到：{WENSAN}，王强收，13711112222",
        f"亲，我的地址是{WENSAN}，王强，电话是13711112222",
        f"{WENSAN} 王强（收） 13711112222",
        f"地址：{WENSAN}王强收 电话：13711112222",
        f"王强（先生） 13711112222 {WENSAN}",
        f'{{"name":"王强","phone":"13711112222","address":"{WENSAN}"}}',
        f'"王强","13711112222","{WENSAN}"',
        "王强/13711112222/浙江省/杭州市/西湖区/文三路90号",
        "王强-13711112222-浙江省-杭州市-西湖区-文三路90号",
        "王强|13711112222|浙江省|杭州市|西湖区|文三路90号",
        f"王强+13711112222+{WENSAN}",
        f"{WENSAN}_王强_13711112222",
        f"13711112222{WENSAN}王强",
        f"{WENSAN}（王强 13711112222）",
        f"{WENSAN}（电话：13711112222 王强）",
        f"王强（13711112222）{WENSAN}",
        f"📦王强📱13711112222🏠{WENSAN}❤️",
        "王强，１３７１１１１２２２２，浙江省　杭州市　西湖区　文三路９０号",
        f"王强 T:137 1111 2222 {WENSAN}",
        f"{WENSAN} {WENSAN} 王强 13711112222",
    ],
)
def test_one_address_is_read_the_same_in_every_way_of_pasting_it(text: str) -> None:
    reply = parse(text)
    assert (reply.recipient, reply.phone, deepest(reply), reply.rest) == (
        "王强", "13711112222", "330106", "文三路90号",
    )  # fmt: skip
    assert reply.address.lines == ["文三路90号"]


@pytest.mark.parametrize(
    ("text", "recipient", "phone", "code", "rest"),
    [
        ("广东省广州市番禺区大石街道朝阳东路朝阳花园3栋1202 王芳 15012345678", "王芳", "15012345678", "440113", "朝阳东路朝阳花园3栋1202"),
        ("上海市静安区延安中路1号5-6-703，陈平，13712345678", "陈平", "13712345678", "310106", "延安中路1号5-6-703"),
        ("上海市静安区延安中路1号12-34，陈平13712345678", "陈平", "13712345678", "310106", "延安中路1号12-34"),
        ("重庆市渝中区两路口街道中山三路131号希尔顿商务中心 何丽 023-63600000-8012", "何丽", "023-63600000", "500103", "中山三路131号希尔顿商务中心"),
        ("重庆市 县 彭水苗族土家族自治县汉葭街道滨江路1号 冯勇 13012345678", "冯勇", "13012345678", "500243", "滨江路1号"),
        ("贵州省黔东南苗族侗族自治州凯里市宁波路5号 杨秀英 13885512345", "杨秀英", "13885512345", "522601", "宁波路5号"),
        ("内蒙古自治区通辽市科尔沁左翼中旗保康镇1号 刘涛 13621234567", "刘涛", "13621234567", "150521", "1号"),
        ("新疆自治区直辖县级行政区划五家渠市长安东街1号 刘涛 13621234567", "刘涛", "13621234567", "659004", "长安东街1号"),
        ("湖北省直辖县级天门市竟陵街道陆羽大道1号 陆羽 13621234567", "陆羽", "13621234567", "429006", "陆羽大道1号"),
        ("新疆乌市沙依巴克区友好北路1号 刘涛 13621234567", "刘涛", "13621234567", "650103", "友好北路1号"),
        ("河北雄安新区容城县容城镇奥威路1号 贾玲 13831212345", "贾玲", "13831212345", "130629", "奥威路1号"),
        ("陕西省西安市雁塔区高新区锦业路1号都市之门 刘洋 13991912345", "刘洋", "13991912345", "610113", "高新区锦业路1号都市之门"),
        ("北京朝阳区三环以内建国路88号SOHO现代城 李娟 13621234567", "李娟", "13621234567", "110105", "三环以内建国路88号SOHO现代城"),
        ("北京三里屯路11号 王五 13711112222", "王五", "13711112222", "110000", "三里屯路11号"),
        ("广东省深圳市龙岗区布吉街道广东省深圳市龙岗区布吉街道吉华路1号 刘涛 13621234567", "刘涛", "13621234567", "440307", "吉华路1号"),
        ("上海市浦东新区康桥镇康桥路1号 上海市浦东新区康桥镇康桥路1号 刘涛 13621234567", "刘涛", "13621234567", "310115", "康桥路1号"),
        ("河南省周口市项城市南顿镇刘庄村3组 刘建国 13523456789", "刘建国", "13523456789", "411681", "刘庄村3组"),
        ("湖北省武汉市洪山区珞喻路1037号华中科技大学韵苑学生公寓26栋512 邓超 13971012345", "邓超", "13971012345", "420111",
         "珞喻路1037号华中科技大学韵苑学生公寓26栋512"),
        ("阿依古丽 13712345678 新疆阿克苏地区阿克苏市东大街1号", "阿依古丽", "13712345678", "652901", "东大街1号"),
        ("AA建材小李 13712345678 北京市丰台区南四环西路1号", "AA建材小李", "13712345678", "110106", "南四环西路1号"),
        ("Tom 13712345678 上海市静安区延安中路1号", "Tom", "13712345678", "310106", "延安中路1号"),
        ("高安 13800138000 江西省宜春市高安市1号", "高安", "13800138000", "360983", "1号"),
        ("陈平 13712345678 上海市静安区昌平路1号（邮编200040）", "陈平", "13712345678", "310106", "昌平路1号"),
        ("Room 1203, No. 88 Keji Road, Yanta District, Xi'an, Shaanxi 710075, China  Wang Qiang 13711112222", "Wang Qiang", "13711112222",
         "610113", "Room 1203, No. 88 Keji Road"),
        ("Name: Wang Qiang\nTel: 13711112222\nAddress: 河北省石家庄市长安区中山东路11号", "Wang Qiang", "13711112222", "130102", "中山东路11号"),
        ("河南省平顶山市舞钢市1号张平 13800138000", "张平", "13800138000", "410481", "1号"),
        ("河北省唐山市丰南区友谊大街1号唐山市丰南区第一中学 张三 13800138000", "张三", "13800138000", "130207",
         "友谊大街1号唐山市丰南区第一中学"),
        ("新疆兵团第八师石河子市东城街道1号 张三 13800138000", "张三", "13800138000", "659001", "1号"),
        ("张三 13800138000(备用13900139000) 广东省江门市新会区1号", "张三", "13800138000", "440705", "1号"),
        ("张三;13800138000;广东省江门市;新会区;1号;529100", "张三", "13800138000", "440705", "1号"),
        ("小区：翠苑一区 门牌号：12幢3单元402 浙江省杭州市西湖区 张三 13800138000", "张三", "13800138000", "330106", "翠苑一区 12幢3单元402"),
    ],
)  # fmt: skip
def test_lines_of_every_kind_of_place_are_told_apart(
    text: str, recipient: str, phone: str, code: str, rest: str
) -> None:
    reply = parse(text)
    assert (reply.recipient, reply.phone, deepest(reply), reply.rest) == (recipient, phone, code, rest)


@pytest.mark.parametrize(
    ("written", "phone", "extension"),
    [
        ("18412345678转1234", "18412345678", "1234"),
        ("18412345678-1234", "18412345678", "1234"),
        ("18412345678,1234", "18412345678", "1234"),
        ("0571-88888888转801", "0571-88888888", "801"),
        ("(0571)88888888-801", "0571-88888888", "801"),
        ("+86-571-8888-8888", "0571-88888888", None),
        ("057188888888", "0571-88888888", None),
        ("4008001234", "400-800-1234", None),
        ("8613711112222", "13711112222", None),
        ("137.1111.2222", "13711112222", None),
        ("电话：88888888", "88888888", None),
    ],
)
def test_numbers_are_read_with_their_extension_however_they_are_written(
    written: str, phone: str, extension: str | None
) -> None:
    reply = parse(f"王强 {written} {WENSAN}")
    assert (reply.recipient, reply.phone, reply.phones[0].extension) == ("王强", phone, extension)
    assert reply.rest == "文三路90号"


@pytest.mark.parametrize(
    ("text", "recipient", "organization"),
    [
        (f"收件人：浙江杭州某某公司 13711112222 {WENSAN}", "浙江杭州某某公司", None),
        (f"公司：北京杭州大厦 收件人：王强 13711112222 {WENSAN}", "王强", "北京杭州大厦"),
        (f"收货人：阿里木江·买买提 13711112222 {WENSAN}", "阿里木江·买买提", None),
    ],
)
def test_what_stands_behind_a_label_is_a_name_as_long_as_it_is(
    text: str, recipient: str, organization: str | None
) -> None:
    reply = parse(text)
    assert (reply.recipient, reply.address.organization) == (recipient, organization)
    assert reply.rest == "文三路90号"


def test_a_local_number_without_area_code_is_kept_as_it_is_dialled_and_said_to_be_doubtful() -> None:
    assert "phone-unconfirmed" in rules(parse(f"王强 电话：88888888 {WENSAN}"))


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (f"王强 13711112222 {WENSAN} 备注：周末送货，放门口", ("备注:周末送货,放门口",)),
        (f"订单号202611220001 王强 13711112222 {WENSAN}", ("订单号202611220001",)),
        (f"身份证330106199001011234 王强 13711112222 {WENSAN}", ("身份证330106199001011234",)),
        (f"订单编号：3281-1，收件人：王强，备注：勿放快递柜\n13711112222 {WENSAN}", ("订单编号:3281-1", "备注:勿放快递柜")),
        (f"王强 13711112222 {WENSAN}", ()),
    ],
)  # fmt: skip
def test_what_is_labelled_as_something_else_is_kept_beside_the_address(
    text: str, notes: tuple[str, ...]
) -> None:
    reply = parse(text)
    assert reply.notes == notes
    assert (reply.recipient, reply.phone, reply.address.lines) == ("王强", "13711112222", ["文三路90号"])


@pytest.mark.parametrize(
    ("text", "code", "town", "given"),
    [
        ("浙江省杭州市江干区九堡镇九环路1号", "330102", "九堡街道", "九堡镇"),
        ("北京市昌平区回龙观镇龙跃苑二区8号楼", "110114", "回龙观街道", "回龙观镇"),
        ("四川省成都市郫县郫筒镇望丛东路1号", "510117", "郫筒街道", "郫筒镇"),
        ("青海玉树州结古镇1号", "632701", "结古街道", "结古镇"),
    ],
)
def test_a_town_that_has_become_a_sub_district_is_that_one(
    text: str, code: str, town: str, given: str
) -> None:
    reply = parse(text)
    street = reply.divisions[-1]
    assert deepest(reply) == code
    assert (street.level, street.name, street.status, street.given) == ("street", town, "corrected", given)
    assert reply.address.lines[0].startswith(given)


@pytest.mark.parametrize(
    ("text", "code", "zone", "town"),
    [
        ("广东省深圳市大鹏新区葵涌街道1号", "440307", "大鹏新区", "葵涌街道"),
        ("广东省惠州市惠城区仲恺高新区陈江街道1号", "441302", "仲恺高新区", "陈江街道"),
        ("福建省平潭综合实验区潭城镇1号", "350128", "综合实验区", "潭城镇"),
    ],
)
def test_a_zone_that_no_list_has_is_told_apart_from_its_town(
    text: str, code: str, zone: str, town: str
) -> None:
    reply = parse(text)
    assert deepest(reply) == code
    told = {d.level: (d.name, d.given or d.name) for d in reply.divisions if d.level in ("zone", "street")}
    assert told["zone"][0] == zone
    assert told["street"][1] == town
    assert [d.status for d in reply.divisions if d.level == "zone"] == ["unconfirmed"]
    assert reply.address.lines == [f"{zone}{town}1号"]


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("中国香港特别行政区中西区德辅道中99号", "香港島"),
        ("香港東區英皇道1號", "香港島"),
        ("香港特别行政区 离岛区 梅窝1号", "新界"),
    ],
)
def test_a_district_of_hong_kong_says_which_part_of_the_city_it_is_in(text: str, area: str) -> None:
    reply = parse(text)
    assert (reply.address.country, reply.address.administrative_area) == ("HK", area)
    assert "division-inferred" in rules(reply)
    assert {c.name: c.status for c in reply.components}["administrative_area"] == "inferred"

"""Postal codes: every example of the metadata in its own region, and the same codes elsewhere."""

import pytest

from atomic_services.address import reference
from atomic_services.address.chinese_postal import may_have
from atomic_services.address.divisions import divisions
from atomic_services.address.schema import ValidateReply
from tests.address_calls import call

FIELDS = ("administrative_area", "locality", "dependent_locality")
# Examples that today's metadata itself contradicts.
CONTRADICTED = {("AU/NSW", "2999"), ("PH/Bohol", "6347")}


def judged(path: list[str], code: str, language: str | None = None) -> ValidateReply:
    fields = dict(zip(FIELDS, path[1:], strict=False))
    return call("validate", country=path[0], postal_code=code, lines=["1"], language=language, **fields)


def complaints(reply: ValidateReply) -> list[str]:
    return [
        found.rule
        for found in reply.findings
        if found.rule.startswith("postal-code-") and found.severity != "info"
    ]


def test_every_example_of_the_metadata_is_a_code_of_its_country_and_its_region() -> None:
    wrong = []
    count = 0
    for country in sorted(reference.countries()):
        for key, entry in reference.load(country).items():
            place, _, language = key.partition("--")
            for code in filter(None, entry.get("zipex", "").replace(":", ",").split(",")):
                count += 1
                if (place, code) not in CONTRADICTED:
                    reply = judged(place.split("/"), code, language or None)
                    wrong += [(place, code, rule) for rule in complaints(reply)]
    assert wrong == []
    assert count > 4_000


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (["US", "CA"], "10001"),
        (["AU", "VIC"], "2000"),
        (["CA", "ON"], "V6B 4Y8"),
        (["MX", "Jalisco"], "06000"),
        (["IT", "RM"], "20121"),
        (["BR", "SP"], "20040-002"),
        (["CN", "广东省", "深圳市"], "200000"),
        (["TW", "台北市", "大安區"], "100"),
    ],
)
def test_a_code_of_another_region_is_invalid(path: list[str], code: str) -> None:
    reply = judged(path, code)
    assert complaints(reply) == ["postal-code-region"]
    assert (reply.verdict, reply.next_action) == ("invalid", "fix")


@pytest.mark.parametrize(
    ("path", "code", "flagged"),
    [
        (["CN", "广东省", "深圳市", "南山区"], "518057", False),
        (["CN", "广东省", "深圳市", "南山区"], "510630", True),
        (["CN", "广东省", "广州市", "天河区"], "510630", False),
        (["CN", "广东省", "广州市", "天河区"], "518057", True),
        (["CN", "山东省", "济南市", "莱芜区"], "271100", False),  # a city of its own until 2019
        (["CN", "安徽省", "合肥市", "巢湖市"], "238000", False),  # likewise until 2011
    ],
)
def test_a_code_known_in_other_chinese_cities_only_is_to_be_confirmed(
    path: list[str], code: str, flagged: bool
) -> None:
    reply = judged(path, code)
    assert complaints(reply) == (["postal-code-city"] if flagged else [])
    assert reply.next_action == ("confirm" if flagged else "accept")


def test_a_postal_area_that_no_city_is_known_for_contradicts_none() -> None:
    cities = [unit.code for unit in divisions().units.values() if unit.slots()[1] is unit]
    assert all(may_have(city, "999999") for city in cities)

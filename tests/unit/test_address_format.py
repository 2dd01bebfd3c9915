"""The operation `format`: the parts of an address, written as in their country."""

from typing import Any

import msgspec
import pytest

from atomic_services.address.forms import SOURCE, form_countries, form_of
from atomic_services.address.reference import countries
from atomic_services.address.rendering import fill, template_of, tidy
from atomic_services.address.schema import FormatRequest
from catalog.vocabulary.problem import CallerFault
from tests.address_calls import answer


def written(country: str | None, /, **components: str) -> list[str]:
    return list(answer("format", country=country, components=components).formatted)


@pytest.mark.parametrize(
    ("country", "components", "lines"),
    [
        ("DE", {"road": "Hauptstr.", "house_number": "5", "postcode": "01067", "city": "Dresden"},
         ["Hauptstr. 5", "01067 Dresden"]),
        ("GB", {"road": "High Street", "house_number": "5", "postcode": "OX1 4AR", "city": "Oxford"},
         ["5 High Street", "Oxford", "OX1 4AR"]),
        ("US", {"road": "Main St", "house_number": "5", "city": "Austin", "state": "Texas", "postcode": "78701"},
         ["5 Main St", "Austin, TX 78701"]),
        ("US", {"road": "K Street", "state": "Washington, D.C.", "postcode": "20001"},
         ["K Street", "Washington, DC 20001"]),
        ("BR", {"road": "Rua Augusta", "house_number": "9", "city": "São Paulo", "state": "São Paulo",
                "postcode": "01305000"}, ["Rua Augusta, 9", "São Paulo - SP", "01305-000"]),
        ("JP", {"road": "Meiji-dori", "city": "Yokohama", "state": "Kanagawa", "postcode": "2310005"},
            ["Meiji-dori", "Yokohama, Kanagawa 231-0005"]),
        ("HU", {"city": "Budapest", "postcode": "1011", "country": "Hungary"}, ["1011 Budapest", "Hungary"]),
        ("IT", {"road": "Via Roma", "postcode": "50122", "city": "Firenze",
                "county": "Città metropolitana di Firenze"}, ["Via Roma", "50122 Firenze FI"]),
        ("FR", {"city": "Lyon", "country": "France"}, ["Lyon", "France"]),
        ("NL", {"road": "Kaya Grandi", "city": "Willemstad", "state": "Curaçao"},
         ["Kaya Grandi", "Willemstad", "Curaçao"]),
        ("SH", {"road": "Main Street", "city": "Jamestown", "state": "Saint Helena"},
         ["Main Street", "Jamestown", "Saint Helena", "United Kingdom"]),
    ],
)  # fmt: skip
def test_each_country_has_its_own_order_and_punctuation(
    country: str, components: dict[str, str], lines: list[str]
) -> None:
    assert written(country, **components) == lines


def test_the_text_is_the_lines_with_line_feeds_between_them() -> None:
    reply = answer("format", country="de", components={"road": "Hauptstr.", "city": "Bonn"})
    assert (reply.text, reply.country, reply.sources) == ("Hauptstr.\nBonn", "DE", (SOURCE,))


def test_synonyms_fill_the_component_they_stand_for_and_never_replace_it() -> None:
    plain = written("DE", road="Weg", postcode="53111", city="Bonn")
    assert written("DE", street="Weg", postal_code="53111", town="Bonn") == plain
    assert written("DE", road="Weg", street="Gasse", postcode="53111", city="Bonn") == plain
    assert written("UY", subcounty="Colón", area="Montevideo Rural") == ["Montevideo Rural"]


def test_other_components_are_printed_for_the_addressee() -> None:
    assert written("DE", shop="Buchladen", road="Weg", city="Bonn")[0] == "Buchladen"


def test_what_says_nothing_is_left_out() -> None:
    assert written("DE", road="Weg", house="https://example.com", hamlet="--", city=" Bonn ") == [
        "Weg",
        "Bonn",
    ]
    assert written("US", road="Weg", city="Austin", state="TX", postcode="1;2") == ["Weg", "Austin, TX"]
    assert (
        written("US", road="Weg", city="Austin", state="TX", postcode="78701,78702")[-1] == "Austin, TX 78701"
    )


def test_a_line_that_repeats_another_is_printed_once() -> None:
    assert written("DE", road="Weg", city="Berlin", state="Berlin") == ["Weg", "Berlin"]
    assert written("BF", village="New York", city_district="Iota", island="New York") == ["Iota", "New York"]


def test_new_york_may_be_repeated_within_a_line() -> None:
    lines = written("KN", road="Broadway", city="New York", state="New York", country="New York")
    assert lines == ["Broadway", "New York, New York", "New York"]


def test_a_part_that_the_form_has_no_place_for_is_printed_where_it_is_the_only_one() -> None:
    assert written(None, continent="Europe") == ["Europe"]
    assert written(None, country_code="ag") == ["AG"]
    assert written(None, country_code="de", continent="Europe") == []


def test_replacements_disregard_case() -> None:
    assert written("AT", road="Weg", city="politischer bezirk Horn") == ["Weg", "Horn"]
    assert written("DJ", road="Rue", city="djibouti") == ["Rue", "Djibouti-Ville"]


def test_an_apostrophe_written_for_a_page_is_an_apostrophe() -> None:
    assert written("FR", road="Rue de l&#39;Abbaye", city="Lyon") == ["Rue de l'Abbaye", "Lyon"]


def test_the_end_of_the_last_line_is_no_repetition_of_what_stands_in_a_line_before() -> None:
    lines = written("AU", road="Weg, Norfolk, Nord", city="Kingston", country="Australia, Norfolk")
    assert lines[-1] == "Australia, Norfolk"


def test_short_words_are_written_only_when_they_are_asked_for() -> None:
    components = {"house_number": "301", "road": "Hamilton Avenue", "city": "New York", "state": "New York"}
    assert written("US", **components)[0] == "301 Hamilton Avenue"
    short = answer("format", country="US", components=components, abbreviate=True)
    assert short.formatted[0] == "301 Hamilton Ave"


def test_a_language_chooses_among_the_forms_of_a_country() -> None:
    components = {"road": "皇后大道", "state": "香港", "country": "中国"}
    assert answer("format", country="HK", language="zh-Hant", components=components).formatted[0] == "中国"
    assert answer("format", country="HK", language="en", components=components).formatted[-1] == "中国"


def test_without_a_country_the_component_decides_or_the_common_form_serves() -> None:
    assert written(None, country_code="us", road="Main St", house_number="5") == ["5 Main St"]
    assert answer("format", components={"country_code": "uk", "city": "Oxford"}).country == "GB"
    assert written(None, island="Null Island") == ["Null Island"]
    assert (answer("format", components={}).formatted, answer("format", components={}).text) == ((), "")


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        ({"country": "ZZ", "components": {}}, "/country"),
        ({"components": {"country_code": "ZZ"}}, "/components/country_code"),
        ({"components": {"country_code": "DEU"}}, "/components/country_code"),
    ],
)
def test_a_country_without_a_form_is_refused(request_: dict[str, Any], pointer: str) -> None:
    with pytest.raises(CallerFault) as refused:
        answer("format", **request_)
    assert refused.value.type.name == "unsupported-country"
    assert [error.pointer for error in refused.value.errors] == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"components": {"road": 5}},
        {"components": {"": "x"}},
        {"components": {"a b": "x"}},
        {"components": {"road": "x" * 201}},
        {"components": {f"part{i}": "x" for i in range(41)}},
        {"components": {}, "lines": []},
        {"components": {}, "abbreviate": "yes"},
    ],
)
def test_what_does_not_fit_the_schema_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, FormatRequest)


def test_every_country_that_can_be_validated_has_a_form() -> None:
    assert countries() - form_countries() == {"AC", "TA"}
    for country in form_countries():
        assert form_of(country).address


def test_a_template_may_contain_nothing_but_places_and_first() -> None:
    assert (
        fill(template_of("{{#first}} {{{a}}} || {{{b}}} {{/first}}, {{{c}}}"), {"b": "{{{c}}}"})
        == "{{{c}}}, "
    )
    with pytest.raises(ValueError, match="unknown tag"):
        template_of("{{#section}}{{/section}}")
    assert tidy(" , a,,b ,  c ,\n\n  d \n\nd\n") == "a, b, c\nd"

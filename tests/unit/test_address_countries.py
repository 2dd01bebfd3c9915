"""Addresses of any country: required fields, postal codes, sub-regions, label lines."""

import pytest

from atomic_services.address.reference import countries, rules_of
from atomic_services.address.schema import ValidateReply
from catalog.vocabulary.problem import CallerFault
from tests.address_calls import call


def rules(reply: ValidateReply) -> set[str]:
    return {found.rule for found in reply.findings}


def status(reply: ValidateReply) -> dict[str, str]:
    return {part.name: part.status for part in reply.components}


def test_a_complete_address_is_valid_and_written_by_the_template_of_its_country() -> None:
    reply = call(
        "validate", country="DE", postal_code="10115", locality="Berlin", lines=["Invalidenstr. 116"]
    )
    assert (reply.verdict, reply.next_action, reply.findings) == ("valid", "accept", ())
    assert reply.formatted == ("Invalidenstr. 116", "10115 BERLIN")
    assert status(reply)["postal_code"] == "confirmed"
    assert status(reply)["lines"] == "unconfirmed"  # there is no street data to confirm it


@pytest.mark.parametrize(
    ("country", "given", "written"),
    [
        ("GB", "sw1a2aa", "SW1A 2AA"),
        ("GB", "m25bq", "M2 5BQ"),
        ("NL", "1234ab", "1234 AB"),
        ("CA", "k1a0b1", "K1A 0B1"),
        ("US", "22162 1010", "22162-1010"),
        ("US", "95014", "95014"),
        ("JP", "〒１５４－００２３", "154-0023"),
        ("PL", "00950", "00-950"),
        ("BR", "40301110", "40301-110"),
        ("CH", "CH-8001", "8001"),
        ("LU", "L-4750", "4750"),
        ("DE", "DE-10115", "10115"),
        ("CN", "５１８０５７", "518057"),
    ],
)
def test_a_postal_code_is_brought_into_the_written_form_of_the_country(
    country: str, given: str, written: str
) -> None:
    reply = call("normalise", country=country, postal_code=given, lines=["1"])
    assert reply.address.postal_code == written
    assert ("postal-code-standardised" in rules(reply)) == (given != written)


@pytest.mark.parametrize(
    ("country", "code"), [("DE", "1011"), ("US", "9501"), ("GB", "ZZ1 1ZZ"), ("CN", "51805")]
)
def test_a_postal_code_of_another_form_is_invalid_and_is_left_as_it_is(country: str, code: str) -> None:
    reply = call("validate", country=country, postal_code=code, lines=["1"])
    assert reply.verdict == "invalid"
    assert reply.next_action == "fix"
    assert "postal-code-format" in rules(reply)
    assert reply.address.postal_code == code


def test_every_postal_code_example_of_the_reference_data_is_accepted_unchanged() -> None:
    for country in sorted(countries()):
        for example in rules_of(country).postal_examples:
            reply = call("validate", country=country, postal_code=example, lines=["1"])
            assert "postal-code-format" not in rules(reply), (country, example)
            assert reply.address.postal_code == example, (country, example)


def test_a_postal_code_must_agree_with_its_region() -> None:
    wrong = call(
        "validate", country="US", administrative_area="CA", locality="X", postal_code="10001", lines=["1"]
    )
    right = call(
        "validate", country="US", administrative_area="NY", locality="X", postal_code="10001", lines=["1"]
    )
    assert rules(wrong) == {"postal-code-region"}
    assert wrong.verdict == "invalid"
    assert right.verdict == "valid"


def test_every_region_of_every_country_is_found_by_each_of_its_written_names() -> None:
    for country in countries():
        pending = [rules_of(country).regions]
        while pending:
            parent = pending.pop()
            for region in parent.children:
                for name in (region.local, region.latin):
                    found = parent.find(name)
                    assert len(found) == 1, (country, name)
                    assert found[0] is region, (country, name)
            pending += parent.children


@pytest.mark.parametrize(
    ("country", "given", "canonical"),
    [
        ("US", "california", "CA"),
        ("US", "US-CA", "CA"),
        ("CA", "Québec", "QC"),
        ("CA", "colombie britannique", "BC"),
        ("BR", "Sao Paulo", "SP"),
        ("JP", "東京", "東京都"),
        ("JP", "Hokkaidō", "北海道"),
        ("KR", "강원", "강원도"),
        ("TW", "臺北市", "台北市"),
        ("IT", "agrigento", "AG"),
    ],
)
def test_a_region_is_known_by_code_name_latin_name_and_abbreviation(
    country: str, given: str, canonical: str
) -> None:
    reply = call(
        "normalise",
        country=country,
        administrative_area=given,
        lines=["一 가"],
        language=rules_of(country).language,
    )
    assert reply.address.administrative_area == canonical
    assert status(reply)["administrative_area"] == "corrected"


def test_an_unknown_first_level_is_invalid_and_an_unknown_place_is_only_unconfirmed() -> None:
    state = call(
        "validate",
        country="US",
        administrative_area="Kalifornia",
        locality="X",
        postal_code="94043",
        lines=["1"],
    )
    place = call(
        "validate", country="HK", administrative_area="Kowloon", locality="Nowhere", lines=["1 Nathan Road"]
    )
    assert (state.verdict, state.next_action) == ("invalid", "fix")
    assert (place.verdict, place.next_action) == ("valid", "confirm")
    assert status(place)["locality"] == "unconfirmed"


def test_a_place_in_another_region_is_reported_with_the_region_it_is_in() -> None:
    reply = call(
        "validate",
        country="BR",
        administrative_area="RJ",
        locality="Campinas",
        postal_code="20000-000",
        lines=["1"],
    )
    found = next(found for found in reply.findings if found.rule == "division-mismatch")
    assert found.pointer == "/locality"
    assert [(c.administrative_area, c.locality) for c in found.candidates] == [("SP", "Campinas")]


def test_a_missing_region_is_inferred_from_a_place_or_a_postal_code_that_leave_one_possibility() -> None:
    by_place = call("validate", country="BR", locality="Campinas", postal_code="13010-000", lines=["Rua A 1"])
    by_code = call("validate", country="US", locality="Mountain View", postal_code="94043", lines=["1"])
    assert by_place.address.administrative_area == "SP"
    assert status(by_place)["administrative_area"] == "inferred"
    assert by_code.address.administrative_area == "CA"
    assert (by_code.verdict, by_code.next_action) == ("corrected", "confirm")


def test_a_missing_region_is_never_guessed_among_several() -> None:
    reply = call("validate", country="TW", locality="中山區", postal_code="104", lines=["1"])
    assert reply.verdict == "ambiguous"
    assert reply.address.administrative_area is None
    candidates = {c.administrative_area for found in reply.findings for c in found.candidates}
    assert candidates == {"台北市", "基隆市"}


def test_required_fields_that_are_missing_are_named_one_by_one() -> None:
    reply = call("validate", country="FR", lines=["1 rue A"])
    assert (reply.verdict, reply.next_action) == ("incomplete", "fix")
    missing = {found.pointer for found in reply.findings if found.rule == "required-missing"}
    assert missing == {"/locality", "/postal_code"}
    assert status(reply)["locality"] == "missing"


def test_what_a_country_does_not_use_is_unexpected_and_kept() -> None:
    reply = call(
        "validate",
        country="DE",
        administrative_area="Bayern",
        locality="München",
        postal_code="80331",
        lines=["1"],
    )
    assert (reply.verdict, reply.next_action) == ("valid", "accept")
    assert status(reply)["administrative_area"] == "unexpected"
    assert reply.address.administrative_area == "Bayern"
    assert "Bayern" not in " ".join(reply.formatted)


def test_a_place_that_the_label_cannot_show_is_to_be_confirmed() -> None:
    reply = call(
        "validate",
        country="DE",
        dependent_locality="Mitte",
        locality="Berlin",
        postal_code="10115",
        lines=["1"],
    )
    assert "field-not-printed" in rules(reply)
    assert reply.next_action == "confirm"


@pytest.mark.parametrize(
    ("request_", "lines"),
    [
        (
            {"country": "US", "recipient": "Ann Lee", "organization": "Acme", "lines": ["1 Main St", "Apt 2"],
             "locality": "Mountain View", "administrative_area": "CA", "postal_code": "94043"},
            ("Ann Lee", "Acme", "1 Main St", "Apt 2", "MOUNTAIN VIEW, CA 94043"),
        ),
        (
            {"country": "JP", "administrative_area": "東京都", "postal_code": "154-0023", "lines": ["世田谷区若林1-2-3"],
             "recipient": "山田"},
            ("〒154-0023", "東京都", "世田谷区若林1-2-3", "山田"),
        ),
        (
            {"country": "JP", "administrative_area": "東京都", "postal_code": "154-0023", "lines": ["1-2-3 Setagaya"],
             "language": "en"},
            ("1-2-3 Setagaya, TOKYO", "154-0023"),
        ),
        (
            {"country": "CN", "administrative_area": "北京市", "locality": "北京市", "dependent_locality": "朝阳区",
             "postal_code": "100020", "lines": ["建国路1号"]},
            ("100020", "北京市朝阳区", "建国路1号"),
        ),
        ({"country": "HK", "administrative_area": "九龍", "locality": "尖沙咀", "lines": ["彌敦道1號"]},
         ("九龍", "尖沙咀", "彌敦道1號")),
        ({"country": "SG", "postal_code": "546080", "lines": ["1 Tampines Ave"]}, ("1 Tampines Ave", "SINGAPORE 546080")),
        ({"country": "US", "locality": "Reno", "lines": ["1 Main St"]}, ("1 Main St", "RENO")),
        ({"country": "US", "administrative_area": "CA", "postal_code": "94043", "lines": ["1 Main St"]},
         ("1 Main St", "CA 94043")),
        ({"country": "JP", "administrative_area": "東京都", "lines": ["世田谷区若林1-2-3"]}, ("東京都", "世田谷区若林1-2-3")),
    ],
)  # fmt: skip
def test_the_label_follows_the_template_without_stray_separators(
    request_: dict[str, object], lines: tuple[str, ...]
) -> None:
    assert call("normalise", **request_).formatted == lines


def test_hong_kong_is_answered_in_the_script_of_the_lines_or_in_the_language_asked_for() -> None:
    chinese = call("normalise", country="HK", administrative_area="Kowloon", lines=["彌敦道1號"])
    latin = call("normalise", country="HK", administrative_area="九龍", lines=["1 Nathan Road"])
    asked = call("normalise", country="HK", administrative_area="九龍", lines=["彌敦道1號"], language="en")
    assert chinese.address.administrative_area == "九龍"
    assert latin.address.administrative_area == "Kowloon"
    assert asked.formatted == ("彌敦道1號", "KOWLOON")


def test_white_space_invisible_characters_and_unicode_form_are_put_in_order() -> None:
    reply = call(
        "validate",
        country="CH",
        locality=" Zu\u0308rich\u200b ",
        postal_code="8001",
        lines=["Bahnhofstr.\u3000 1", " "],
    )
    assert reply.address.locality == "Zürich"
    assert reply.address.lines == ["Bahnhofstr. 1"]
    assert (reply.verdict, reply.next_action) == ("corrected", "accept")
    assert {found.pointer for found in reply.findings} == {"/locality", "/lines/0", "/lines/1"}


def test_every_country_of_the_data_is_answered_and_others_are_the_callers_fault() -> None:
    assert len(countries()) >= 249
    for country in countries():
        assert call("validate", country=country, lines=["1"]).address.country == country
    for country in ("ZZ", "UK", "XX"):
        with pytest.raises(CallerFault) as refused:
            call("validate", country=country, lines=["1"])
        assert refused.value.type.name == "unsupported-country"
        assert [(error.pointer, error.rule) for error in refused.value.errors] == [("/country", "supported")]


@pytest.mark.parametrize(
    ("field", "pointer", "text"),
    [
        ("recipient", "/recipient", "\u0958" * 61),
        ("locality", "/locality", "\ufb1d" * 120),
        ("sorting_code", "/sorting_code", "\u0958" * 21),
        ("lines", "/lines/1", "\U0001d160" * 67),
    ],
)
def test_text_whose_normal_form_is_longer_than_allowed_is_the_callers_fault(
    field: str, pointer: str, text: str
) -> None:
    sent = {"country": "DE", "lines": ["1"], field: ["1", text] if field == "lines" else text}
    with pytest.raises(CallerFault) as refused:
        call("validate", **sent)
    assert [(error.pointer, error.rule) for error in refused.value.errors] == [(pointer, "length")]


def test_a_postal_code_never_grows() -> None:
    reply = call("validate", country="CN", lines=["1"], postal_code="ßﬁ" * 10)
    assert reply.address.postal_code == "ßﬁ" * 10
    assert (
        call("validate", country="GB", lines=["1"], postal_code="ｓｗ１ａ１ａａ").address.postal_code
        == "SW1A 1AA"
    )

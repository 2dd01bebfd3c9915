"""What holds for every address that fits the schema, whatever is in it."""

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atomic_services.address.divisions import Unit, divisions
from atomic_services.address.reading import DIVISIONS
from atomic_services.address.reference import Region, countries, rules_of
from atomic_services.address.schema import Address, ValidateReply, ValidateRequest
from atomic_services.address.text import clean, clean_postal, fold
from tests import address_calls

CODES = sorted(countries())
DIVIDED = [code for code in ("CN", "US", "JP", "KR", "TW", "HK", "TH", "VN", "AE", "ES") if code in CODES]


def call(operation: str, address: Address) -> ValidateReply:
    return address_calls.call(operation, **msgspec.to_builtins(address))


def _names_in(country: str) -> list[str]:
    if country == "CN":
        names = [name for unit in list(divisions().units.values())[::7] for name in (unit.name, unit.short)]
        return [
            *names,
            "市辖区",
            "渝北区",
            "江北区",
            "襄樊市",
            "下城区",
            "鼓楼区",
            "西湖区",
            "Suzhou",
            "台湾省",
            "香港",
        ]
    names = []
    pending: list[Region] = list(rules_of(country).regions.children)
    while pending and len(names) < 400:
        region = pending.pop()
        names += [region.local, region.latin]
        pending += region.children[:20]
    return names


NAMES = {country: _names_in(country) for country in DIVIDED}
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
TEXT = st.text(CHARACTERS, max_size=24)
DIGITS = st.text("0123456789ABCXYZ abc-－１２３", max_size=9)
LANGUAGES = st.none() | st.sampled_from(["en", "zh", "zh-Hant", "ja", "fr"])


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    """Any country with any text; half of them of divided countries with names that exist there."""
    if draw(st.booleans()):
        country, names = draw(st.sampled_from(CODES)), TEXT
        lines = st.lists(TEXT, max_size=3)
    else:
        country = draw(st.sampled_from(DIVIDED))
        names = st.sampled_from(NAMES[country])
        lines = st.lists(
            st.lists(names | st.sampled_from(["中山路1号", " ", "1 Main St"]), max_size=4).map("".join),
            max_size=2,
        )
    optional = st.none() | names
    return ValidateRequest(
        country=draw(st.sampled_from([country, country.lower()])),
        lines=[line[:200] for line in draw(lines)],
        administrative_area=draw(optional),
        locality=draw(optional),
        dependent_locality=draw(optional),
        postal_code=draw(st.none() | DIGITS | TEXT.map(lambda text: text[:20])),
        sorting_code=draw(st.none() | TEXT),
        organization=draw(st.none() | TEXT),
        recipient=draw(st.none() | TEXT),
        language=draw(LANGUAGES),
    )


@settings(max_examples=150, deadline=None)
@given(addresses())
def test_an_answer_that_is_sent_in_again_comes_back_as_it_is(address: Address) -> None:
    first = call("validate", address)
    again = call("validate", first.address)
    assert again.address == first.address
    assert again.formatted == first.formatted
    assert not [part for part in again.components if part.status in ("corrected", "inferred")]
    assert again.verdict != "corrected"


@settings(max_examples=75, deadline=None)
@given(addresses())
def test_both_operations_agree_on_the_address_and_normalise_never_judges(address: Address) -> None:
    judged, normalised = call("validate", address), call("normalise", address)
    assert (judged.address, judged.formatted, judged.components) == (
        normalised.address,
        normalised.formatted,
        normalised.components,
    )
    assert set(normalised.findings) <= set(judged.findings)
    assert normalised.verdict in ("valid", "corrected", "ambiguous")


@settings(max_examples=75, deadline=None)
@given(addresses())
def test_what_was_given_outside_the_divisions_is_cleaned_and_never_invented(address: Address) -> None:
    reply = call("validate", address)
    for field in ("recipient", "organization", "sorting_code"):
        given_text = getattr(address, field)
        assert getattr(reply.address, field) == (
            (clean(given_text) or None) if given_text is not None else None
        )
    if reply.address.postal_code is not None:
        assert address.postal_code is not None
        assert fold(reply.address.postal_code) in fold(clean_postal(address.postal_code))
    written = "".join(
        clean(text) for text in (*address.lines, *(getattr(address, f) or "" for f in DIVISIONS))
    )
    assert all(set(line) <= set(written) for line in reply.address.lines)


@settings(max_examples=75, deadline=None)
@given(addresses())
def test_every_pointer_names_a_field_and_every_component_the_value_of_the_answer(address: Address) -> None:
    reply = call("validate", address)
    for found in reply.findings:
        assert found.pointer.split("/")[1] in Address.__struct_fields__
        assert found.message.en
        assert found.message.zh_cn
    for part in reply.components:
        value = getattr(reply.address, part.name)
        assert part.value == ("\n".join(value) or None if isinstance(value, list) else value)


UNITS = sorted(divisions().units.values(), key=lambda unit: unit.code)


def _names(unit: Unit | None, *, short: bool) -> str | None:
    return None if unit is None else (unit.short if short else unit.name)


@pytest.mark.parametrize("language", [None, "en"])
def test_every_current_division_is_confirmed_by_its_full_names_in_both_scripts(language: str | None) -> None:
    for unit in UNITS:
        area, locality, dependent = (_names(slot, short=False) for slot in unit.slots())
        address = Address(
            country="CN", lines=["1"], administrative_area=area, locality=locality, dependent_locality=dependent,
            language=language,
        )  # fmt: skip
        first = call("normalise", address)
        codes = {part.code for part in first.components} - {None}
        assert unit.code in codes, unit
        again = call("normalise", first.address)
        assert again.address == first.address, unit
        assert {part.code for part in again.components} - {None} == codes, unit


def test_a_short_county_name_with_its_province_never_leads_to_another_county() -> None:
    for unit in UNITS:
        area, _, dependent = unit.slots()
        if dependent is None:
            continue
        reply = call(
            "normalise",
            Address(country="CN", lines=[], administrative_area=area.short, dependent_locality=unit.short),
        )
        code = next((part.code for part in reply.components if part.name == "dependent_locality"), None)
        assert code == unit.code or reply.verdict == "ambiguous", unit


def test_a_county_name_alone_is_resolved_only_where_no_other_unit_bears_it() -> None:
    bearers: dict[str, list[Unit]] = {}
    for unit in UNITS:
        if unit.slots()[2] is unit:
            bearers.setdefault(unit.name, []).append(unit)
    for name, units in bearers.items():
        reply = call("normalise", Address(country="CN", lines=[], dependent_locality=name))
        if len(units) > 1:
            assert reply.verdict == "ambiguous", name
            named = {candidate.code for found in reply.findings for candidate in found.candidates}
            assert {unit.code for unit in units} <= named, name


@given(
    st.sampled_from(UNITS), st.sampled_from(["", " ", ", "]), st.sampled_from(["中山路1号", "1号楼", "A座"])
)
@settings(max_examples=100, deadline=None)
def test_a_line_that_begins_with_full_names_is_read_completely(
    unit: Unit, separator: str, street: str
) -> None:
    slots = list(dict.fromkeys(slot.name for slot in unit.slots() if slot is not None))
    assume(len(slots) > 1)
    reply = call("normalise", Address(country="CN", lines=[separator.join([*slots, street])]))
    assert reply.address.lines == [street]
    assert unit.code in {part.code for part in reply.components}

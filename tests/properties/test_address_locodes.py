"""What holds for every place of UN/LOCODE, and for every search in the list."""

from bisect import bisect_left
from importlib.resources import files
from typing import get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st

from atomic_services.address.locode_schema import Function, UnLocode
from atomic_services.address.locodes import begin_with, codes_named, locode
from atomic_services.address.text import fold
from tests.address_calls import answer

_DATA = files("atomic_services.address") / "data"
FUNCTIONS: tuple[Function, ...] = get_args(get_args(Function)[0])
ROWS = (_DATA / "locodes.tsv").read_text(encoding="utf-8").splitlines()
# Every name but the short ones that name nothing; in a line the name, a tab, four signs and then the code.
NAMES = sorted(
    (name, rest[4:9])
    for name, _, rest in (
        line.partition("\t") for line in (_DATA / "locode_names.tsv").read_text(encoding="utf-8").splitlines()
    )
    if rest[0] != "1"
)
KINDS = {
    row[0]: {FUNCTIONS["1234567B".index(kind)] for kind in row[3]}
    for row in (line.split("\t") for line in ROWS)
}
ROW = st.sampled_from(ROWS).map(lambda line: line.split("\t"))


def test_both_tables_are_sorted_by_their_bytes_and_each_code_stands_once() -> None:
    for name in ("locodes.tsv", "locode_names.tsv"):
        lines = (_DATA / name).read_bytes().splitlines()
        assert lines == sorted(lines)
    codes = [line[:5] for line in ROWS]
    assert len(set(codes)) == len(codes) > 115_000


@settings(max_examples=300, deadline=None)
@given(ROW)
@example(ROWS[0].split("\t"))
@example(ROWS[-1].split("\t"))
def test_each_code_resolves_to_itself_and_is_found_by_its_name(row: list[str]) -> None:
    code, name, subdivision, *_ = row
    place = locode(code)
    assert isinstance(place, UnLocode)
    assert (place.code, place.name, place.subdivision or "") == (code, name, subdivision)
    if fold(name):
        assert code in codes_named(code[:2], name)
        assert code in codes_named(code[:2], name.upper(), subdivision or None)
    assert code in {found.code for found in answer("suggest", text=code, limit=20).suggestions}


@settings(max_examples=300, deadline=None)
@given(
    ROW.flatmap(lambda row: st.integers(1, 8).map(lambda length: fold(row[1])[:length])).filter(bool),
    st.none() | st.sampled_from(["CN", "DE", "US", "ZZ"]),
    st.frozensets(st.sampled_from(FUNCTIONS), max_size=3),
    st.integers(1, 20),
)
def test_codes_found_by_a_beginning_are_those_that_a_scan_finds_the_busiest_first(
    text: str, country: str | None, functions: frozenset[Function], limit: int
) -> None:
    asked = begin_with(text, limit=limit, country=country, subdivision=None, functions=functions)
    found: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for name, code in NAMES[bisect_left(NAMES, (text,)) : bisect_left(NAMES, (text + "\U0010ffff",))]:
        has = KINDS[code]
        if country in (None, code[:2]) and (not functions or functions & has):
            found[name != text][code] = -len(has)
    longer = {code: rank for code, rank in found[1].items() if code not in asked[0]}
    for codes, expected in zip(asked, (found[0], longer), strict=True):
        assert list(codes) == sorted(expected, key=lambda code: (expected[code], code))[:limit]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.text(max_size=4))
def test_any_text_can_be_looked_up(name: str, subdivision: str) -> None:
    assert isinstance(codes_named("DE", name, subdivision), tuple)
    assert locode(name) is None or name in {row[:5] for row in ROWS}

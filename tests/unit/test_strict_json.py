"""Bytes become values in one way, and what other decoders let through is a clear refusal."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.vocabulary.problem import FieldError, Problem
from catalog.vocabulary.strict_json import DEPTH_MAX, convert, decode_json


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "invalid-json"),
        (b"{", "invalid-json"),
        (b'{"a":1,}', "invalid-json"),
        (b"{'a':1}", "invalid-json"),
        (b'{"a":01}', "invalid-json"),
        (b'{"a":1} x', "invalid-json"),
        (b"\xef\xbb\xbf{}", "byte-order-mark"),
        (b'{"a":"\x01"}', "invalid-json"),
        (b'{"a":1,"a":2}', "duplicate-key"),
        (b'{"x":{"a":1,"\\u0061":2}}', "duplicate-key"),
        (b'{"a":NaN}', "not-a-number"),
        (b'{"a":Infinity}', "not-a-number"),
        (b'{"a":-Infinity}', "not-a-number"),
        (b'{"a":9223372036854775808}', "number-too-large"),
        (b'{"a":' + b"9" * 5000 + b"}", "number-too-large"),
        (b'{"a":1e999}', "number-too-large"),
        (b'{"a":1e-999}', "number-too-large"),
        (b'{"a":1e9999999999999999999}', "number-too-large"),
        (b'{"a":-0e-9999999999999999999}', "number-too-large"),
        (b'{"a":0.' + b"1" * 60 + b"}", "number-too-large"),
        (b'{"a":"\xff"}', "invalid-utf-8"),
        (b'{"a":"\xed\xa0\x80"}', "invalid-utf-8"),
        (b"\xff\xfe{\x00}\x00", "invalid-utf-8"),
        (b'{"a":"\\u0000"}', "control-character"),
        (b'{"\\u0000":1}', "control-character"),
        (b'{"a":["\\ud800"]}', "control-character"),
        (b"[" * 33 + b"]" * 33, "too-deep"),
        (b"[" * 100_000, "too-deep"),
        (b'{"a":' * 20 + b"[" * 20, "too-deep"),
    ],
)
def test_what_is_not_acceptable_json_is_refused_with_its_rule(body: bytes, rule: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_json(body)
    assert caught.value.type.name == "malformed-json"
    assert [error.rule for error in caught.value.errors] == [rule]


def test_nesting_up_to_the_limit_and_brackets_in_text_are_accepted() -> None:
    assert decode_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    text = "[{" * 200
    assert decode_json(json.dumps({"a": text, "b": '\\"[['}).encode()) == {"a": text, "b": '\\"[['}


def test_fractions_are_decimals_and_keep_their_digits() -> None:
    assert decode_json(b'{"a":0.10}') == {"a": Decimal("0.10")}
    assert decode_json(b'{"a":9223372036854775807}') == {"a": 2**63 - 1}


_plain = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")))
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | _plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_plain, inner, max_size=4),
    max_leaves=20,
)


@given(_values, st.booleans())
def test_every_ordinary_document_comes_back_as_it_was(value: object, ascii_only: bool) -> None:
    assert decode_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_end_as_a_value_or_a_named_problem(body: bytes) -> None:
    try:
        decode_json(body)
    except Problem as problem:
        assert problem.type.status == 400
        assert problem.errors


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    quantity: int


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    lines: list[_Line]


@pytest.mark.parametrize(
    ("value", "pointer", "rule"),
    [
        ({}, "/lines", "required"),
        ({"lines": [{"sku": "a"}]}, "/lines/0/quantity", "required"),
        ({"lines": [{"sku": "a", "quantity": "2"}]}, "/lines/0/quantity", "type"),
        ({"lines": [{"sku": "a", "quantity": 1, "x": 1}]}, "/lines/0/x", "unknown-field"),
        ({"lines": [], "missing required field": 1}, "/missing required field", "unknown-field"),
        ({"lines": [{"sku": "a", "quantity": 1, "a`b/c": 1}]}, "/lines/0/a`b~1c", "unknown-field"),
        ({"lines": {}}, "/lines", "type"),
        ([], "", "type"),
    ],
)
def test_a_wrong_field_is_named_by_its_pointer_and_rule(value: object, pointer: str, rule: str) -> None:
    with pytest.raises(Problem) as caught:
        convert(value, _Order)
    assert caught.value.type.name == "invalid-input"
    assert [(error.pointer, error.rule) for error in caught.value.errors] == [(pointer, rule)]


class _Counts(msgspec.Struct, forbid_unknown_fields=True):
    whole: int
    maybe: Annotated[int, msgspec.Meta(ge=0)] | None = None
    exact: Decimal | None = None
    many: tuple[int, ...] = ()
    named: dict[str, int] = {}
    lines: tuple[_Line, ...] = ()


def test_a_number_without_a_fraction_is_an_integer_however_it_is_written() -> None:
    written = b'{"whole":1.0,"maybe":1e3,"exact":1.0,"many":[2.00,3],"named":{"a":-0.0},"lines":[{"sku":"a","quantity":5E0}]}'
    counts = convert(decode_json(written), _Counts)
    assert counts == _Counts(1, 1000, Decimal("1.0"), (2, 3), {"a": 0}, (_Line("a", 5),))
    assert str(counts.exact) == "1.0", "what is a decimal keeps its digits"
    assert [type(one) for one in (counts.whole, counts.maybe, counts.many[0])] == [int, int, int]


@pytest.mark.parametrize("number", [b"1.5", b"9223372036854775808.0", b"1e30", b"1e-3", b'"1.0"'])
def test_what_is_no_integer_of_64_bits_is_refused_where_one_is_asked_for(number: bytes) -> None:
    with pytest.raises(Problem) as caught:
        convert(decode_json(b'{"maybe":2.0,"whole":' + number + b"}"), _Counts)
    got = "string" if number.startswith(b'"') else "number"
    expected = FieldError("/whole", "type", f"expected `integer`, got `{got}`")
    assert caught.value.errors == (expected,), "and what is one is not reported beside it"


class _Kinds(msgspec.Struct):
    string: str | None = None
    moment: datetime | None = None
    number: Decimal | None = None
    truth: bool = False
    rows: list[int] | None = None
    object: _Line | None = None


def test_types_are_called_what_json_calls_them() -> None:
    wrong = {"string": 7, "moment": True, "number": [], "truth": None, "rows": {}, "object": Decimal("0.5")}
    with pytest.raises(Problem) as caught:
        convert(wrong, _Kinds)
    assert [error.detail for error in caught.value.errors] == [
        "expected `string | null`, got `integer`",
        "expected `string | null`, got `boolean`",
        "expected `number | null`, got `array`",
        "expected `boolean`, got `null`",
        "expected `array | null`, got `object`",
        "expected `object | null`, got `number`",
    ]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"\xef\xbb\xbf{}", "The body begins with a byte order mark; send UTF-8 without one."),
        ('{"城市":x}'.encode(), "Expecting value at byte offset 10."),
    ],
)
def test_what_is_no_json_is_told_where_and_why(body: bytes, detail: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_json(body)
    assert caught.value.detail.lower() == detail.lower()

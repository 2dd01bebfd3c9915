"""Whatever is wrong with a body, the answer names it: all of it, at the right place, and nothing that is right."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from atomic_services.address.format_schema import FormatRequest
from atomic_services.registry import operations
from catalog.passport import Passport
from catalog.vocabulary.described import worded
from catalog.vocabulary.problem import FieldError, Problem
from catalog.vocabulary.strict_json import convert
from catalog.vocabulary.wrong_fields import ERRORS_MAX, field_error, wrong_fields


class Card(msgspec.Struct, tag_field="by", tag="card", forbid_unknown_fields=True):
    number: Annotated[str, Meta(pattern="^[0-9]+$", examples=["4242"])]


class Transfer(msgspec.Struct, tag_field="by", tag="transfer", forbid_unknown_fields=True):
    iban: str


class Line(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    sku: Annotated[str, Meta(min_length=1, pattern="^[!-~]+$", description="Your code of the article.")]
    unit_count: Annotated[int, Meta(ge=1, le=9)]
    note: Annotated[str, Meta(max_length=3)] | None = None


class Order(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    kind: Literal["sale", "return"]
    lines: Annotated[list[Line], Meta(min_length=1, max_length=40)]
    payment: Card | Transfer | None = None
    labels: dict[str, Annotated[int, Meta(ge=0)]] = {}
    open_to_more: Line | list[int] | None = None


GOOD: dict[str, Any] = {"id": "o", "kind": "sale", "lines": [{"sku": "a", "unitCount": 1}]}


def found(value: object, type_: Any = Order) -> list[tuple[str, str]]:
    return [(one.pointer, one.rule) for one in wrong_fields(value, type_).errors]


def test_all_faults_are_named_in_the_order_of_the_document_each_with_what_to_do() -> None:
    with pytest.raises(Problem) as caught:
        convert(
            {
                "knid": "sale",
                "kind": "gift",
                "lines": [
                    {"sku": "", "unitCount": 10, "note": "long"},
                    {"sku": "ä", "unit_count": 1},
                    7,
                    {"sku": "a", "unitCount": 1},
                ],
                "payment": {"by": "card", "number": "x", "a/b~c": 1},
                "labels": {"a/b": -1, "fine": 0, "text": "1"},
            },
            Order,
        )
    problem = caught.value
    assert problem.type.name == "invalid-input"
    assert problem.extra == {}
    assert problem.errors == (
        FieldError("/knid", "unknown-field", "no such field exists here; did you mean `kind`?"),
        FieldError("/kind", "constraint", 'invalid enum value \'gift\'; use one of "sale", "return"'),
        FieldError("/lines/0/sku", "constraint", "expected `string` of length >= 1"),
        FieldError("/lines/0/unitCount", "constraint", "expected `integer` <= 9"),
        FieldError("/lines/0/note", "constraint", "expected `string` of length <= 3"),
        FieldError(
            "/lines/1/sku",
            "constraint",
            "expected another form: Your code of the article",
        ),
        FieldError(
            "/lines/1/unit_count", "unknown-field", "no such field exists here; did you mean `unitCount`?"
        ),
        FieldError("/lines/1/unitCount", "required", "this field is required"),
        FieldError("/lines/2", "type", "expected `object`, got `integer`"),
        FieldError("/payment/number", "constraint", 'write it such as "4242"'),
        FieldError("/payment/a~1b~0c", "unknown-field", "no such field exists here; remove it"),
        FieldError("/labels/a~1b", "constraint", "expected `integer` >= 0"),
        FieldError("/labels/text", "type", "expected `integer`, got `string`"),
        FieldError("/id", "required", "this field is required"),
    )
    assert problem.detail.endswith("; and 11 more.")


@pytest.mark.parametrize(
    ("meta", "detail"),
    [
        (worded("a month such as 2026-11", pattern="^x$"), "a month such as 2026-11 is needed"),
        (
            Meta(pattern="^x$", description="A code.", examples=["x"]),
            'expected another form: A code, such as "x"',
        ),
        (Meta(pattern="^x$"), "expected another form; the schema in /openapi.json has it"),
    ],
)
def test_a_form_is_said_in_words_and_never_as_a_regular_expression(meta: Meta, detail: str) -> None:
    (error,) = wrong_fields("y", Annotated[str, meta]).errors
    assert (error.pointer, error.detail) == ("", detail)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (GOOD | {"payment": {"by": "cheque"}}, [("/payment/by", "constraint")]),
        (GOOD | {"payment": {}}, [("/payment/by", "required")]),
        (GOOD | {"payment": [1]}, [("/payment", "type")]),
        (GOOD | {"lines": []}, [("/lines", "constraint")]),
        (GOOD | {"lines": [{}] * 41}, [("/lines", "constraint")]),
        (GOOD | {"open_to_more": ["1"]}, [("/open_to_more/0", "type")]),
        (GOOD | {"open_to_more": "1"}, [("/open_to_more", "type")]),
        ([], [("", "type")]),
        (None, [("", "type")]),
    ],
)
def test_unions_lists_and_whole_bodies_are_explained_too(
    value: object, expected: list[tuple[str, str]]
) -> None:
    assert found(value) == expected


def test_a_name_in_a_mapping_is_told_where_it_stands() -> None:
    wrong = wrong_fields({"components": {"1x": "a", "": None, "road": 7}}, FormatRequest)
    name = "a name that begins with a letter, of at most 40 letters, digits and _ : . - is needed"
    assert wrong.errors == (
        FieldError("/components/1x", "constraint", name),
        FieldError("/components/", "constraint", name),
        FieldError("/components/road", "type", "expected `string`, got `integer`"),
    )


def test_more_than_twenty_faults_are_counted_and_rubbish_is_not_explained_for_ever() -> None:
    many = wrong_fields(GOOD | {"lines": [{"sku": 1}] * 40}, Order)
    assert len(many.errors) == ERRORS_MAX
    assert many.more == 80 - ERRORS_MAX
    rubbish = wrong_fields(GOOD | {"labels": {str(number): "x" for number in range(100_000)}}, Order)
    assert len(rubbish.errors) == ERRORS_MAX
    assert 0 < rubbish.more < 1_000


_STRUCTS: tuple[type[msgspec.Struct], ...] = (
    Order,
    Line,
    Card,
    Transfer,
    Passport,
    *(operation.request for operation in operations().values()),
)
_names = st.sampled_from(
    sorted({field.encode_name for type_ in _STRUCTS for field in msgspec.structs.fields(type_)})
) | st.text(max_size=5)
_leaves = (
    st.none() | st.booleans() | st.integers(-2, 12) | st.text(max_size=4) | st.sampled_from(("sale", "CN"))
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=5),
    max_leaves=15,
)
_types = st.sampled_from((*_STRUCTS, Card | Transfer))


def _near(type_: Any) -> st.SearchStrategy[Any]:
    """Objects that have mostly the right names."""
    if not isinstance(type_, type):
        return _values
    names = [field.encode_name for field in msgspec.structs.fields(type_)]
    lines = st.lists(st.dictionaries(st.sampled_from(("sku", "unitCount", "x")), _leaves), max_size=3)
    return st.dictionaries(st.sampled_from(names) | _names, _values | lines, max_size=8)


@given(_types.flatmap(lambda type_: st.tuples(st.just(type_), _values | _near(type_))))
def test_whatever_is_refused_is_explained_where_it_stands_and_the_first_fault_is_msgspecs_own(
    drawn: tuple[Any, Any],
) -> None:
    type_, value = drawn
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        first = field_error(error)
    else:
        return
    errors = wrong_fields(value, type_).errors
    assert errors
    if "..." not in first.pointer and "`" not in str(value):
        assert (errors[0].pointer, errors[0].rule) == (first.pointer, first.rule)
    for one in errors:
        assert one.detail
        _check_place(value, one)
    assert len({(one.pointer, one.rule) for one in errors}) == len(errors), "nothing is said twice"


def _check_place(value: Any, error: FieldError) -> None:
    """The pointer leads to what is wrong, or to the object from which a field is missing."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in error.pointer.split("/")[1:]]
    for place, step in enumerate(steps):
        if isinstance(value, list):
            value = value[int(step)]
        elif error.rule == "required" and place == len(steps) - 1:
            assert step not in value
        else:
            value = value[step]

"""The tables of fields on the pages say all that a value may be, not only the first of it."""

from typing import Any

from gateway.control.pages.fields import FieldRow, field_rows
from gateway.control.pages.phrases import Phrases

_SCHEMAS: dict[str, Any] = {
    "Rate": {
        "type": "object",
        "properties": {
            "kind": {"enum": ["rate"]},
            "per": {"enum": ["account", "application"]},
            "seconds": {"type": "integer", "minimum": 1},
        },
        "required": ["kind", "per", "seconds"],
    },
    "Quota": {
        "type": "object",
        "properties": {
            "kind": {"enum": ["quota"]},
            "per": {"enum": ["account", "application"]},
            "inside": {"$ref": "#/components/schemas/Quota"},
        },
        "required": ["kind", "per"],
    },
}


def _rows(**properties: Any) -> list[FieldRow]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return list(field_rows({"components": {"schemas": _SCHEMAS}}, schema, Phrases("en")))


def test_the_values_of_all_branches_are_shown_once() -> None:
    (row,) = _rows(result={"anyOf": [{"enum": ["accepted", "duplicate"]}, {"enum": ["refused"]}]})
    assert (row.type, row.values) == ("enum", ("accepted", "duplicate", "refused"))


def test_types_and_rules_of_all_branches_are_shown_and_null_is_none_of_them() -> None:
    branches = [{"type": "string", "maxLength": 5}, {"type": "integer", "minimum": 1}, {"type": "null"}]
    (row,) = _rows(at_most={"anyOf": branches})
    assert (row.type, row.rules) == ("string | integer", ("length ≤ 5", "≥ 1"))


def test_what_a_list_may_hold_is_shown() -> None:
    functions, mixed = _rows(
        functions={"type": "array", "items": {"enum": ["port", "rail"]}},
        mixed={"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
    )
    assert (functions.type, functions.values) == ("enum[]", ("port", "rail"))
    assert mixed.type == "(string | integer)[]"


def test_the_fields_of_all_branches_are_shown_and_required_is_what_each_of_them_requires() -> None:
    references = [{"$ref": f"#/components/schemas/{name}"} for name in ("Rate", "Quota")]
    limits, *fields = _rows(limits={"type": "array", "items": {"anyOf": references}})
    assert limits.type == "object[]"
    assert [(row.name, row.depth, row.required, row.values) for row in fields] == [
        ("kind", 1, True, ("rate", "quota")),
        ("per", 1, True, ("account", "application")),
        ("seconds", 1, False, ()),
        # It may hold itself, which is told once.
        ("inside", 1, False, ()),
    ]

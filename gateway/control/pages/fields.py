"""A JSON Schema of the contract as rows of a table: one for each field, nested ones indented."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

_DEPTH_MAX = 4
_REFERENCE = "#/components/schemas/"
Schema = Mapping[str, Any]


class FieldRow(msgspec.Struct, frozen=True):
    """A field: where it stands, what it may be, and what the contract says about it."""

    name: str
    depth: int
    type: str
    required: bool
    values: tuple[str, ...]
    rules: tuple[str, ...]
    default: str | None
    description: str


def field_rows(document: Mapping[str, Any], schema: Schema) -> tuple[FieldRow, ...]:
    """The fields of an object's schema within its document, depth first."""
    return tuple(_fields(document["components"]["schemas"], schema, 0, ()))


def _fields(
    schemas: Mapping[str, Schema], schema: Schema, depth: int, seen: tuple[str, ...]
) -> Iterator[FieldRow]:
    name, target = _resolve(schemas, schema)
    if name in seen or depth > _DEPTH_MAX:
        return
    required = target.get("required", ())
    for field, declared in target.get("properties", {}).items():
        options = _options(declared)
        main = options[0]
        yield FieldRow(
            field,
            depth,
            " | ".join(_type(schemas, option) for option in options),
            field in required,
            tuple(str(value) for value in main.get("enum", ())),
            tuple(_rules(main)),
            _default(declared),
            _description(schemas, declared, main),
        )
        yield from _fields(schemas, _inner(main), depth + 1, (*seen, name))


def _resolve(schemas: Mapping[str, Schema], schema: Schema) -> tuple[str, Schema]:
    reference = schema.get("$ref")
    if reference is None:
        return "", schema
    name = reference.removeprefix(_REFERENCE)
    return name, schemas[name]


def _options(schema: Schema) -> list[Schema]:
    """What a value may be besides null: an optional field may be left out, so null adds nothing for a reader."""
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return options or [schema]


def _inner(schema: Schema) -> Schema:
    items = schema.get("items", schema)
    assert isinstance(items, Mapping)
    return items


def _type(schemas: Mapping[str, Schema], schema: Schema) -> str:
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"{_type(schemas, items)}[]" if items else "array"
    if "$ref" in schema:
        return str(_resolve(schemas, schema)[1].get("type", "object"))
    if "enum" in schema:
        return "enum"
    return str(schema.get("format") or schema.get("type") or "any")


def _rules(schema: Schema) -> Iterator[str]:
    for name, shown in (
        ("minimum", "≥ {}"),
        ("maximum", "≤ {}"),
        ("minLength", "length ≥ {}"),
        ("maxLength", "length ≤ {}"),
        ("minItems", "entries ≥ {}"),
        ("maxItems", "entries ≤ {}"),
    ):
        if name in schema:
            yield shown.format(schema[name])


def _default(schema: Schema) -> str | None:
    default = schema.get("default")
    return None if default in (None, [], {}) else msgspec.json.encode(default).decode()


def _description(schemas: Mapping[str, Schema], declared: Schema, main: Schema) -> str:
    for schema in (declared, main, _resolve(schemas, main)[1], _resolve(schemas, _inner(main))[1]):
        if description := schema.get("description"):
            return str(description)
    return ""

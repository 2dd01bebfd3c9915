"""A JSON Schema of the contract as rows of a table: one for each field, nested ones indented.

Where a value may be one of several things, its row has what any of them may be, and below it stand the fields of all.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from catalog.vocabulary.problem import Language
from gateway.control.pages.phrases import Phrases

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
    language: Language


def field_rows(document: Mapping[str, Any], schema: Schema, phrases: Phrases) -> tuple[FieldRow, ...]:
    """The fields of an object's schema within its document, depth first, in the reader's language where the contract has
    it; `language` of a row is that of its description."""
    return tuple(_fields(document["components"]["schemas"], schema, phrases, 0, ()))


def parameter_rows(parameters: Iterable[Schema], phrases: Phrases) -> tuple[FieldRow, ...]:
    """The parameters of a path and its query."""
    return tuple(
        _row({}, one["name"], 0, one["schema"], one, phrases, required=one["required"]) for one in parameters
    )


def _fields(
    schemas: Mapping[str, Schema], schema: Schema, phrases: Phrases, depth: int, seen: tuple[str, ...]
) -> Iterator[FieldRow]:
    branches = [(name, one) for name, one in _alternatives(schemas, schema) if not name or name not in seen]
    if depth > _DEPTH_MAX:
        return
    names, targets = [name for name, _ in branches], [target for _, target in branches]
    declarations: dict[str, list[Schema]] = {}
    for target in targets:
        for field, declared in target.get("properties", {}).items():
            declarations.setdefault(field, []).append(declared)
    for field, declared_by in declarations.items():
        first, *others = declared_by
        declared = first if all(one == first for one in others) else {"anyOf": declared_by}
        required = all(field in target.get("required", ()) for target in targets)
        yield _row(schemas, field, depth, declared, declared, phrases, required=required)
        yield from _fields(schemas, declared, phrases, depth + 1, (*seen, *names))


def _row(
    schemas: Mapping[str, Schema],
    name: str,
    depth: int,
    declared: Schema,
    describing: Schema,
    phrases: Phrases,
    *,
    required: bool,
) -> FieldRow:
    options = _options(declared)
    description, language = _description(schemas, describing, options[0], phrases)
    return FieldRow(
        name,
        depth,
        _types(schemas, options),
        required,
        tuple(
            dict.fromkeys(
                str(value) for _, one in _alternatives(schemas, declared) for value in one.get("enum", ())
            )
        ),
        tuple(dict.fromkeys(rule for option in options for rule in _rules(option, phrases))),
        _default(declared),
        description,
        language,
    )


def _resolve(schemas: Mapping[str, Schema], schema: Schema) -> tuple[str, Schema]:
    reference = schema.get("$ref")
    if reference is None:
        return "", schema
    name = reference.removeprefix(_REFERENCE)
    return name, schemas[name]


def _options(schema: Schema) -> list[Schema]:
    """What a value may be besides null: an optional field may be left out, so null adds nothing for a reader."""
    if "anyOf" not in schema:
        return [schema]
    options = [found for one in schema["anyOf"] for found in _options(one) if one.get("type") != "null"]
    return options or [schema]


def _alternatives(schemas: Mapping[str, Schema], schema: Schema) -> Iterator[tuple[str, Schema]]:
    """What a value, or an entry of a list, may be: each with its name among the schemas, empty where it has none."""
    for option in _options(schema):
        for one in _options(_inner(option)):
            yield _resolve(schemas, one)


def _inner(schema: Schema) -> Schema:
    items = schema.get("items", schema)
    assert isinstance(items, Mapping)
    return items


def _types(schemas: Mapping[str, Schema], options: Iterable[Schema]) -> str:
    return " | ".join(dict.fromkeys(_type(schemas, option) for option in options))


def _type(schemas: Mapping[str, Schema], schema: Schema) -> str:
    if schema.get("type") == "array":
        items = schema.get("items")
        entries = _types(schemas, _options(items)) if items else ""
        return f"({entries})[]" if " | " in entries else f"{entries}[]" if items else "array"
    if "$ref" in schema:
        return str(_resolve(schemas, schema)[1].get("type", "object"))
    if "enum" in schema:
        return "enum"
    return str(schema.get("format") or schema.get("type") or "any")


def _rules(schema: Schema, phrases: Phrases) -> Iterator[str]:
    for name, phrase, sign in (
        ("minimum", "", "≥"),
        ("maximum", "", "≤"),
        ("minLength", "rule_length", "≥"),
        ("maxLength", "rule_length", "≤"),
        ("minItems", "rule_entries", "≥"),
        ("maxItems", "rule_entries", "≤"),
    ):
        if name in schema:
            yield (
                f"{phrases(phrase)} {sign} {schema[name]:,}".strip() if phrase else f"{sign} {schema[name]:,}"
            )


def _default(schema: Schema) -> str | None:
    default = schema.get("default")
    return None if default in (None, [], {}) else msgspec.json.encode(default).decode()


def _description(
    schemas: Mapping[str, Schema], declared: Schema, main: Schema, phrases: Phrases
) -> tuple[str, Language]:
    for schema in (declared, main, _resolve(schemas, main)[1], _resolve(schemas, _inner(main))[1]):
        if description := schema.get("description"):
            chinese = schema.get("x-ordergate", {}).get("description", {}).get("zh-CN")
            if phrases.language == "zh-CN" and chinese:
                return str(chinese), "zh-CN"
            return str(description), "en"
    return "", phrases.language

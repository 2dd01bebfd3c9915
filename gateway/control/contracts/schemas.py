"""JSON Schemas of a group of types, under names of their own, so that two services may both have a `Line`."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


def prefix_of(name: str) -> str:
    """The prefix of a service's schemas: `price-policy` -> `PricePolicy`."""
    return "".join(part.capitalize() for part in name.split("-"))


def schemas_of(
    prefix: str, types: Iterable[type[msgspec.Struct]]
) -> tuple[Mapping[type[msgspec.Struct], dict[str, Any]], dict[str, Any]]:
    """For each type a reference to its schema, and the components that these and all they contain stand in."""
    wanted = list(dict.fromkeys(types))
    references, components = msgspec.json.schema_components(
        wanted, ref_template=f"#/components/schemas/{prefix}{{name}}"
    )
    named = {f"{prefix}{name}": schema for name, schema in components.items()}
    return dict(zip(wanted, references, strict=True)), named


def in_order(value: Any, schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """The value with its members in the order of their schema: stored documents keep no order, readers want one."""
    for option in schema.get("anyOf", (schema,)):
        target = components[option["$ref"].rpartition("/")[2]] if "$ref" in option else option
        if isinstance(value, dict) and "properties" in target:
            properties = target["properties"]
            ordered = {
                name: in_order(value[name], declared, components)
                for name, declared in properties.items()
                if name in value
            }
            return ordered | {name: member for name, member in value.items() if name not in properties}
        if isinstance(value, list) and isinstance(target.get("items"), dict):
            return [in_order(item, target["items"], components) for item in value]
    return value

"""Parameters are checked as strictly as Stripe does: an unknown name or a number that is none is an error."""

from collections.abc import Mapping
from typing import Any

from tests.fakes.stripe_server.errors import invalid

Params = Mapping[str, Any]


def only(params: Params, *names: str) -> None:
    """Refuse every other name."""
    for name in params:
        if name not in (*names, "expand"):
            raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")


def text(params: Params, name: str) -> str:
    """A required string."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    return value


def integer(params: Params, name: str, default: int | None = None) -> int:
    """A whole number, required without a default."""
    value = params.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not value.removeprefix("-").isdigit():
        raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
    return int(value)


def flag(params: Params, name: str, default: bool) -> bool:
    """true or false."""
    value = params.get(name, "true" if default else "false")
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", name)
    return bool(value == "true")


def entries(params: Params, name: str) -> list[Params]:
    """A required list of objects."""
    value = params.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise invalid(f"Invalid array: {name}", name, "parameter_missing")
    return value


def metadata(params: Params) -> dict[str, str]:
    """At most 50 names of at most 40 characters with values of at most 500."""
    marks = params.get("metadata") or {}
    if not isinstance(marks, dict) or len(marks) > 50:
        raise invalid("Invalid metadata.", "metadata")
    for name, value in marks.items():
        if len(name) > 40 or not isinstance(value, str) or len(value) > 500:
            raise invalid(
                "Metadata names have up to 40 and values up to 500 characters.", f"metadata[{name}]"
            )
    return dict(marks)

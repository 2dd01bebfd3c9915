"""How one call becomes a quantity, and by which of its fields it may be priced."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from catalog.vocabulary.money import plain
from catalog.vocabulary.wrong_fields import pointer_of

Dimensions: TypeAlias = tuple[tuple[str, str], ...]
"""The values of a call's dimensions by name, in the meter's order."""

VALUE_LENGTH_MAX = 64
_DIMENSIONS_MAX = 8
_DIMENSION = re.compile(r"[a-z][a-z0-9_]{0,39}")
_REPLY = "/reply/"
# Exactly one of them is given.
_QUANTITIES = ("unit", "items", "value")
_ONE_CALL = Decimal(1)


class Meter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{unit: call}` counts 1; `{items: /lines}` counts the entries of a list of the request; `{value: /reply/amount}`
    takes a non-negative number of the reply. Pointers are JSON pointers (RFC 6901).

    `dimensions: {origin: /origin, grade: /reply/grade}` names the fields of request or reply whose values stay with the
    call, so that a `matrix` may price it by them.
    """

    unit: str | None = None
    items: str | None = None
    value: str | None = None
    # Unset is not written down: the digest of an interface without any is what it always was.
    dimensions: dict[str, str] | UnsetType = UNSET

    @property
    def dimension_pointers(self) -> Mapping[str, str]:
        """Where each dimension's value stands."""
        return {} if self.dimensions is UNSET else self.dimensions

    @property
    def quantity(self) -> str:
        """What of a call is counted, as one text: `unit call`, `items /lines`, `value /reply/amount`. It is a part of every
        price of the operation; two quantities that differ are never summed."""
        return next(f"{name} {given}" for name in _QUANTITIES if (given := getattr(self, name)) is not None)

    def in_reply(self, dimension: str) -> bool:
        """Whether the value of a dimension is known only once the call is answered."""
        return self.dimension_pointers[dimension].startswith(_REPLY)


def counted_alike(one: str | None, other: str | None) -> bool:
    """Whether two price versions are of one `Meter.quantity`; of an old version that nobody knows it of, it is any."""
    return one is None or other is None or one == other


def rule_broken(meter: Meter) -> str | None:
    """What is wrong with a meter of a passport, or None."""
    given = [name for name in _QUANTITIES if getattr(meter, name) is not None]
    if len(given) != 1:
        return "give exactly one of unit, items and value"
    if meter.unit is not None:
        return None if meter.unit == "call" else "the only unit is `call`; count a list with `items: /field`"
    pointer = meter.items or meter.value or ""
    if not pointer.startswith("/"):
        return "write a JSON pointer such as /lines"
    if meter.value is not None and not pointer.startswith(_REPLY):
        return "a value is taken from the reply: /reply/field"
    return None


def dimension_rule_broken(meter: Meter) -> tuple[str, str] | None:
    """Which dimension of a passport's meter is wrong (empty: all together) and what is wrong with it, or None."""
    if meter.dimensions is UNSET:
        return None
    if not 1 <= len(meter.dimensions) <= _DIMENSIONS_MAX:
        return "", f"name 1 to {_DIMENSIONS_MAX} dimensions, or leave the field out"
    for name, pointer in meter.dimensions.items():
        if not _DIMENSION.fullmatch(name):
            return name, "name a dimension in lower-case letters, digits and underscores, at most 40"
        if len(pointer) < 2 or not pointer.startswith("/") or pointer == _REPLY:
            return (
                name,
                "write a JSON pointer: /origin for a field of the request, /reply/grade for one of the reply",
            )
    return None


def dimensions(meter: Meter, request: msgspec.Struct, reply: msgspec.Struct | None) -> Dimensions:
    """The values of a call's dimensions; what is not there, or of a reply that there is not, is the empty text.

    They are kept with the call for ever and go to files and databases: printable text of up to 64 characters, a
    number or a truth value is a value, and anything else is none.
    """
    if meter.dimensions is UNSET:
        return ()
    return tuple((name, _value(pointer, request, reply)) for name, pointer in meter.dimensions.items())


def given(dimensions: Iterable[tuple[str, str]]) -> Dimensions:
    """Those that have a value, by name: the form in which dimensions are compared, for one that is not named has none."""
    return tuple(sorted((name, value) for name, value in dimensions if value))


def _value(pointer: str, request: msgspec.Struct, reply: msgspec.Struct | None) -> str:
    try:
        if not pointer.startswith(_REPLY):
            found = _resolve(request, pointer)
        elif reply is None:
            return ""
        else:
            found = _resolve(reply, pointer.removeprefix("/reply"))
    except (AttributeError, IndexError, ValueError):
        return ""
    match found:
        case bool():
            return "true" if found else "false"
        case int():
            text = str(found)
        case Decimal():
            text = plain(found)
        case str():
            text = found
        case _:
            return ""
    return text if len(text) <= VALUE_LENGTH_MAX and text.isprintable() else ""


def units(meter: Meter, request: msgspec.Struct, reply: msgspec.Struct | None) -> Decimal:
    """The quantity of one call. A call that ended without a reply has no value to take: 0."""
    if meter.unit is not None:
        return _ONE_CALL
    if meter.items is not None:
        return Decimal(len(_resolve(request, meter.items)))
    assert meter.value is not None
    if reply is None:
        return Decimal(0)
    amount = Decimal(str(_resolve(reply, meter.value.removeprefix("/reply"))))
    assert amount.is_finite() and amount >= 0, "a metered value is a non-negative number"
    return amount


def _resolve(value: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, (list, tuple)) else getattr(value, name)
    return value


def pointer_exists(type_: type[msgspec.Struct], pointer: str) -> bool:
    """Whether the first step of a pointer names a field of the struct."""
    first = pointer.split("/")[1]
    return any(pointer_of([field.encode_name]) == "/" + first for field in msgspec.structs.fields(type_))

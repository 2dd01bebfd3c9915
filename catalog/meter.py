"""How one call becomes a quantity."""

from decimal import Decimal
from typing import Any

import msgspec

from catalog.vocabulary.wrong_fields import pointer_of


class Meter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{unit: call}` counts 1; `{items: /lines}` counts the entries of a list of the request; `{value: /reply/amount}`
    takes a non-negative number of the reply. Pointers are JSON pointers (RFC 6901)."""

    unit: str | None = None
    items: str | None = None
    value: str | None = None


def rule_broken(meter: Meter) -> str | None:
    """What is wrong with a meter of a passport, or None."""
    given = [name for name in ("unit", "items", "value") if getattr(meter, name) is not None]
    if len(given) != 1:
        return "give exactly one of unit, items and value"
    if meter.unit is not None:
        return None if meter.unit == "call" else "the only unit is `call`; count a list with `items: /field`"
    pointer = meter.items or meter.value or ""
    if not pointer.startswith("/"):
        return "write a JSON pointer such as /lines"
    if meter.value is not None and not pointer.startswith("/reply/"):
        return "a value is taken from the reply: /reply/field"
    return None


def units(meter: Meter, request: msgspec.Struct, reply: msgspec.Struct | None) -> Decimal:
    """The quantity of one call. A call that ended without a reply has no value to take: 0."""
    if meter.unit is not None:
        return Decimal(1)
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

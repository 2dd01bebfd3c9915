"""The usage of a case, as JSON has it, in the shape that the case's price asks for.

A decimal string; `{"calls", "successes", "caller_faults"}` (the successes are billed, or `quantity` if it is there);
`{"events": […]}`; `{"buckets": […]}`; an object of units for capacity; `{"cells": [{"dimensions", "quantity"}]}`;
`{"baseline", "measured", "volume"}`; `{"uptime_pct", "bill"}`. Members that describe are passed over.
"""

from collections.abc import Mapping
from decimal import Decimal

from billing.rate.cases.refusal import refused
from billing.rate.usage import (
    Attainment,
    Buckets,
    CallCounts,
    CapacityPeaks,
    Cell,
    Cells,
    Events,
    Improvement,
    Measured,
    Usage,
)
from catalog.plan import Price
from catalog.plan.price import Bucketed, Capacity, Flat, Matrix, Outcome, SlaCredit
from catalog.vocabulary.money import decimal_of

_COUNTS = ("calls", "successes", "caller_faults", "trailing")


def usage_of(price: Price, raw: object, pointer: str) -> Usage:
    """The usage at `pointer` of a case; `Problem` where it is not what the price needs."""
    if (
        not isinstance(raw, Mapping)
        or "calls" not in raw
        or (_is_capacity(price) and not price.success_factor)
    ):
        return Usage(_measured(price, raw, pointer))
    trailing = raw.get("trailing")
    return Usage(
        _measured(price, raw, pointer),
        _counts(raw, pointer),
        None
        if trailing is None
        else _counts(_object(trailing, f"{pointer}/trailing"), f"{pointer}/trailing"),
    )


def _measured(price: Price, raw: object, pointer: str) -> Measured:
    match price:
        case Flat():
            return Decimal(0)
        case Capacity():
            units = _object(raw, pointer)
            names = [name for name in units if not (price.success_factor and name in _COUNTS)]
            return CapacityPeaks({name: _decimal(units[name], f"{pointer}/{name}") for name in names})
        case Matrix():
            return _cells(_object(raw, pointer), pointer)
        case SlaCredit():
            fields = _object(raw, pointer)
            return Attainment(_member(fields, "uptime_pct", pointer), _member(fields, "bill", pointer))
        case Outcome() if isinstance(raw, Mapping) and "events" not in raw:
            return Improvement(
                _member(raw, "baseline", pointer),
                _member(raw, "measured", pointer),
                _member(raw, "volume", pointer),
            )
        case Bucketed() if isinstance(raw, Mapping):
            return Buckets(_decimals(raw, "buckets", pointer))
        case _:
            return _quantity(raw, pointer)


def _quantity(raw: object, pointer: str) -> Decimal | Events:
    if not isinstance(raw, Mapping):
        return _decimal(raw, pointer)
    if "events" in raw:
        return Events(_decimals(raw, "events", pointer))
    for name in ("quantity", "successes"):
        if name in raw:
            return _member(raw, name, pointer)
    remedy = 'state a decimal string, {"calls", "successes", "caller_faults"} or {"events"}'
    raise refused(pointer, "usage-form", remedy)


def _counts(raw: Mapping[str, object], pointer: str) -> CallCounts:
    faults = _decimal(raw.get("caller_faults", "0"), f"{pointer}/caller_faults")
    try:
        return CallCounts(_member(raw, "calls", pointer), _member(raw, "successes", pointer), faults)
    except ValueError as error:
        raise refused(pointer, "counts", f"{error}; correct the counts") from None


def _cells(raw: Mapping[str, object], pointer: str) -> Cells:
    cells = []
    for index, entry in enumerate(_list(raw, "cells", pointer)):
        place = f"{pointer}/cells/{index}"
        cell = _object(entry, place)
        dimensions = _object(cell.get("dimensions"), f"{place}/dimensions")
        for name, value in dimensions.items():
            if not isinstance(value, str):
                raise refused(f"{place}/dimensions/{name}", "type", "the value of a dimension is a string")
        named = {name: str(value) for name, value in dimensions.items()}
        cells.append(Cell(named, _member(cell, "quantity", place)))
    return Cells(tuple(cells))


def _decimals(raw: Mapping[str, object], name: str, pointer: str) -> tuple[Decimal, ...]:
    place = f"{pointer}/{name}"
    return tuple(_decimal(item, f"{place}/{index}") for index, item in enumerate(_list(raw, name, pointer)))


def _member(raw: Mapping[str, object], name: str, pointer: str) -> Decimal:
    if name not in raw:
        raise refused(f"{pointer}/{name}", "required", f"this price needs {name} in the usage")
    return _decimal(raw[name], f"{pointer}/{name}")


def _decimal(value: object, pointer: str) -> Decimal:
    if not isinstance(value, str):
        raise refused(pointer, "decimal-string", 'quantities are decimal strings: write it in quotes, "1500"')
    try:
        return decimal_of(value)
    except ValueError as error:
        raise refused(pointer, "decimal-string", str(error)) from None


def _list(raw: Mapping[str, object], name: str, pointer: str) -> list[object]:
    value = raw.get(name)
    if not isinstance(value, list):
        raise refused(f"{pointer}/{name}", "required", f"this price needs {name}, an array, in the usage")
    return value


def _object(value: object, pointer: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise refused(pointer, "usage-form", "an object is needed here for this price")
    return value


def _is_capacity(price: Price) -> bool:
    return isinstance(price, Capacity)

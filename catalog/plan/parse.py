"""From the fields of a price, as YAML or JSON has them, to a checked price."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar, get_args

import msgspec

from catalog.plan.decimal_text import REMEDIES, Amount
from catalog.plan.price import (
    BlockGraduated,
    BlockVolume,
    Bucketed,
    BucketPrice,
    Capacity,
    Dynamic,
    Flat,
    Graduated,
    GraduatedPercentage,
    Matrix,
    Modifiers,
    Outcome,
    Package,
    Percentage,
    PerUnit,
    Price,
    SlaCredit,
    SuccessTiered,
    UnitConversion,
    Volume,
    VolumePercentage,
)
from catalog.plan.rules import broken_rules
from catalog.terms_error import TermsError
from catalog.vocabulary.problem import FieldError
from catalog.vocabulary.wrong_fields import field_error, pointer_of

T = TypeVar("T", bound=msgspec.Struct)

_SIMPLE: Mapping[str, type[Price]] = MappingProxyType(
    {
        "per_unit": PerUnit,
        "flat": Flat,
        "graduated": Graduated,
        "volume": Volume,
        "package": Package,
        "percentage": Percentage,
        "graduated_percentage": GraduatedPercentage,
        "volume_percentage": VolumePercentage,
        "block_graduated": BlockGraduated,
        "block_volume": BlockVolume,
        "dynamic": Dynamic,
        "capacity": Capacity,
        "matrix": Matrix,
        "success_tiered": SuccessTiered,
        "outcome": Outcome,
        "sla_credit": SlaCredit,
        "unit_conversion": UnitConversion,
    }
)
_BUCKET_MODELS = tuple(name for name, kind in _SIMPLE.items() if kind in get_args(BucketPrice))

MODELS: Mapping[str, type[Price]] = MappingProxyType({**_SIMPLE, "bucketed": Bucketed})
_FOR_SALE = tuple(name for name, kind in MODELS.items() if kind is not SlaCredit)


def parse_price(model: str, fields: Mapping[str, object]) -> Price:
    """The price of a model; `TermsError` with pointers relative to `fields` (`""` for the model itself)."""
    if model not in MODELS:
        raise TermsError(
            (FieldError("", "model", f"no price model {model!r}; known are {', '.join(_FOR_SALE)}"),)
        )
    price = _bucketed(fields) if model == "bucketed" else _convert(fields, _SIMPLE[model])
    if errors := tuple(broken_rules(price)):
        raise TermsError(errors)
    return price


def price_fields(price: Price) -> dict[str, object]:
    """The fields that `parse_price` reads back to an equal price: plain JSON values, defaults left out."""
    fields: dict[str, object] = msgspec.to_builtins(price)
    return fields


class _BucketedFields(Modifiers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`Bucketed` before the model of its inner price is known."""

    model: str
    price: dict[str, object]


def _bucketed(fields: Mapping[str, object]) -> Bucketed:
    outer = _convert(fields, _BucketedFields)
    if outer.model not in _BUCKET_MODELS:
        known = ", ".join(_BUCKET_MODELS)
        raise TermsError((FieldError("/model", "model", f"a bucket is priced by one of {known}"),))
    try:
        inner = parse_price(outer.model, outer.price)
    except TermsError as refused:
        raise refused.under("/price") from None
    assert isinstance(inner, get_args(BucketPrice))
    rest = {name: getattr(outer, name) for name in Modifiers.__struct_fields__}
    return Bucketed(model=outer.model, price=inner, **rest)


def _convert(fields: Mapping[str, object], kind: type[T]) -> T:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise TermsError((_explained(field_error(error), fields, kind),)) from None


def _explained(found: FieldError, fields: Mapping[str, object], kind: type[msgspec.Struct]) -> FieldError:
    """msgspec's finding in the words of a price list."""
    pointer, value = _locate(fields, found.pointer)
    if found.rule == "unknown-field" and found.pointer.count("/") == 1:
        known = ", ".join(kind.__struct_fields__)
        return FieldError(pointer, found.rule, f"no such field exists in this price; it has {known}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "`integer | string" in found.detail or "`integer` >=" in found.detail:
            return FieldError(pointer, "whole-number", "a whole number such as 1000 is needed")
        return FieldError(
            pointer, "decimal-string", f'numbers are decimal strings: write it in quotes, "{value}"'
        )
    for pattern, remedy in REMEDIES.items():
        if repr(pattern) in found.detail:
            return FieldError(pointer, "decimal-string", remedy)
    return FieldError(pointer, found.rule, found.detail)


def _locate(fields: Mapping[str, object], pointer: str) -> tuple[str, object]:
    """The place that msgspec means and the value there; it writes `...` for a key of a free mapping."""
    value: object = fields
    steps: list[str] = []
    for step in pointer.split("/")[1:]:
        if step == "..." and isinstance(value, Mapping):
            step = next(key for key, entry in value.items() if not _is_amount(entry))
        steps.append(step)
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple):
            value = value[int(step)]
    return pointer_of(steps), value


def _is_amount(entry: object) -> bool:
    try:
        msgspec.convert(entry, Amount)
    except msgspec.ValidationError:
        return False
    return True

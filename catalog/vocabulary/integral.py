"""Numbers without a fraction are integers however they are written: `1.0` and `1e3` too (JSON Schema 2020-12, 4.2.3).

Decoding makes a `Decimal` of what is written with a point or an exponent, and msgspec takes none for an integer. Only for
a value that it has refused does this look again, so what is written as an integer pays nothing for it.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_args

import msgspec

from catalog.vocabulary.wrong_fields import alternatives, fitting, is_struct

INTEGER_MAX = 2**63 - 1


def with_integers(value: Any, type_: Any) -> Any:
    """The value with an `int` in place of each `Decimal` that is one, wherever the type asks for integers alone.

    Beyond 64 bits a number stays as it is, and is refused.
    """
    if type(value) is Decimal:
        return _integer(value) if _asks_for_integer(type_) else value
    inner = fitting(value, type_)
    if inner is None:
        return value
    if is_struct(inner):
        types = {field.encode_name: field.type for field in msgspec.structs.fields(inner)}
        return {
            name: with_integers(entry, types[name]) if name in types else entry
            for name, entry in value.items()
        }
    if isinstance(value, Mapping):
        return {name: with_integers(entry, get_args(inner)[1]) for name, entry in value.items()}
    return [with_integers(entry, get_args(inner)[0]) for entry in value]


def _asks_for_integer(type_: Any) -> bool:
    options = tuple(alternatives(type_))
    return int in options and Decimal not in options and float not in options


def _integer(value: Decimal) -> int | Decimal:
    if not value.is_finite() or abs(value) > INTEGER_MAX or value != value.to_integral_value():
        return value
    return int(value)

"""The one way bytes become values: the JSON policy that every body of the product is held to.

Refused, each with its own rule: invalid UTF-8, a byte order mark, duplicate keys, NaN and Infinity, numbers
beyond 64-bit integers or 40 significant characters, nesting beyond 32, NUL and other control characters,
unpaired surrogates. Numbers with a point or an exponent become `Decimal`, and where an integer is asked for, `1.0` and
`1e3` are integers. See RFC 8259, RFC 7493 (I-JSON) and JSON Schema 2020-12.
"""

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeVar

import msgspec

from catalog.vocabulary.integral import INTEGER_MAX, with_integers
from catalog.vocabulary.problem import FieldError, Problem
from catalog.vocabulary.wrong_fields import WrongFields, pointer_of, wrong_fields

DEPTH_MAX = 32
_NUMBER_CHARACTERS_MAX = 40
_TOLD_MAX = 3
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_FORBIDDEN_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

T = TypeVar("T")


class _Refused(ValueError):
    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused("duplicate-key", f"the key {key[:64]!r} appears twice in one object")
            seen.add(key)
    return value


def _constant(text: str) -> NoReturn:
    raise _Refused("not-a-number", f"{text} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) <= 20 and abs(value := int(text)) <= INTEGER_MAX:
        return value
    raise _Refused("number-too-large", "integers must fit 64 bits")


def _fraction(text: str) -> Decimal:
    if len(text) > _NUMBER_CHARACTERS_MAX:
        raise _Refused("number-too-large", f"numbers are at most {_NUMBER_CHARACTERS_MAX} characters long")
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent of nineteen digits or more is beyond what Decimal itself can hold
        value = None
    if value is None or abs(value.adjusted()) > _NUMBER_CHARACTERS_MAX:
        raise _Refused("number-too-large", "the exponent is out of range")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)


def _decode(text: str) -> Any:
    """`JSONDecoder.decode`, which costs a third more, is for text with blanks around it and for what is no JSON."""
    try:
        value, end = _DECODER.scan_once(text, 0)  # type: ignore[attr-defined]
    except StopIteration:
        return _DECODER.decode(text)
    return value if end == len(text) else _DECODER.decode(text)


def _check_depth(body: bytes) -> None:
    if body.count(b"{") + body.count(b"[") <= DEPTH_MAX:
        return
    depth = 0
    for byte in _STRINGS.sub(b"", body):
        if byte in b"{[":
            depth += 1
            if depth > DEPTH_MAX:
                raise _Refused("too-deep", f"objects and arrays are nested at most {DEPTH_MAX} deep")
        elif byte in b"}]":
            depth -= 1


def _check_text(value: Any) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if type(item) is str:
            if _FORBIDDEN_CHARACTERS.search(item):
                raise _Refused(
                    "control-character", "text must not contain NUL, control characters or lone surrogates"
                )
        elif type(item) is dict:
            pending.extend(item.keys())
            pending.extend(item.values())
        elif type(item) is list:
            pending.extend(item)


def forbidden_text(value: Any, pointer: str = "") -> str | None:
    """Where a decoded document holds text, a key or a number that storage or JSON cannot carry; None if nowhere."""
    if isinstance(value, str):
        return pointer if _FORBIDDEN_CHARACTERS.search(value) else None
    if isinstance(value, float) and not math.isfinite(value):
        return pointer
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or _FORBIDDEN_CHARACTERS.search(key):
                return pointer
            if (found := forbidden_text(item, pointer + pointer_of([key]))) is not None:
                return found
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if (found := forbidden_text(item, f"{pointer}/{index}")) is not None:
                return found
    return None


def decode_json(body: bytes) -> Any:
    """Decode under the policy above; raises `Problem` malformed-json naming the rule that was broken."""
    try:
        _check_depth(body)
        value = _decode(body.decode("utf-8", "strict"))
        # Escapes are the only way in for what the bytes themselves cannot carry.
        if b"\\" in body:
            _check_text(value)
    except _Refused as refused:
        rule, detail = refused.rule, refused.detail
    except UnicodeDecodeError:
        rule, detail = "invalid-utf-8", "the body is not valid UTF-8"
    except json.JSONDecodeError as error:
        rule, detail = _not_json(error)
    except RecursionError:
        rule, detail = "too-deep", f"objects and arrays are nested at most {DEPTH_MAX} deep"
    else:
        return value
    raise Problem("malformed-json", f"{detail}.", errors=(FieldError("", rule, detail),))


def _not_json(error: json.JSONDecodeError) -> tuple[str, str]:
    if error.doc.startswith("\ufeff"):
        return "byte-order-mark", "the body begins with a byte order mark; send UTF-8 without one"
    return "invalid-json", f"{error.msg} at byte offset {len(error.doc[: error.pos].encode())}"


def convert(value: Any, type_: type[T]) -> T:
    """Check decoded JSON against a struct; raises `Problem` invalid-input with every field that is wrong, each with rule
    and remedy. Where more than twenty are, the document's `errors_omitted` says how many more."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        value = with_integers(value, type_)
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        found = wrong_fields(value, type_)
    extra = {"errors_omitted": found.more} if found.more else None
    raise Problem("invalid-input", _sentence(found), errors=found.errors, extra=extra)


def _sentence(found: WrongFields) -> str:
    """The first faults in one line, for logs and terminals; all of them stand in `errors`."""
    told = found.errors[:_TOLD_MAX]
    parts = [f"{error.pointer or 'the body'}: {error.detail}" for error in told]
    if more := len(found.errors) + found.more - len(told):
        parts.append(f"and {more} more")
    return "; ".join(parts) + "."

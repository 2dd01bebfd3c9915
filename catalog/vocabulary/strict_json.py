"""The one way bytes become values: the JSON policy that every body of the product is held to.

Refused, each with its own rule: invalid UTF-8, a byte order mark, duplicate keys, NaN and Infinity, numbers
beyond 64-bit integers or 40 significant characters, nesting beyond 32, NUL and other control characters,
unpaired surrogates. Numbers with a fraction become `Decimal`. See RFC 8259 and RFC 7493 (I-JSON).
"""

import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeVar

import msgspec

from catalog.vocabulary.problem import FieldError, Problem

DEPTH_MAX = 32
_INTEGER_MAX = 2**63 - 1
_NUMBER_CHARACTERS_MAX = 40
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_FORBIDDEN_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
# msgspec says where in the form `Expected … - at `$.lines[0].sku``.
_MSGSPEC_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_PATH_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

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
    if len(text) <= 20 and abs(value := int(text)) <= _INTEGER_MAX:
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
        rule, detail = "invalid-json", f"{error.msg} at byte offset {error.pos}"
    except RecursionError:
        rule, detail = "too-deep", f"objects and arrays are nested at most {DEPTH_MAX} deep"
    else:
        return value
    raise Problem("malformed-json", f"{detail}.", errors=(FieldError("", rule, detail),))


def pointer_of(steps: Iterable[str]) -> str:
    """A JSON pointer (RFC 6901) of unescaped steps."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _pointer_of_path(path: str) -> str:
    return pointer_of(key or index for key, index in _PATH_STEP.findall(path))


def field_error(error: msgspec.ValidationError) -> FieldError:
    """Where and why msgspec refused a value, as an entry of a problem's `errors`."""
    match = _MSGSPEC_PLACE.match(str(error))
    assert match is not None
    what = match["what"]
    pointer = _pointer_of_path(match["path"] or "")
    # The caller chose the name of an unknown field: it may hold backticks, or the words of another message.
    kind, _, named = what.partition(" `")
    at_name = pointer + pointer_of([named.removesuffix("`")])
    if kind == "Object missing required field":
        return FieldError(at_name, "required", "this field is required")
    if kind == "Object contains unknown field":
        return FieldError(at_name, "unknown-field", "no such field exists here; remove it")
    rule = "type" if what.startswith("Expected") and ", got" in what else "constraint"
    return FieldError(pointer, rule, what[0].lower() + what[1:])


def convert(value: Any, type_: type[T]) -> T:
    """Check decoded JSON against a struct; raises `Problem` invalid-input with the field, rule and remedy."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        found = field_error(error)
        where = found.pointer or "the body"
        raise Problem("invalid-input", f"{where}: {found.detail}.", errors=(found,)) from None

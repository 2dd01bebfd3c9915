"""Everything that is wrong with a decoded value, field by field. msgspec judges and stops at the first fault; only for a
value that it has refused does this look again, so what is right pays nothing for it.

Each finding is msgspec's own about a part of the value: a part is reported exactly when msgspec refuses that part.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import partial
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from catalog.vocabulary.alike import closest
from catalog.vocabulary.described import FORM
from catalog.vocabulary.problem import FieldError

ERRORS_MAX = 20
# Whoever sends rubbish by the megabyte does not get all of it explained: a look costs some microseconds, a fault up to
# forty, and no other call of the worker is answered meanwhile.
_LOOKS_MAX = 5_000
_FOUND_MAX = 500
_LISTS = (list, tuple, set, frozenset)
# msgspec says where in the form `Expected … - at `$.lines[0].sku``, and of a name in a mapping ` - at `key` in `$.labels``.
_MSGSPEC_PLACE = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`(?P<path>[^`]*)`)?$", re.DOTALL)
_PATH_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
# msgspec names types of Python's; readers know those of JSON (RFC 8259 section 3, and `integer` of JSON Schema).
_TYPES = re.compile(r"`[a-z]+(?: \| [a-z]+)*`")
_JSON_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "str": "string",
        "bytes": "string",
        "uuid": "string",
        "date": "string",
        "datetime": "string",
        "time": "string",
        "timedelta": "string",
        "int": "integer",
        "float": "number",
        "decimal": "number",
        "bool": "boolean",
    }
)


class WrongFields(msgspec.Struct, frozen=True):
    """The first twenty faults in the order of the document, at least one; `more` is how many were found beyond them."""

    errors: tuple[FieldError, ...]
    more: int


def pointer_of(steps: Iterable[str]) -> str:
    """A JSON pointer (RFC 6901) of unescaped steps."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def field_error(error: msgspec.ValidationError) -> FieldError:
    """Where and why msgspec refused a value, as an entry of a problem's `errors`."""
    match = _MSGSPEC_PLACE.match(str(error))
    assert match is not None
    what = match["what"]
    pointer = pointer_of(key or index for key, index in _PATH_STEP.findall(match["path"] or ""))
    if match["key"]:
        pointer += "/..."
    # The caller chose the name of an unknown field: it may hold backticks, or the words of another message.
    kind, _, named = what.partition(" `")
    at_name = pointer + pointer_of([named.removesuffix("`")])
    if kind == "Object missing required field":
        return _missing(at_name)
    if kind == "Object contains unknown field":
        return FieldError(at_name, "unknown-field", "no such field exists here; remove it")
    rule = "type" if what.startswith("Expected") and ", got" in what else "constraint"
    if what.startswith("Expected"):
        what = _TYPES.sub(_in_json, what)
    return FieldError(pointer, rule, what[0].lower() + what[1:])


def wrong_fields(value: Any, type_: Any) -> WrongFields:
    """What is wrong with a value that `msgspec.convert(value, type_)` refuses."""
    walk = _Walk()
    walk.look(value, type_, "")
    assert walk.errors, "only what msgspec refuses is explained"
    return WrongFields(tuple(walk.errors), walk.more)


def _in_json(types: re.Match[str]) -> str:
    """The types of one alternative after the other, each named once: `date | str | null` is `string | null`."""
    named = (_JSON_TYPES.get(one, one) for one in types[0].strip("`").split(" | "))
    return f"`{' | '.join(dict.fromkeys(named))}`"


class _Walk:
    """One pass over a refused value, depth first, in the order in which msgspec reads it."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.more = 0
        self._looks = 0

    def look(self, value: Any, type_: Any, pointer: str) -> None:
        """Collect what is wrong at and below a place."""
        if self._is_over:
            return
        self._looks += 1
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            found_before = self._found
            self._look_inside(value, type_, pointer, error)
            if self._found == found_before:
                self._add(partial(_explained, error, type_, pointer))

    @property
    def _is_over(self) -> bool:
        return self._looks >= _LOOKS_MAX or self._found >= _FOUND_MAX

    @property
    def _found(self) -> int:
        return len(self.errors) + self.more

    def _add(self, explain: Callable[[], FieldError]) -> None:
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(explain())
        else:
            self.more += 1

    def _look_inside(self, value: Any, type_: Any, pointer: str, error: msgspec.ValidationError) -> None:
        inner = fitting(value, type_)
        if inner is None:
            return
        if is_struct(inner):
            self._look_into_object(value, inner, pointer)
        elif " - at `" in str(error):  # else it is the list or mapping itself: too long, too short
            arguments = get_args(inner)
            if isinstance(value, Mapping):
                for key, entry in value.items():
                    if self._is_over:
                        return
                    place, found_before = pointer + pointer_of([str(key)]), self._found
                    self.look(key, arguments[0], place)
                    if self._found == found_before:
                        self.look(entry, arguments[1], place)
            else:
                for index, entry in enumerate(value):
                    if self._is_over:
                        return
                    self.look(entry, arguments[0], f"{pointer}/{index}")

    def _look_into_object(self, value: Mapping[Any, Any], type_: type[msgspec.Struct], pointer: str) -> None:
        config = type_.__struct_config__
        fields = {field.encode_name: field for field in msgspec.structs.fields(type_)}
        for name, entry in value.items():
            if self._is_over:
                return
            if (field := fields.get(name)) is not None:
                self.look(entry, field.type, pointer + pointer_of([name]))
            elif config.forbid_unknown_fields and isinstance(name, str) and name != config.tag_field:
                self._add(partial(_unknown, pointer + pointer_of([name]), name, fields))
        for name, field in fields.items():
            if field.required and name not in value:
                self._add(partial(_missing, pointer + pointer_of([name])))


def _missing(pointer: str) -> FieldError:
    return FieldError(pointer, "required", "this field is required")


def _unknown(pointer: str, name: str, known: Iterable[str]) -> FieldError:
    meant = closest(name, known)
    remedy = f"did you mean `{meant}`?" if meant else "remove it"
    return FieldError(pointer, "unknown-field", f"no such field exists here; {remedy}")


def _explained(error: msgspec.ValidationError, type_: Any, pointer: str) -> FieldError:
    """msgspec's finding at a place, with what to write instead where the type tells."""
    found = field_error(error)
    # msgspec writes `...` for a key of a free mapping: then the mapping is as near as can be told.
    inside = found.pointer.partition("/...")[0]
    detail = found.detail
    if not inside and detail.startswith("invalid enum value") and (known := tuple(_choices(type_))):
        allowed = _in_words(type_) or f"{'one of ' if len(known) > 1 else ''}{', '.join(map(_quoted, known))}"
        detail = f"{detail}; use {allowed}"
    elif not inside and " matching regex " in detail:
        detail = _form(type_)
    return FieldError(pointer + inside, found.rule, detail)


def _form(type_: Any) -> str:
    """What a text of this type looks like, in words and never as a regular expression: those that the type says of its
    form, else those of its description and examples."""
    if words := _in_words(type_):
        return f"{words} is needed"
    for meta in _metas(type_):
        if meta.pattern is not None:
            needed = (meta.description or "").rstrip(".")
            such_as = "such as " + ", ".join(map(_quoted, meta.examples[:3])) if meta.examples else ""
            if needed:
                return f"expected another form: {', '.join(filter(None, (needed, such_as)))}"
            if such_as:
                return f"write it {such_as}"
    return "expected another form; the schema in /openapi.json has it"


def _in_words(type_: Any) -> str | None:
    """What is allowed, as the type says it: see `catalog.vocabulary.described.worded`."""
    return next((meta.extra[FORM] for meta in _metas(type_) if meta.extra and FORM in meta.extra), None)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def alternatives(type_: Any) -> Iterator[Any]:
    """What a value may be, without annotations: `Annotated[A, …] | None` is A and None."""
    if get_origin(type_) is Annotated:
        yield from alternatives(type_.__origin__)
    elif get_origin(type_) in (Union, UnionType):
        for option in get_args(type_):
            yield from alternatives(option)
    else:
        yield type_


def _metas(type_: Any) -> Iterator[msgspec.Meta]:
    if get_origin(type_) is Annotated:
        yield from (one for one in type_.__metadata__ if isinstance(one, msgspec.Meta))
        yield from _metas(type_.__origin__)
    elif get_origin(type_) in (Union, UnionType):
        for option in get_args(type_):
            yield from _metas(option)


def _choices(type_: Any) -> Iterator[object]:
    for option in alternatives(type_):
        if get_origin(option) is Literal:
            yield from get_args(option)
        elif isinstance(option, type) and issubclass(option, Enum):
            yield from (member.value for member in option)


def is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def fitting(value: Any, type_: Any) -> Any | None:
    """The one alternative that such a value can have been meant for; None if there is none to look into."""
    if isinstance(value, Mapping):
        options = [
            one
            for one in alternatives(type_)
            if (is_struct(one) and _is_tagged_so(value, one)) or get_origin(one) is dict
        ]
    elif isinstance(value, list | tuple):
        options = [
            one
            for one in alternatives(type_)
            if get_origin(one) in _LISTS and (get_origin(one) is not tuple or get_args(one)[1:] == (...,))
        ]
    else:
        return None
    return options[0] if len(options) == 1 else None


def _is_tagged_so(value: Mapping[Any, Any], type_: type[msgspec.Struct]) -> bool:
    config = type_.__struct_config__
    if config.array_like:
        return False
    return config.tag_field is None or value.get(config.tag_field) == config.tag

"""What a request to /api asks, read as strictly as a call: credential, query parameters, JSON body."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.di import NamedDependency

from catalog.accounts.test_clock import sandbox_time_ns
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError, Language, Problem
from catalog.vocabulary.strict_json import convert, decode_json
from catalog.vocabulary.wrong_fields import pointer_of
from gateway.control.context import ControlContext
from gateway.control.endpoint import LIMIT_DEFAULT, LIMIT_MAX, FileForm
from gateway.edge import is_json
from gateway.proofs import Caller

ControlRequest = Request[Any, Any, Any]
T = TypeVar("T")

_PARAMETERS_MAX = 10


def provide_caller(request: ControlRequest, context: NamedDependency[ControlContext]) -> Caller:
    """Whose key this is: the same comparison as for a call. `Problem` unauthenticated otherwise."""
    credentials = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(credentials) > 1:
        raise Problem("malformed-request", "Send at most one Authorization header.")
    return context.authenticate(credentials[0] if credentials else None)


def read_query(request: ControlRequest, *allowed: str) -> Mapping[str, str]:
    """The query parameters; `Problem` invalid-input for one that is unknown, repeated or not UTF-8."""
    text = request.scope["query_string"]
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_PARAMETERS_MAX,
        )
    except ValueError:
        raise Problem(
            "malformed-request", "The query is not of the form name=value&name=value in UTF-8."
        ) from None
    for name, _ in pairs:
        if name not in allowed:
            known = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise refused_parameter(name[:64], "unknown-parameter", f"no such parameter exists here; {known}")
    query = dict(pairs)
    if len(query) != len(pairs):
        raise refused_parameter("", "repeated", "give each parameter once")
    return query


def read_limit(query: Mapping[str, str]) -> int:
    """The page size asked for; `Problem` invalid-input outside 1 to 1000."""
    text = query.get("limit", str(LIMIT_DEFAULT))
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= LIMIT_MAX:
        raise refused_parameter("limit", "range", f"a whole number from 1 to {LIMIT_MAX} is needed")
    return int(text)


def read_form(query: Mapping[str, str], *files: FileForm) -> FileForm | Literal["json"]:
    """The `format` asked for; `Problem` invalid-input for one that there is not."""
    asked = query.get("format", "json")
    for form in ("json", *files):
        if asked == form:
            return form  # type: ignore[return-value]
    raise refused_parameter("format", "enum", f"one of {', '.join(('json', *files))} is needed")


def read_language(query: Mapping[str, str]) -> Language:
    """The `language` asked for; `Problem` invalid-input for one that there is not."""
    match query.get("language", "en"):
        case "en" | "zh-CN" as language:
            return language
        case _:
            raise refused_parameter("language", "enum", "en or zh-CN is needed")


def read_period(text: str) -> Period:
    """The month of a `period`; `Problem` invalid-input if it is none."""
    try:
        return Period.parse(text)
    except ValueError as error:
        raise refused_parameter("period", "period", str(error)) from None


def read_month(query: Mapping[str, str], caller: Caller, now_ns: int) -> Period:
    """The `period` asked for, without one the month that is running on the account's calendar: with a test key, by the
    sandbox's clock where it has one. `Problem` invalid-input for one that is none."""
    if (text := query.get("period")) is not None:
        return read_period(text)
    return Period.of(time_in_books(caller, now_ns), caller.timezone)


def time_in_books(caller: Caller, now_ns: int) -> datetime:
    """What time it is where the caller's calls are booked: that of day, or of its sandbox where that has a clock."""
    if caller.test_clock_ns is not None:
        now_ns = sandbox_time_ns(caller.test_clock_ns, now_ns)
    return from_ns(now_ns)


def refused_parameter(name: str, rule: str, detail: str) -> Problem:
    """`Problem` invalid-input about one field; a query parameter has a pointer as if the query were an object."""
    pointer = pointer_of([name]) if name else ""
    return Problem(
        "invalid-input", f"{pointer or 'the query'}: {detail}.", errors=(FieldError(pointer, rule, detail),)
    )


async def read_body(request: ControlRequest, type_: type[T]) -> T:
    """The JSON body as a value, under the product's one JSON policy."""
    if not is_json(request.headers.get("content-type", "").encode("latin-1")):
        raise Problem("unsupported-media-type", "Send Content-Type: application/json in UTF-8.")
    if "content-encoding" in request.headers:
        raise Problem("unsupported-media-type", "Send the body without Content-Encoding.")
    return convert(decode_json(await request.body()), type_)


class Page(msgspec.Struct, frozen=True):
    """A stretch of a list that is held in memory."""

    start: int
    end: int
    more: bool


def page_of(ids: list[str], query: Mapping[str, str]) -> Page:
    """The stretch that `limit` and `after` ask for; `Problem` invalid-input if `after` is none of the ids."""
    limit = read_limit(query)
    start = 0
    if (last := query.get("after")) is not None:
        if last not in ids:
            raise refused_parameter("after", "reference", "use the `next` of the page before")
        start = ids.index(last) + 1
    return Page(start, start + limit, start + limit < len(ids))

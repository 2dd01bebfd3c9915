"""One route of the control plane as its contract describes it; declared beside the handler that answers it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from catalog.vocabulary.problem import LANGUAGES, Text

# The months of examples: pages put the last whole month, and the running one, in their place; and the time of the request
# in the place of a moment of the former.
MONTH_OVER = "2026-10"
MONTH_RUNNING = "2026-11"

JSON = "application/json"
FileForm = Literal["csv", "xlsx", "pdf"]
MEDIA_TYPES: Mapping[FileForm, str] = MappingProxyType(
    {
        "csv": "text/csv",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pdf": "application/pdf",
    }
)


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a path or a query; `schema` is JSON Schema."""

    name: str
    place: Literal["path", "query"]
    description: Text
    schema: dict[str, Any]


class Batch(msgspec.Struct, frozen=True):
    """Several requests in one body: the Content-Type of such an array, how many entries it has at most, and one that is
    accepted."""

    media_type: str
    entries_max: int
    example: Sequence[Mapping[str, Any]]


class Endpoint(msgspec.Struct, frozen=True):
    """Method and path (`/api/calls/{id}`), what is sent, what is answered, and which problems can come instead. `scopes`
    are those that the key needs; `example` is a body that is accepted as `media_type`; `files` are the forms that
    `format` can ask for besides JSON. Examples speak of the months `MONTH_OVER` and `MONTH_RUNNING`."""

    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: Text
    reply: type[msgspec.Struct]
    request: type[msgspec.Struct] | None = None
    example: Mapping[str, Any] | None = None
    media_type: str = JSON
    batch: Batch | None = None
    scopes: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    status: int = 200
    files: tuple[FileForm, ...] = ()


LIMIT_MAX = 1000
LIMIT_DEFAULT = 100

LIMIT = Parameter(
    "limit",
    "query",
    Text("How many entries a page has at most.", "每页最多条数。"),
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
)

SERVICE = Parameter(
    "service",
    "path",
    Text("Name of the service.", "服务名称。"),
    {"type": "string", "examples": ["address"]},
)

PERIOD_SCHEMA = {"type": "string", "pattern": r"^\d{4}-(0[1-9]|1[0-2])$", "examples": [MONTH_OVER]}

PERIOD = Parameter(
    "period",
    "query",
    Text("A month on the account's calendar; the running one if absent.", "账户时区的月份；不传则为当月。"),
    PERIOD_SCHEMA,
)

PERIOD_OF_DOCUMENT = Parameter("period", "path", Text("The month.", "月份。"), PERIOD_SCHEMA)

LANGUAGE = Parameter(
    "language",
    "query",
    Text("Of the words on xlsx and pdf.", "xlsx 与 pdf 上文字的语言。"),
    {"type": "string", "enum": list(LANGUAGES), "default": "en"},
)


def format_of(*files: FileForm) -> Parameter:
    """The `format` of an answer that is JSON or one of these."""
    return Parameter(
        "format",
        "query",
        Text("JSON, or a file for people.", "JSON，或供人阅读的文件。"),
        {"type": "string", "enum": ["json", *files], "default": "json"},
    )


def after(example: str) -> Parameter:
    """The `after` of a list whose `next` looks like `example`."""
    return Parameter(
        "after",
        "query",
        Text("`next` of the page before; absent for the first page.", "上一页的 next；首页不传。"),
        {"type": "string", "examples": [example]},
    )

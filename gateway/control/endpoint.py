"""One route of the control plane as its contract describes it; declared beside the handler that answers it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from catalog.vocabulary.problem import Text


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a path or a query; `schema` is JSON Schema."""

    name: str
    place: Literal["path", "query"]
    description: Text
    schema: dict[str, Any]


class Endpoint(msgspec.Struct, frozen=True):
    """Method and path (`/api/calls/{id}`), what is sent, what is answered, and which problems can come instead. `scopes`
    are those that the key needs; `example` is a body that is accepted."""

    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: Text
    reply: type[msgspec.Struct]
    request: type[msgspec.Struct] | None = None
    example: Mapping[str, Any] | None = None
    scopes: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    status: int = 200
    also_csv: bool = False


LIMIT_MAX = 1000
LIMIT_DEFAULT = 100

LIMIT = Parameter(
    "limit",
    "query",
    Text("How many entries a page has at most.", "每页最多条数。"),
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
)

FORMAT = Parameter(
    "format",
    "query",
    Text("`csv` is one table for a spreadsheet.", "csv 为可用电子表格打开的单表。"),
    {"type": "string", "enum": ["json", "csv"], "default": "json"},
)


def after(example: str) -> Parameter:
    """The `after` of a list whose `next` looks like `example`."""
    return Parameter(
        "after",
        "query",
        Text("`next` of the page before; absent for the first page.", "上一页的 next；首页不传。"),
        {"type": "string", "examples": [example]},
    )

"""/api/usage and /api/calls: what the account has used, in sum and one by one."""

from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import view
from billing.view import CallList, CallView, UsageView
from catalog.vocabulary.ids import parse_call_id
from catalog.vocabulary.problem import Problem, Text
from catalog.vocabulary.spreadsheet import csv_file
from gateway.api_key import shown_id
from gateway.control.answer import answer, file_answer
from gateway.control.asking import (
    ControlRequest,
    read_form,
    read_limit,
    read_month,
    read_query,
    refused_parameter,
)
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import LIMIT, PERIOD, Endpoint, Parameter, after, format_of
from gateway.proofs import Caller

_CALL_ID = "call_019a9d3c5a7e7c03a1f2b3c4d5e6f708"
_UUID_VERSION = 7


@get("/api/usage", name="read_usage")
async def read_usage(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """A month's usage and money so far, in the environment of the key."""
    query = read_query(request, "period", "format")
    form = read_form(query, "csv")
    period = read_month(query, caller, context.clock.now_ns())
    async with books.read(caller.account_id) as transaction:
        used = await view.usage(transaction, caller.account_id, caller.environment, period)
    if form == "json":
        return answer(used)
    return file_answer(csv_file(view.usage_csv(used)), f"usage-{used.environment}-{used.period}", "csv")


@get("/api/calls", name="list_calls")
async def list_calls(
    request: ControlRequest, caller: NamedDependency[Caller], books: NamedDependency[Books]
) -> Response[bytes]:
    """The account's calls in the environment of the key."""
    query = read_query(request, "limit", "after")
    limit = read_limit(query)
    last = None if (text := query.get("after")) is None else _event_id(text)
    if text is not None and last is None:
        raise refused_parameter("after", "reference", "use the `next` of the page before")
    async with books.read(caller.account_id) as transaction:
        page = await view.calls(transaction, caller.account_id, caller.environment, limit, last)
    return answer(CallList(tuple(_shown(call, caller) for call in page.data), page.next))


@get("/api/calls/{call_id:str}", name="read_call")
async def read_call(
    request: ControlRequest,
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    call_id: FromPath[str],
) -> Response[bytes]:
    """One call of the account."""
    read_query(request)
    event_id = _event_id(call_id)
    if event_id is not None:
        async with books.read(caller.account_id) as transaction:
            # The list is by descending id, so a call stands directly behind the id that follows its own.
            behind = UUID(int=event_id.int + 1)
            page = await view.calls(transaction, caller.account_id, caller.environment, 1, behind)
        if page.data and page.data[0].id == call_id:
            return answer(_shown(page.data[0], caller))
    raise Problem(
        "not-found", "The account has no such call on its books; a new one takes a second or two to appear."
    )


def _event_id(text: str) -> UUID | None:
    try:
        event_id = parse_call_id(text)
    except ValueError:
        return None
    return event_id if event_id.version == _UUID_VERSION else None


def _shown(call: CallView, caller: Caller) -> CallView:
    return msgspec.structs.replace(call, key_id=shown_id(caller.environment, call.key_id))


HANDLERS = (read_usage, list_calls, read_call)
ENDPOINTS = (
    Endpoint(
        "read_usage",
        "GET",
        "/api/usage",
        Text(
            "Calls, units and money of a month so far, by service and operation.",
            "某月迄今的调用数、单位数与金额，按服务与操作列示。",
        ),
        UsageView,
        parameters=(
            PERIOD,
            format_of("csv"),
        ),
        problems=("invalid-input",),
        files=("csv",),
    ),
    Endpoint(
        "list_calls",
        "GET",
        "/api/calls",
        Text("Your calls, latest first, each with its charge.", "您的调用记录，最新在前，每条附费用。"),
        CallList,
        parameters=(LIMIT, after(_CALL_ID)),
        problems=("invalid-input",),
    ),
    Endpoint(
        "read_call",
        "GET",
        "/api/calls/{call_id}",
        Text("One call by the id that its reply carried.", "按回复中的调用编号查询一次调用。"),
        CallView,
        parameters=(
            Parameter(
                "call_id",
                "path",
                Text("`Ordergate-Call-Id` of the reply.", "回复头 Ordergate-Call-Id 的值。"),
                {"type": "string", "examples": [_CALL_ID]},
            ),
        ),
        problems=("invalid-input", "not-found"),
    ),
)

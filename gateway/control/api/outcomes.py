"""/api/calls/{call_id}/outcome: what became of an answered call, as its payer saw it later."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import desk, view
from billing.view import Verdict
from catalog.passport import Passport
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import parse_call_id
from catalog.vocabulary.problem import Problem, Text
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, read_body, read_query
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import Endpoint, Parameter
from gateway.proofs import Caller

_CALL_ID = "call_019a9d3c5a7e7c03a1f2b3c4d5e6f708"


class NewOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict on a call. `outcome` is one that an objective of the service's SLA is about."""

    outcome: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    reason: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=500,
            description="What happened, in words for the provider; without personal data.",
        ),
    ]


@post("/api/calls/{call_id:str}/outcome", name="report_outcome")
async def report_outcome(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    call_id: FromPath[str],
) -> Response[bytes]:
    """The verdict as it is kept: it counts for the month from now on, unless the provider contests it."""
    read_query(request)
    event_id = _event_id(call_id)
    wanted = await read_body(request, NewOutcome)
    async with books.read(caller.account_id) as transaction:
        call = await view.paid_call(transaction, caller.account_id, caller.environment, event_id)
    passport = context.directory.current().catalogue.passports.get(call.operation.partition("/")[0])
    promised = _promised(passport, call.operation) if passport is not None else frozenset()
    async with books.write(caller.account_id) as transaction:
        verdict = await desk.report_outcome(
            transaction,
            call,
            wanted.outcome,
            wanted.reason,
            promised,
            f"key/{caller.key_id}",
            from_ns(context.clock.now_ns()),
        )
    return answer(verdict, 201)


@get("/api/calls/{call_id:str}/outcome", name="read_outcome")
async def read_outcome(
    request: ControlRequest,
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    call_id: FromPath[str],
) -> Response[bytes]:
    """The verdict on a call of the account and what became of it."""
    read_query(request)
    event_id = _event_id(call_id)
    async with books.read(caller.account_id) as transaction:
        await view.paid_call(transaction, caller.account_id, caller.environment, event_id)
        return answer(await view.verdict(transaction, event_id))


def _promised(passport: Passport, operation: str) -> frozenset[str]:
    """The outcomes that the objectives of an operation, or of its whole service, are about."""
    name = operation.partition("/")[2]
    return frozenset(
        objective.outcome
        for objective in passport.sla.objectives
        if objective.outcome is not None and objective.operation in (None, name)
    )


def _event_id(text: str) -> UUID:
    try:
        return parse_call_id(text)
    except ValueError:
        raise Problem("not-found", "A call is named as its reply named it: call_ and 32 digits.") from None


_CALL = Parameter(
    "call_id",
    "path",
    Text("`Ordergate-Call-Id` of the reply.", "回复头 Ordergate-Call-Id 的值。"),
    {"type": "string", "examples": [_CALL_ID]},
)
HANDLERS = (report_outcome, read_outcome)
ENDPOINTS = (
    Endpoint(
        "report_outcome",
        "POST",
        "/api/calls/{call_id}/outcome",
        Text(
            "Report what became of an answered call, such as papers that came back; once for each call.",
            "上报已答复调用的后续结果（例如单证被退回）；每次调用仅可上报一次。",
        ),
        Verdict,
        request=NewOutcome,
        example={"outcome": "rejected", "reason": "the parcel came back: no such house number"},
        parameters=(_CALL,),
        problems=("not-found", "conflict", "outcome-reported"),
        status=201,
    ),
    Endpoint(
        "read_outcome",
        "GET",
        "/api/calls/{call_id}/outcome",
        Text("The verdict on a call and whether it is contested.", "某次调用的结果结论及其争议状态。"),
        Verdict,
        parameters=(_CALL,),
        problems=("invalid-input", "not-found"),
    ),
)

"""/api/results: a month's proven results, and the payer's word on them: accepted at what they cost, or declined."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import desk, view
from billing.desk import Acceptance
from billing.view import Month, ResultStatement, ResultView
from catalog.accounts.account import find_account
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.described import described
from catalog.vocabulary.ids import parse_result_id
from catalog.vocabulary.money import decimal_of
from catalog.vocabulary.problem import Problem, Text
from gateway.control.answer import answer
from gateway.control.asking import (
    ControlRequest,
    read_body,
    read_limit,
    read_month,
    read_period,
    read_query,
    refused_parameter,
)
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import LIMIT, MONTH_OVER, PERIOD, Endpoint, Parameter, after
from gateway.control.texts import AmountText, MonthText
from gateway.proofs import Caller
from gateway.stores.keys import ALL_SCOPES

_RESULT_ID = "result_019a9d3c5a7e7c03a1f2b3c4d5e6f708"


class ResultAcceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The open results of a month, all of them, at the amount that its statement shows."""

    period: Annotated[MonthText, described("The month.", "月份。")]
    total: Annotated[
        AmountText,
        described(
            "`total.amount` of the statement: with another amount nothing is accepted.",
            "结算说明中的 `total.amount`；金额不一致则不确认任何结果。",
        ),
    ]


class ResultRefusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a result is not agreed to."""

    reason: Annotated[
        str,
        described(
            "Why, in words for the provider; without personal data.",
            "原因（供服务方阅读，不含个人信息）。",
            min_length=1,
            max_length=500,
        ),
    ]


@get("/api/results", name="read_results")
async def read_results(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """A month's results in the environment of the key."""
    query = read_query(request, "period", "limit", "after")
    limit = read_limit(query)
    behind = None if (text := query.get("after")) is None else _parsed(text)
    if text is not None and behind is None:
        raise refused_parameter("after", "reference", "use the `next` of the page before")
    period = read_month(query, caller, context.clock.now_ns())
    month = Month(caller.account_id, caller.environment, period)
    async with books.read(caller.account_id) as transaction:
        return answer(await view.result_statement(transaction, month, limit, behind))


@post("/api/results/accept", name="accept_results", status_code=200)
async def accept_results(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """What was accepted: usage of its month from now on."""
    read_query(request)
    _check_may_agree(caller)
    wanted = await read_body(request, ResultAcceptance)
    month = Month(caller.account_id, caller.environment, read_period(wanted.period))
    async with books.write(caller.account_id) as transaction:
        accepted = await desk.accept_results(
            transaction,
            month,
            decimal_of(wanted.total),
            f"key/{caller.key_id}",
            from_ns(context.clock.now_ns()),
        )
    return answer(accepted)


@post("/api/results/{result_id:str}/decline", name="decline_result", status_code=200)
async def decline_result(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    result_id: FromPath[str],
) -> Response[bytes]:
    """The result as it stands now: not billed unless the provider states it anew."""
    read_query(request)
    _check_may_agree(caller)
    asked = _parsed(result_id)
    if asked is None:
        raise Problem("not-found", "A result is named as /api/results names it: result_ and 32 digits.")
    wanted = await read_body(request, ResultRefusal)
    async with books.write(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
        declined = await desk.decline_result(
            transaction,
            asked,
            caller.environment,
            wanted.reason,
            f"key/{caller.key_id}",
            from_ns(context.clock.now_ns()),
        )
    return answer(view.result_view(declined, account.currency))


def _check_may_agree(caller: Caller) -> None:
    """What is agreed to is money, so a key that may only call does not agree to it."""
    if "*" not in caller.scopes:
        raise Problem("forbidden", "Results are accepted and declined by a key with the scope `*`.")


def _parsed(text: str) -> UUID | None:
    try:
        return parse_result_id(text)
    except ValueError:
        return None


HANDLERS = (read_results, accept_results, decline_result)
ENDPOINTS = (
    Endpoint(
        "read_results",
        "GET",
        "/api/results",
        Text(
            "The proven results of a month, by operation and one by one, and what the open ones will cost.",
            "某月经证实的成果：按操作汇总并逐项列示，以及待确认成果的费用。",
        ),
        ResultStatement,
        parameters=(
            PERIOD,
            LIMIT,
            after(_RESULT_ID),
        ),
        problems=("invalid-input",),
    ),
    Endpoint(
        "accept_results",
        "POST",
        "/api/results/accept",
        Text(
            "Accept a month's open results at the amount that its statement shows. Only then are they billed.",
            "按结算说明所示金额确认某月的待确认成果；确认后才计费。",
        ),
        Acceptance,
        request=ResultAcceptance,
        example={"period": MONTH_OVER, "total": "536999.83"},
        scopes=ALL_SCOPES,
        problems=("forbidden", "conflict"),
    ),
    Endpoint(
        "decline_result",
        "POST",
        "/api/results/{result_id}/decline",
        Text(
            "Decline a result: it is not billed unless the provider states it anew.",
            "不认可某项成果：除非服务方重新提出，否则不计费。",
        ),
        ResultView,
        request=ResultRefusal,
        example={"reason": "these shipments were cleared by us"},
        parameters=(
            Parameter(
                "result_id",
                "path",
                Text("Its id, as /api/results names it.", "编号，见 /api/results。"),
                {"type": "string", "examples": [_RESULT_ID]},
            ),
        ),
        scopes=ALL_SCOPES,
        problems=("forbidden", "not-found", "conflict"),
    ),
)

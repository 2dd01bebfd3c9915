"""/api/invoices/{period}/disputes, …/approval, …/chargeback and /api/allocations: a payer settles a document."""

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from billing import desk, view
from billing.desk import Approval
from billing.view import Chargeback, Dispute, DisputePage, Document, Month
from catalog.accounts.account import find_account
from catalog.accounts.allocation import AllocationPart, AllocationRule, list_allocations
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.money import decimal_of
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem, Text
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, read_body, read_limit, read_query, refused_parameter
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import LIMIT, MONTH_RUNNING, PERIOD_OF_DOCUMENT, Endpoint, after
from gateway.control.texts import AmountText
from gateway.proofs import Caller

_PATH = "/api/invoices/{period:str}"
_REASON = msgspec.Meta(
    min_length=1, max_length=500, description="Why, in words for the provider; without personal data."
)


class NewDispute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is contested: a `line` of the document by its position, or a `call` that is charged on it; one of them."""

    amount: AmountText
    reason: Annotated[str, _REASON]
    line: Annotated[int, msgspec.Meta(ge=1)] | None = None
    call: str | None = None


class NewApproval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The amount that is accepted, so that a draft that moved meanwhile is not; without it, whatever it is now."""

    total: str | None = None


class NewAllocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A split of the bill; without `parts` an earlier one of the scope ends."""

    effective_from: Annotated[str, msgspec.Meta(description="The first month, such as 2026-10.")]
    parts: tuple[AllocationPart, ...]
    scope: Annotated[str, msgspec.Meta(description="Empty, customs, or customs/check.")] = ""


class AllocationList(msgspec.Struct, frozen=True):
    """The account's rules in the order of their months; `next` is always null."""

    data: tuple[AllocationRule, ...]
    next: str | None = None


@post(f"{_PATH}/disputes", name="open_dispute")
async def open_dispute(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    period: FromPath[str],
) -> Response[bytes]:
    """The dispute as it is kept; its amount is held until the provider has decided."""
    read_query(request)
    month = _month(caller, period)
    wanted = await read_body(request, NewDispute)
    async with books.read(caller.account_id) as transaction:
        document = await view.document(transaction, month)
        contested = await desk.find_contested(
            transaction,
            document,
            line=wanted.line,
            call=wanted.call,
            amount=decimal_of(wanted.amount),
            reason=wanted.reason,
        )
    async with books.write(caller.account_id) as transaction:
        made = await desk.open_dispute(
            transaction, document, contested, f"key/{caller.key_id}", from_ns(context.clock.now_ns())
        )
    return answer(made, 201)


@get(f"{_PATH}/disputes", name="list_disputes")
async def list_disputes(
    request: ControlRequest,
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    period: FromPath[str],
) -> Response[bytes]:
    """What was contested of a month's document, oldest first."""
    query = read_query(request, "limit", "after")
    month, limit = _month(caller, period), read_limit(query)
    async with books.read(caller.account_id) as transaction:
        # `Problem` not-found where there is no document to dispute.
        await view.document(transaction, month)
        return answer(await view.disputes(transaction, month, limit, query.get("after")))


@post(f"{_PATH}/approval", name="approve_document")
async def approve_document(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    period: FromPath[str],
) -> Response[bytes]:
    """The approval of a month's document at the amount that it has."""
    read_query(request)
    month = _month(caller, period)
    wanted = await read_body(request, NewApproval) if await request.body() else NewApproval()
    async with books.read(caller.account_id) as transaction:
        document: Document = await view.document(transaction, month)
    if wanted.total not in (None, document.total):
        raise Problem(
            "conflict",
            f"The document comes to {document.total} {document.currency} now: read it again before approving it.",
        )
    async with books.write(caller.account_id) as transaction:
        return answer(
            await desk.approve(transaction, document, f"key/{caller.key_id}", from_ns(context.clock.now_ns()))
        )


@get(f"{_PATH}/chargeback", name="read_chargeback")
async def read_chargeback(
    request: ControlRequest,
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    period: FromPath[str],
) -> Response[bytes]:
    """A month's document on the account's cost centres."""
    read_query(request)
    async with books.read(caller.account_id) as transaction:
        return answer(await view.chargeback(transaction, _month(caller, period)))


@get("/api/allocations", name="list_allocations")
async def list_allocations_(
    request: ControlRequest, caller: NamedDependency[Caller], books: NamedDependency[Books]
) -> Response[bytes]:
    """How the account splits its bill over its cost centres."""
    read_query(request)
    async with books.read(caller.account_id) as transaction:
        return answer(AllocationList(await list_allocations(transaction, caller.account_id)))


@post("/api/allocations", name="set_allocation")
async def set_allocation(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """The rule as it is kept, in force from its month on."""
    read_query(request)
    wanted = await read_body(request, NewAllocation)
    try:
        effective_from = Period.parse(wanted.effective_from)
    except ValueError as error:
        raise refused_parameter("effective_from", "period", str(error)) from None
    async with books.write(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
        rule = await desk.allocate(
            transaction,
            account,
            wanted.scope,
            effective_from,
            wanted.parts,
            actor=f"key/{caller.key_id}",
            now=from_ns(context.clock.now_ns()),
        )
    return answer(rule, 201)


def _month(caller: Caller, period: str) -> Month:
    try:
        return Month(caller.account_id, caller.environment, Period.parse(period))
    except ValueError:
        raise Problem("not-found", "A document is named by its month, such as 2026-10.") from None


HANDLERS = (
    open_dispute,
    list_disputes,
    approve_document,
    read_chargeback,
    list_allocations_,
    set_allocation,
)
ENDPOINTS = (
    Endpoint(
        "open_dispute",
        "POST",
        "/api/invoices/{period}/disputes",
        Text(
            "Contest a line of a document, or a call on it; the amount is held until it is decided; a rejection is final.",
            "对结算单或发票的某一行（或其中某次调用）提出争议；裁决前该金额暂挂；驳回为最终结果。",
        ),
        Dispute,
        request=NewDispute,
        example={"line": 1, "amount": "0.05", "reason": "the call of 14:02 was made twice"},
        parameters=(PERIOD_OF_DOCUMENT,),
        problems=("not-found", "conflict"),
        status=201,
    ),
    Endpoint(
        "list_disputes",
        "GET",
        "/api/invoices/{period}/disputes",
        Text("What you contested of a month, oldest first.", "某月的争议，最早的在前。"),
        DisputePage,
        parameters=(PERIOD_OF_DOCUMENT, LIMIT, after("dsp_k5w2q7d3m4x6n8p2")),
        problems=("invalid-input", "not-found"),
    ),
    Endpoint(
        "approve_document",
        "POST",
        "/api/invoices/{period}/approval",
        Text(
            "Accept a month's document at the amount that it shows.",
            "按所示金额确认某月的结算单或发票。",
        ),
        Approval,
        request=NewApproval,
        example={},
        parameters=(PERIOD_OF_DOCUMENT,),
        problems=("not-found", "conflict"),
    ),
    Endpoint(
        "read_chargeback",
        "GET",
        "/api/invoices/{period}/chargeback",
        Text("A month's document split over your cost centres.", "某月账单在成本中心之间的分摊。"),
        Chargeback,
        parameters=(PERIOD_OF_DOCUMENT,),
        problems=("invalid-input", "not-found"),
    ),
    Endpoint(
        "list_allocations",
        "GET",
        "/api/allocations",
        Text("How you split your bill over cost centres.", "您的成本中心分摊规则。"),
        AllocationList,
        problems=("invalid-input",),
    ),
    Endpoint(
        "set_allocation",
        "POST",
        "/api/allocations",
        Text(
            "Split your bill, a service or an operation by percentages from a month on.",
            "自某月起按百分比分摊整张账单、某项服务或某个操作。",
        ),
        AllocationRule,
        request=NewAllocation,
        example={
            "scope": "address",
            "effective_from": MONTH_RUNNING,
            "parts": [
                {"cost_centre_id": "电商平台", "percent": "60"},
                {"cost_centre_id": "连锁商超", "percent": "40"},
            ],
        },
        problems=("conflict",),
        status=201,
    ),
)

"""/api/usage/events: usage from elsewhere, as CloudEvents 1.0 (JSON), one by one or in batches."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency

from billing.desk import Reception, Report, accept
from catalog.load import PublishedOperation
from catalog.usage_event import UsageEvent, is_billable
from catalog.vocabulary.clock import from_ns, to_ns
from catalog.vocabulary.ids import call_id_text, new_event_id
from catalog.vocabulary.money import decimal_of, plain
from catalog.vocabulary.problem import FieldError, Problem, Text
from catalog.vocabulary.strict_json import convert, decode_json
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, read_query
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import MONTH_OVER, Batch, Endpoint
from gateway.proofs import Caller
from gateway.stores.scopes import REPORT_USAGE

SCOPE = REPORT_USAGE
TYPE = "ordergate.usage.v1"
BATCH_MAX = 1000
AGE_MAX = timedelta(days=400)
# A sender's clock may be a little ahead of ours.
AHEAD_MAX = timedelta(minutes=5)

_BODY_BYTES_MAX = 1024 * 1024
_SINGLE = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_UNITS_MAX = decimal_of("1000000000")
_NOTHING = decimal_of("0")


class ReportedUsage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happened: how many units, and whether it was done (`ok`) or turned down (`declined`)."""

    units: Annotated[str, msgspec.Meta(max_length=40, description="A decimal string, above zero.")] = "1"
    class_: Literal["ok", "declined"] = msgspec.field(default="ok", name="class")


class UsageCloudEvent(msgspec.Struct, frozen=True):
    """A CloudEvent. `source` and `id` name it for ever; `subject` is the operation; extension attributes are ignored."""

    specversion: Literal["1.0"]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    type: Literal["ordergate.usage.v1"]
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=130, description="`stock/adjust`")]
    time: Annotated[datetime, msgspec.Meta(tz=True, description="When it happened.")]
    data: ReportedUsage = ReportedUsage()
    datacontenttype: Literal["application/json"] = "application/json"


class ReportResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event. A `conflict` came before with other content: the earlier one, `call_id`, stands."""

    index: int
    result: Reception | Literal["refused"]
    id: str | None = None
    source: str | None = None
    call_id: str | None = None
    errors: tuple[FieldError, ...] = ()


class ReportReply(msgspec.Struct, frozen=True):
    """How many events met which end, and each of them in the order in which they were sent."""

    accepted: int
    duplicates: int
    conflicts: int
    refused: int
    results: tuple[ReportResult, ...]


class _Refused(Exception):
    """An event that cannot be taken; the rest of its batch can."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors[0].detail)
        self.errors = tuple(errors)


@post(
    "/api/usage/events",
    name="report_usage",
    status_code=200,
    request_max_body_size=_BODY_BYTES_MAX,
)
async def report_usage(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """Everything that is accepted is stored before this answers; what was sent before is told from what is new.

    It happened, so no quota, budget or credit refuses it; but it counts against them, and metered calls stop for it.
    """
    read_query(request)
    if "*" not in caller.scopes and SCOPE not in caller.scopes:
        raise Problem("forbidden", f"The scopes of this key do not include {SCOPE}.")
    items = await _items(request)
    now_ns = context.clock.now_ns()
    on_sale = context.directory.current().catalogue.operations.values()
    operations = {one.id: one for one in on_sale if caller.is_offered(one)}
    refused: dict[int, tuple[FieldError, ...]] = {}
    reports: dict[int, Report] = {}
    for index, item in enumerate(items):
        try:
            reports[index] = _report(item, caller, operations, now_ns)
        except _Refused as why:
            refused[index] = why.errors
    async with books.write(caller.account_id) as transaction:
        received = await accept(
            transaction,
            caller.account_id,
            caller.environment,
            caller.timezone,
            list(reports.values()),
            from_ns(now_ns),
        )
    results = {
        index: ReportResult(index, "refused", *_name(items[index]), errors=why)
        for index, why in refused.items()
    }
    for (index, report), one in zip(reports.items(), received, strict=True):
        results[index] = ReportResult(
            index, one.reception, report.id, report.source, call_id_text(one.event_id)
        )
    return answer(_reply([results[index] for index in range(len(items))]))


def _reply(results: Sequence[ReportResult]) -> ReportReply:
    def count(result: str) -> int:
        return sum(one.result == result for one in results)

    return ReportReply(
        count("accepted"), count("duplicate"), count("conflict"), count("refused"), tuple(results)
    )


async def _items(request: ControlRequest) -> list[Any]:
    type_ = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if type_ not in (_SINGLE, _BATCH) or "content-encoding" in request.headers:
        raise Problem(
            "unsupported-media-type",
            f"Send {_SINGLE} for one event or {_BATCH} for an array of them, without Content-Encoding.",
        )
    body = decode_json(await request.body())
    if type_ == _SINGLE:
        return [body]
    if not isinstance(body, list) or not 1 <= len(body) <= BATCH_MAX:
        detail = f"a batch is an array of 1 to {BATCH_MAX} events"
        raise Problem("invalid-input", f"{detail}.", errors=(FieldError("", "batch", detail),))
    return body


def _report(item: Any, caller: Caller, operations: dict[str, PublishedOperation], now_ns: int) -> Report:
    try:
        event = convert(item, UsageCloudEvent)
    except Problem as problem:
        raise _Refused(problem.errors) from None
    moment = event.time
    now = from_ns(now_ns)
    if not now - AGE_MAX <= moment <= now + AHEAD_MAX:
        raise _Refused(
            [
                FieldError(
                    "/time",
                    "range",
                    f"report what happened in the last {AGE_MAX.days} days, not later than now",
                )
            ]
        )
    operation = operations.get(event.subject)
    if operation is None:
        raise _Refused([FieldError("/subject", "reference", f"no operation {event.subject!r} is on sale")])
    try:
        units = decimal_of(event.data.units)
    except ValueError as error:
        raise _Refused([FieldError("/data/units", "decimal", str(error))]) from None
    if not 0 < units <= _UNITS_MAX:
        raise _Refused([FieldError("/data/units", "range", f"above 0 and at most {plain(_UNITS_MAX)}")])
    occurred_at_ns = to_ns(moment)
    subscription = caller.subscription_to(operation.service, occurred_at_ns)
    price = subscription and operation.price_at(
        subscription.plan_id, caller.currency, caller.timezone, subscription.priced_at_ns(occurred_at_ns)
    )
    if not subscription or not price:
        detail = f"the account had no subscription with a price for {operation.id} at that time"
        raise _Refused([FieldError("/time", "not-subscribed", detail)])
    # What happened elsewhere has no request to take dimensions from: a matrix has its default for it, or no price.
    if (price := price.of(())) is None:
        detail = f"{operation.id} has no price for what was done without a call"
        raise _Refused([FieldError("/subject", "not-priced", detail)])
    billable = is_billable(price.billable_on, event.data.class_)
    said = (event.subject, occurred_at_ns, plain(units.normalize()), event.data.class_)
    return Report(
        event.source,
        event.id,
        hashlib.sha256(msgspec.json.encode(said)).digest(),
        UsageEvent(
            id=new_event_id(occurred_at_ns).hex,
            occurred_at_ns=occurred_at_ns,
            environment=caller.environment,
            account_id=caller.account_id,
            application_id=caller.application_id,
            key_id=caller.key_id,
            cost_centre_id=caller.cost_centre_id,
            subscription_id=subscription.id,
            operation=operation.id,
            passport_version=operation.passport_version,
            class_=event.data.class_,
            outcome="success" if event.data.class_ == "ok" else "business_refusal",
            fault="none",
            billable=billable,
            units=plain(units) if billable else "0",
            price_version=price.id,
            payer=caller.account_id,
            status=200,
            latency_us=0,
        ),
        price.amount(units) if billable else _NOTHING,
        operation.quotas,
    )


def _name(item: Any) -> tuple[str | None, str | None]:
    """Id and source of an event that was refused, as far as it has them."""
    if not isinstance(item, dict):
        return None, None
    id_, source = item.get("id"), item.get("source")
    return (
        id_[:200] if isinstance(id_, str) else None,
        source[:200] if isinstance(source, str) else None,
    )


HANDLERS = (report_usage,)
ENDPOINTS = (
    Endpoint(
        "report_usage",
        "POST",
        "/api/usage/events",
        Text(
            "Usage that happened elsewhere, as CloudEvents 1.0: one event or a batch of up to 1,000. Each is taken once.",
            "上报在别处发生的用量（CloudEvents 1.0）：单条或每批至多 1,000 条，每条只计一次。",
        ),
        ReportReply,
        request=UsageCloudEvent,
        example={
            "specversion": "1.0",
            "type": TYPE,
            "source": "/hefei/edge-box-7",
            "id": f"{MONTH_OVER}-05-000123",
            "subject": "stock/adjust",
            "time": f"{MONTH_OVER}-05T08:30:00Z",
            "data": {"units": "1"},
        },
        media_type=_SINGLE,
        batch=Batch(_BATCH, BATCH_MAX),
        scopes=(SCOPE,),
        problems=("forbidden",),
    ),
)

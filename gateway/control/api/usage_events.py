"""/api/usage/events: usage from elsewhere, as CloudEvents 1.0 (JSON), one by one or in batches."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency

from billing.desk import Correction, Reception, Report, accept
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import call_id_text
from catalog.vocabulary.problem import FieldError, Problem, Text
from catalog.vocabulary.strict_json import decode_json
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, read_query
from gateway.control.books import Books
from gateway.control.cloud_event import TYPE, EventRefused, UsageCloudEvent, read_event
from gateway.control.context import ControlContext
from gateway.control.endpoint import MONTH_OVER, Batch, Endpoint
from gateway.proofs import Caller
from gateway.stores.scopes import REPORT_USAGE

SCOPE = REPORT_USAGE
BATCH_MAX = 1000

_BODY_BYTES_MAX = 1024 * 1024
_SINGLE = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"


class ReportResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event. A `conflict` came before with other content: the earlier one, `call_id`, stands, and `errors`
    say in what it differs. `call_id` of a correction is that of the event that it corrects."""

    index: int
    result: Reception
    id: str | None = None
    source: str | None = None
    call_id: str | None = None
    errors: tuple[FieldError, ...] = ()


class ReportReply(msgspec.Struct, frozen=True):
    """How many events met which end, and each of them in the order in which they were sent. The status says that they were
    read: it is 200 also where the only one is refused."""

    accepted: int
    duplicates: int
    conflicts: int
    refused: int
    results: tuple[ReportResult, ...]


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
    reports: dict[int, Report | Correction] = {}
    for index, item in enumerate(items):
        try:
            reports[index] = read_event(item, caller, operations, now_ns)
        except EventRefused as why:
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
        call_id = None if one.event_id is None else call_id_text(one.event_id)
        results[index] = ReportResult(index, one.reception, report.id, report.source, call_id, one.errors)
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


def _name(item: Any) -> tuple[str | None, str | None]:
    """Id and source of an event that was refused, as far as it has them."""
    if not isinstance(item, dict):
        return None, None
    id_, source = item.get("id"), item.get("source")
    return (
        id_[:200] if isinstance(id_, str) else None,
        source[:200] if isinstance(source, str) else None,
    )


_EVENT = {
    "specversion": "1.0",
    "type": TYPE,
    "source": "/hefei/edge-box-7",
    "id": f"{MONTH_OVER}-05-000123",
    "subject": "stock/adjust",
    "time": f"{MONTH_OVER}-05T08:30:00Z",
    "data": {"units": "1"},
}
_CORRECTION = {**_EVENT, "id": f"{_EVENT['id']}-void", "corrects": _EVENT["id"], "data": {"units": "0"}}
HANDLERS = (report_usage,)
ENDPOINTS = (
    Endpoint(
        "report_usage",
        "POST",
        "/api/usage/events",
        Text(
            "Usage that happened elsewhere, as CloudEvents 1.0: one event or a batch of up to 1,000. Each is taken once. "
            "A wrong quantity is corrected by another event that names the first in `corrects`; `0` voids it.",
            "上报在别处发生的用量（CloudEvents 1.0）：单条或每批至多 1,000 条，每条只计一次。"
            "数量有误时，另发一条以 `corrects` 指明原事件的更正；数量为 `0` 即作废。",
        ),
        ReportReply,
        request=UsageCloudEvent,
        example=_EVENT,
        media_type=_SINGLE,
        batch=Batch(_BATCH, BATCH_MAX, (_EVENT, _CORRECTION)),
        scopes=(SCOPE,),
        problems=("forbidden",),
    ),
)

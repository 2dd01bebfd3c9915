"""A CloudEvent 1.0 (JSON) of an account's source becomes what billing takes in: a report, or a correction of one."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from billing.desk import Correction, Report
from catalog.load import AppliedPrice, PublishedOperation
from catalog.meter import VALUE_LENGTH_MAX, Dimensions, given
from catalog.plan.price import Matrix
from catalog.usage_event import UsageEvent, is_billable
from catalog.vocabulary.alike import closest_operation
from catalog.vocabulary.clock import from_ns, to_ns
from catalog.vocabulary.described import described
from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.money import decimal_of, plain
from catalog.vocabulary.problem import FieldError, Problem
from catalog.vocabulary.strict_json import convert
from catalog.vocabulary.wrong_fields import ERRORS_MAX, pointer_of
from gateway.proofs import Caller

TYPE = "ordergate.usage.v1"
AGE_MAX = timedelta(days=400)
# A sender's clock may be a little ahead of ours.
AHEAD_MAX = timedelta(minutes=5)

_UNITS_MAX = decimal_of("1000000000")
_NOTHING = decimal_of("0")


class ReportedUsage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happened: how many units, and whether it was done (`ok`) or turned down (`declined`)."""

    units: Annotated[
        str,
        described(
            "A decimal string, above zero. Of a correction: the new quantity of the whole, `0` if nothing is left of it.",
            "十进制字符串，须大于零。用于更正时：更正后的总量，`0` 表示全部作废。",
            max_length=40,
        ),
    ] = "1"
    class_: Annotated[
        Literal["ok", "declined"],
        described("`declined`: turned down for a business reason.", "`declined`：因业务原因被拒绝。"),
    ] = msgspec.field(default="ok", name="class")
    dimensions: Annotated[
        dict[str, Annotated[str, msgspec.Meta(max_length=VALUE_LENGTH_MAX)]],
        described(
            "What the operation may be priced by: values of the dimensions that its meter names, printable text. One that is "
            "left out has the empty text.",
            "计价可依据的维度：取操作计量所列维度名，值为可打印文本；未给出的维度视为空文本。",
        ),
    ] = {}


class UsageCloudEvent(msgspec.Struct, frozen=True):
    """A CloudEvent. `source` and `id` name it for ever; `subject` is the operation; `corrects` makes it a correction, which
    repeats `subject`, `time`, `data.class` and `data.dimensions` of the event. Other extension attributes are ignored."""

    specversion: Literal["1.0"]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    type: Literal["ordergate.usage.v1"]
    subject: Annotated[str, described("`stock/adjust`", "`stock/adjust`", min_length=1, max_length=130)]
    time: Annotated[datetime, described("When it happened.", "发生时间。", tz=True)]
    data: ReportedUsage = ReportedUsage()
    datacontenttype: Literal["application/json"] = "application/json"
    corrects: (
        Annotated[
            str,
            described(
                "Of a correction: the `id`, within `source`, of the event whose `data.units` are said anew; of its last "
                "correction if it has one. It may stand earlier in the same batch.",
                "用于更正：同一 `source` 中被更正事件的 `id`，其 `data.units` 以本条为准；已更正过的，填最近一次更正的 `id`。"
                "可以是同一批次中排在前面的事件。",
                min_length=1,
                max_length=200,
            ),
        ]
        | None
    ) = None


class EventRefused(Exception):
    """An event that cannot be taken; the rest of its batch can."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__(errors[0].detail)
        self.errors = errors


def read_event(
    item: Any, caller: Caller, operations: Mapping[str, PublishedOperation], now_ns: int
) -> Report | Correction:
    """What one entry of a batch reports of the caller's usage, by operations that are on offer to it; `EventRefused` with
    every reason where it cannot be taken.

    What a correction has to repeat is held against what was reported, and not against what is on sale by now.
    """
    try:
        event = convert(item, UsageCloudEvent)
    except Problem as problem:
        raise EventRefused(*problem.errors) from None
    now = from_ns(now_ns)
    if not now - AGE_MAX <= event.time <= now + AHEAD_MAX:
        detail = f"report what happened in the last {AGE_MAX.days} days, not later than now"
        raise EventRefused(FieldError("/time", "range", detail))
    units = _units(event)
    if event.corrects is None:
        return _report(event, units, caller, operations)
    return Correction(
        event.source,
        event.id,
        _content_hash(event, units),
        event.corrects,
        event.subject,
        to_ns(event.time),
        event.data.class_,
        tuple(event.data.dimensions.items()),
        units,
        caller.key_id,
    )


def _units(event: UsageCloudEvent) -> Decimal:
    try:
        units = decimal_of(event.data.units)
    except ValueError as error:
        raise EventRefused(FieldError("/data/units", "decimal", str(error))) from None
    corrects = event.corrects is not None
    if units > _UNITS_MAX or units < 0 or not (units or corrects):
        detail = f"{'0 or more' if corrects else 'above 0'} and at most {plain(_UNITS_MAX)}"
        if units <= 0 and not corrects:
            detail += "; an earlier event is lowered or voided by a correction, which names it in `corrects`"
        raise EventRefused(FieldError("/data/units", "range", detail))
    return units


def _content_hash(event: UsageCloudEvent, units: Decimal) -> bytes:
    """Of everything that an event says: what is told apart here is another event. What has neither dimensions nor a
    correction has the hash that it had before there were any."""
    said: tuple[object, ...] = (
        event.subject,
        to_ns(event.time),
        plain(units.normalize()),
        event.data.class_,
    )
    dimensions = given(event.data.dimensions.items()) if event.data.dimensions else ()
    if dimensions or event.corrects is not None:
        said = (*said, dimensions, event.corrects)
    return hashlib.sha256(msgspec.json.encode(said)).digest()


def _report(
    event: UsageCloudEvent, units: Decimal, caller: Caller, operations: Mapping[str, PublishedOperation]
) -> Report:
    operation = operations.get(event.subject)
    if operation is None:
        meant = closest_operation(event.subject, operations)
        hint = f"; did you mean `{meant}`?" if meant else ""
        detail = f"no operation {event.subject!r} is on sale{hint}"
        raise EventRefused(FieldError("/subject", "reference", detail))
    occurred_at_ns = to_ns(event.time)
    subscription = caller.subscription_to(operation.service, occurred_at_ns)
    price = subscription and operation.price_at(
        subscription.plan_id,
        caller.currency,
        caller.timezone,
        occurred_at_ns,
        subscription.prices_as_of_ns,
    )
    if not subscription or not price:
        detail = f"the account had no subscription with a price for {operation.id} at that time"
        raise EventRefused(FieldError("/time", "not-subscribed", detail))
    dimensions = _dimensions(event, operation) if event.data.dimensions else ()
    price = _combination(price, operation, dimensions)
    billable = is_billable(price.billable_on, event.data.class_)
    return Report(
        event.source,
        event.id,
        _content_hash(event, units),
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
            dimensions=dimensions,
        ),
        price.amount(units) if billable else _NOTHING,
        operation.quotas,
    )


def _dimensions(event: UsageCloudEvent, operation: PublishedOperation) -> Dimensions:
    """The values of all dimensions of the operation's meter, in its order, as a call keeps them."""
    known, said = operation.entry.meter.dimension_pointers, event.data.dimensions
    errors = []
    for name, value in said.items():
        if name not in known:
            detail = (
                f"{operation.id} has {', '.join(known) or 'no dimensions'}; leave out what it does not have"
            )
            errors.append(FieldError(pointer_of(["data", "dimensions", name]), "reference", detail))
        elif not value.isprintable():
            detail = "write printable text"
            errors.append(FieldError(pointer_of(["data", "dimensions", name]), "printable", detail))
    if errors:
        raise EventRefused(*errors[:ERRORS_MAX])
    return tuple((name, said.get(name, "")) for name in known)


def _combination(price: AppliedPrice, operation: PublishedOperation, dimensions: Dimensions) -> AppliedPrice:
    """The price of what was done. What names no dimension has the default of a matrix, or no price."""
    if (found := price.of(dimensions)) is not None:
        return found
    values = dict(dimensions)
    assert isinstance(price.price, Matrix), "every other price is that of any combination"
    named = ", ".join(f"{name} {values.get(name, '')!r}" for name in price.price.dimensions)
    detail = f"{operation.id} has no price for {named}; give the dimensions of what was done"
    raise EventRefused(FieldError("/data/dimensions", "not-priced", detail))

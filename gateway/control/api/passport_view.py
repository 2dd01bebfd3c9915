"""A passport as its callers read it: everything they rely on, and nothing of costs, on-call or revenue shares."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Literal

import msgspec

from catalog.limit import Limit
from catalog.meter import Meter
from catalog.passport import Deprecation, Example, OperationEntry, Passport
from catalog.plan import Audience, BillableOn, price_fields
from catalog.price_list import ListedPlan, ListedPrice
from catalog.sla import Sla
from catalog.vocabulary.problem import Text
from gateway.control.contracts.schemas import prefix_of

LifecycleState = Literal["published", "deprecated"]


class OwnerView(msgspec.Struct, frozen=True):
    """Who answers for a service."""

    team: str
    contact: str


class ScheduledPrice(msgspec.Struct, frozen=True):
    """The price that is to follow, from the beginning of a day on the account's calendar."""

    effective_from: date
    billable_on: BillableOn
    model: str
    price: Mapping[str, Any]


class PriceView(msgspec.Struct, frozen=True):
    """What an operation costs in a currency; `price` has the fields of its model.

    It is the price in force since `effective_from`, on the account's calendar; where none is in force yet, the first one.
    `scheduled` is the price that follows it, null where none is.
    """

    operation: str
    currency: str
    effective_from: date
    model: str
    price: Mapping[str, Any]
    scheduled: ScheduledPrice | None


class PlanView(msgspec.Struct, frozen=True):
    """A plan that the account could have, and since when it has prices."""

    id: str
    audience: Audience
    effective_from: date
    billable_on: BillableOn
    prices: tuple[PriceView, ...]


class OperationView(msgspec.Struct, frozen=True):
    """An operation, where it is called and how. `request` and `reply` name schemas of the service's contract."""

    id: str
    path: str
    summary: Text
    effect: str
    idempotency: str
    deadline_ms: int
    max_body_bytes: int
    request: str
    reply: str
    meter: Meter
    problems: tuple[str, ...]
    success_when: str
    personal_data: tuple[str, ...]
    examples: tuple[Example, ...]


class PassportView(msgspec.Struct, frozen=True):
    """The whole passport. `contract` is the path of its OpenAPI document, null for a service that is not public."""

    service: str
    version: str
    name: Text
    summary: Text
    owner: OwnerView
    visibility: str
    criticality: str
    lifecycle: LifecycleState
    deprecation: Deprecation | None
    subscribed_plan: str | None
    contract: str | None
    operations: tuple[OperationView, ...]
    limits: tuple[Limit, ...]
    sla: Sla
    plans: tuple[PlanView, ...]


def passport_view(
    passport: Passport, plans: Iterable[ListedPlan], subscribed_plan: str | None
) -> PassportView:
    """The view of a callable service with these of its plans, at the prices of the moment."""
    assert passport.callable, "drafts and retired services are shown to nobody"
    return PassportView(
        service=passport.service,
        version=passport.version,
        name=passport.name,
        summary=passport.summary,
        owner=OwnerView(passport.owner.team, passport.owner.contact),
        visibility=passport.visibility,
        criticality=passport.criticality,
        lifecycle=state_of(passport),
        deprecation=passport.deprecation,
        subscribed_plan=subscribed_plan,
        contract=f"/openapi/{passport.service}.json" if passport.visibility == "public" else None,
        operations=tuple(_operation(passport, entry) for entry in passport.operations),
        limits=passport.limits,
        sla=passport.sla,
        plans=tuple(_plan(passport, plan) for plan in plans),
    )


def state_of(passport: Passport) -> LifecycleState:
    """Whether a callable service is there to stay."""
    return "published" if passport.deprecation is None else "deprecated"


def _operation(passport: Passport, entry: OperationEntry) -> OperationView:
    prefix = prefix_of(passport.service)
    return OperationView(
        id=f"{passport.service}/{entry.id}",
        path=f"/v{passport.major}/{passport.service}/{entry.id}",
        summary=entry.summary,
        effect=entry.effect,
        idempotency=entry.idempotency,
        deadline_ms=entry.deadline_ms,
        max_body_bytes=entry.max_body_bytes,
        request=prefix + entry.request.schema.removeprefix("schema.py:"),
        reply=prefix + entry.reply.schema.removeprefix("schema.py:"),
        meter=entry.meter,
        problems=entry.problems,
        success_when=entry.success_when,
        personal_data=entry.personal_data,
        examples=entry.examples,
    )


def _plan(passport: Passport, plan: ListedPlan) -> PlanView:
    prices = tuple(
        PriceView(
            f"{passport.service}/{entry.operation}",
            entry.currency,
            entry.price.effective_from,
            entry.price.model,
            price_fields(entry.price.price),
            None if entry.scheduled is None else _scheduled(entry.scheduled),
        )
        for entry in plan.entries
    )
    return PlanView(plan.id, plan.audience, plan.effective_from, plan.billable_on, prices)


def _scheduled(price: ListedPrice) -> ScheduledPrice:
    return ScheduledPrice(price.effective_from, price.billable_on, price.model, price_fields(price.price))

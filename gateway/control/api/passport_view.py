"""A passport as its callers read it: everything they rely on, and nothing of costs, on-call or revenue shares."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

import msgspec

from catalog.limit import Limit
from catalog.meter import Meter
from catalog.passport import Deprecation, Example, OperationEntry, Passport
from catalog.plan import Audience, BillableOn, Plan, price_fields
from catalog.sla import Sla
from catalog.vocabulary.problem import Text
from gateway.control.contracts.schemas import prefix_of

LifecycleState = Literal["published", "deprecated"]


class OwnerView(msgspec.Struct, frozen=True):
    """Who answers for a service."""

    team: str
    contact: str


class PriceView(msgspec.Struct, frozen=True):
    """What an operation costs in a currency; `price` has the fields of its model."""

    operation: str
    currency: str
    model: str
    price: Mapping[str, Any]


class PlanView(msgspec.Struct, frozen=True):
    """A plan that the account could have."""

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


def passport_view(passport: Passport, plans: tuple[Plan, ...], subscribed_plan: str | None) -> PassportView:
    """The view of a callable service with these of its plans."""
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


def _plan(passport: Passport, plan: Plan) -> PlanView:
    prices = tuple(
        PriceView(
            f"{passport.service}/{price.operation}", price.currency, price.model, price_fields(price.price)
        )
        for price in plan.prices
    )
    return PlanView(plan.id, plan.audience, plan.effective_from, plan.billable_on, prices)

"""A service's passport and its types -> the paths of its operations, with everything a caller must know."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from atomic_services.contract import Operation
from catalog.passport import Example, OperationEntry, Passport
from catalog.plan import price_fields
from catalog.price_list import ListedPlan, ListedPrice
from gateway.control.contracts.headers import DEPRECATED, METERED, referring
from gateway.control.contracts.refusals import Refusals, operation_refusals
from gateway.control.contracts.schemas import in_order, prefix_of, schemas_of


def service_paths(
    passport: Passport,
    plans: Sequence[ListedPlan],
    operations: Mapping[str, Operation],
    refusals: Refusals,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The paths of a service, with the prices of its plans, and the schemas they refer to."""
    own = {entry.id: operations[f"{passport.service}/{entry.id}"] for entry in passport.operations}
    types = [type_ for operation in own.values() for type_ in (operation.request, operation.reply)]
    references, schemas = schemas_of(prefix_of(passport.service), types)
    paths: dict[str, Any] = {}
    for entry in passport.operations:
        operation = own[entry.id]
        ordered = msgspec.structs.replace(
            entry,
            examples=tuple(
                msgspec.structs.replace(
                    example,
                    request=in_order(example.request, references[operation.request], schemas),
                    reply=in_order(example.reply, references[operation.reply], schemas),
                )
                for example in entry.examples
            ),
        )
        path = f"/v{passport.major}/{passport.service}/{entry.id}"
        paths[path] = {"post": _operation(passport, plans, ordered, operation, references, refusals)}
    return paths, schemas


def _operation(
    passport: Passport,
    plans: Sequence[ListedPlan],
    entry: OperationEntry,
    operation: Operation,
    references: Mapping[type[msgspec.Struct], dict[str, Any]],
    refusals: Refusals,
) -> dict[str, Any]:
    headers = list(METERED)
    if entry.idempotency != "not_needed":
        headers.append("Idempotent-Replayed")
    if passport.deprecation is not None:
        headers += DEPRECATED
    described: dict[str, Any] = {
        "operationId": f"{passport.service}_{entry.id}".replace("-", "_"),
        "tags": [passport.service],
        "summary": entry.summary.en,
        "security": [{"key": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": references[operation.request],
                    "examples": {
                        _key(example): {"summary": example.name.en, "value": example.request}
                        for example in entry.examples
                    },
                }
            },
        },
        "responses": {
            "200": {
                "description": "The operation's reply.",
                "headers": referring(headers),
                "content": {"application/json": _reply(entry, operation, references)},
            },
            **refusals.refer(operation_refusals(entry), entry.problems),
        },
        "x-ordergate": _terms(passport, plans, entry),
    }
    if entry.idempotency != "not_needed":
        kind = "IdempotencyKeyRequired" if entry.idempotency == "required" else "IdempotencyKey"
        described["parameters"] = [{"$ref": f"#/components/parameters/{kind}"}]
    if passport.deprecation is not None:
        described["deprecated"] = True
    return described


def _reply(
    entry: OperationEntry, operation: Operation, references: Mapping[type[msgspec.Struct], dict[str, Any]]
) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": references[operation.reply]}
    # A passport's example may name only the fields that matter; as an example of the schema it must be whole.
    if whole := {
        _key(example): {"summary": example.name.en, "value": example.reply}
        for example in entry.examples
        if _is_whole(example, operation)
    }:
        media["examples"] = whole
    return media


def _is_whole(example: Example, operation: Operation) -> bool:
    try:
        msgspec.convert(example.reply, operation.reply)
    except msgspec.ValidationError:
        return False
    return True


def _key(example: Example) -> str:
    return "-".join(
        "".join(c if c.isascii() and c.isalnum() else " " for c in example.name.en.lower()).split()
    )


def _terms(passport: Passport, plans: Sequence[ListedPlan], entry: OperationEntry) -> dict[str, Any]:
    """What no field of OpenAPI has room for: effect, meter, limits, SLA, list prices, owner, and the Chinese wording."""
    return {
        "id": f"{passport.service}/{entry.id}",
        "version": passport.version,
        "summary": {"zh-CN": entry.summary.chinese()},
        "lifecycle": msgspec.to_builtins(passport.lifecycle),
        "owner": {"team": passport.owner.team, "contact": passport.owner.contact},
        "effect": entry.effect,
        "idempotency": entry.idempotency,
        "deadline_ms": entry.deadline_ms,
        "max_body_bytes": entry.max_body_bytes,
        "meter": {
            name: value for name, value in msgspec.to_builtins(entry.meter).items() if value is not None
        },
        "success_when": entry.success_when,
        "personal_data": list(entry.personal_data),
        "limits": msgspec.to_builtins(passport.limits),
        "sla": sla_terms(passport),
        "prices": [price for plan in public_plans(plans) for price in _prices(plan, entry)],
        "examples": [
            {
                "name": {"en": example.name.en, "zh-CN": example.name.chinese()},
                "request": example.request,
                "reply_includes": example.reply,
            }
            for example in entry.examples
        ],
    }


def sla_terms(passport: Passport) -> dict[str, Any]:
    """The SLA as plain values, without the fields that an objective does not use."""
    terms: dict[str, Any] = msgspec.to_builtins(passport.sla)
    terms["objectives"] = [
        {name: value for name, value in objective.items() if value is not None}
        for objective in terms["objectives"]
    ]
    return terms


def public_plans(plans: Iterable[ListedPlan]) -> tuple[ListedPlan, ...]:
    """The plans whose prices everybody may see: transfer prices inside the group are nobody else's business."""
    return tuple(plan for plan in plans if plan.audience != "internal")


def _prices(plan: ListedPlan, entry: OperationEntry) -> list[dict[str, Any]]:
    return [
        {
            "plan": plan.id,
            "audience": plan.audience,
            "currency": price.currency,
            **_price(price.price),
            **({} if price.scheduled is None else {"scheduled": _price(price.scheduled)}),
        }
        for price in plan.entries
        if price.operation == entry.id
    ]


def _price(price: ListedPrice) -> dict[str, Any]:
    return {
        "effective_from": price.effective_from.isoformat(),
        "billable_on": price.billable_on,
        "model": price.model,
        "price": price_fields(price.price),
    }

"""What of a passport the code decides, and what the registry owns."""

import hashlib
from typing import Any

import msgspec

from catalog.passport.passport import Passport
from catalog.vocabulary.problem import FieldError

# What the code decides and a publication cannot change; everything else is terms, which the registry owns.
_INTERFACE = (
    "effect",
    "idempotency",
    "request",
    "reply",
    "problems",
    "success_when",
    "meter",
    "personal_data",
)


def document_of(passport: Passport) -> dict[str, Any]:
    """The passport as plain JSON values, for storage; `check_passport` reads it back."""
    # Through JSON, so that it equals what storage gives back: there tuples have become arrays.
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(passport))
    return document


def interface_of(passport: Passport) -> dict[str, Any]:
    """What the code decides: the operations, their schemas, effects and meters, under the version they belong to."""
    return {
        "service": passport.service,
        "version": passport.version,
        "binding": msgspec.to_builtins(passport.binding),
        "operations": {
            entry.id: {name: msgspec.to_builtins(getattr(entry, name)) for name in _INTERFACE}
            for entry in passport.operations
        },
    }


def interface_digest(passport: Passport) -> str:
    """A SHA-256 over the interface: equal digests mean that only terms differ."""
    return hashlib.sha256(msgspec.json.encode(interface_of(passport), order="sorted")).hexdigest()


def interface_changes(owned: Passport, offered: Passport) -> list[FieldError]:
    """Where a passport offered for publication departs from the interface that the code owns."""
    found: list[FieldError] = []
    if offered.version != owned.version:
        found.append(
            FieldError(
                "/version",
                "interface",
                f"this installation runs version {owned.version}; publish terms for it",
            )
        )
    found.extend(
        FieldError(
            "/operations",
            "interface",
            f"operation {entry.id!r} is missing; only a new major version drops one",
        )
        for entry in owned.operations
        if offered.operation(entry.id) is None
    )
    for index, entry in enumerate(offered.operations):
        own = owned.operation(entry.id)
        if own is None:
            found.append(
                FieldError(
                    f"/operations/{index}/id",
                    "interface",
                    f"the service has no operation {entry.id!r}; remove it",
                )
            )
            continue
        found.extend(
            FieldError(
                f"/operations/{index}/{name}",
                "interface",
                f"the code decides this; write {msgspec.json.encode(getattr(own, name)).decode()}",
            )
            for name in _INTERFACE
            if getattr(own, name) != getattr(entry, name)
        )
    return found


def with_terms(interface: Passport, terms: Passport) -> Passport:
    """A new interface of the code under the terms that the registry holds.

    Operations that are new with this interface bring their own prices, costs and limits from its file.
    """
    known = {entry.id for entry in terms.operations}
    added = {entry.id for entry in interface.operations} - known
    operations = tuple(
        entry if (held := terms.operation(entry.id)) is None
        else msgspec.structs.replace(entry, deadline_ms=held.deadline_ms, max_body_bytes=held.max_body_bytes)
        for entry in interface.operations
    )  # fmt: skip
    remaining = {entry.id for entry in interface.operations}

    def merged_plan(plan: dict[str, Any]) -> dict[str, Any]:
        own: dict[str, Any] = next(
            (one for one in interface.plans if one["id"] == plan["id"]), {"prices": []}
        )
        kept = [price for price in plan["prices"] if price["operation"] in remaining]
        return {**plan, "prices": kept + [price for price in own["prices"] if price["operation"] in added]}

    return msgspec.structs.replace(
        terms,
        version=interface.version,
        binding=interface.binding,
        operations=operations,
        plans=tuple(merged_plan(plan) for plan in terms.plans),
        costs=tuple(cost for cost in terms.costs if cost.operation in remaining)
        + tuple(cost for cost in interface.costs if cost.operation in added),
    )

"""A problem document of each kind, as a program gets it: in English, whatever language its reader has."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from catalog.vocabulary.problem import PROBLEMS
from gateway.control.contracts.arithmetic import EXAMPLES as ARITHMETIC

_HEX = "019a9d3c5a7e7c03a1f2b3c4d5e6f708"

# What was wrong with one request. The entries of `errors` are (pointer, rule, detail).
_DETAILS: Mapping[str, str] = MappingProxyType(
    {
        "malformed-request": "Send Host, once.",
        "malformed-json": "the key 'country' appears twice in one object.",
        "invalid-input": "/country: expected `string`, got `integer`; /lines: this field is required.",
        "idempotency-key-missing": "stock/reserve changes state and needs an Idempotency-Key.",
        "unauthenticated": "No such key is active.",
        "credit-exhausted": "The prepaid credit is 40.00 CNY: 39.965 used, 0.00 reserved, 0.035 remaining; this call needs "
        "0.055. Top the credit up.",
        "budget-exhausted": "The budget budget_5fw2qzjlx3tq6n4a of this month is 40.00 CNY: 39.965 used, 0.00 reserved, 0.035 "
        "remaining; this call needs 0.055. It begins anew at 2026-11-30T16:00:00Z.",
        "charge-unbounded": "What this operation costs is known only afterwards and its price has no upper bound for one "
        "call, so it cannot be paid from prepaid credit.",
        "forbidden": "The scopes of this key do not include stock/reserve.",
        "not-subscribed": "The account has no subscription of the service stock.",
        "not-priced": "Plan partner-2026 has no price for stock/reserve in CNY yet.",
        "not-found": "There is nothing under this path.",
        "unknown-operation": "No operation is published under this path. Did you mean `stock/reserve` "
        "(/v1/stock/reserve)?",
        "method-not-allowed": "Operations are called with POST, not GET.",
        "conflict": "The document comes to 1284.60 CNY now: read it again before approving it.",
        "idempotency-in-flight": "The first request with this Idempotency-Key has not ended yet.",
        "insufficient-stock": "Of 5 units of A-1 only 2 are available.",
        "reservation-exists": "The reservation r-1001 holds other lines.",
        "reservation-not-found": "The account has no reservation r-1001.",
        "reservation-closed": "The reservation r-1001 expired at 2026-11-22T08:00:00Z.",
        "orders-held": "New orders of A-1 are held until 2026-11-29.",
        "quota-exceeded": "The channel's quota for A-1 has 2 units left.",
        "stock-not-granted": "The channel web does not cover A-1.",
        "outcome-reported": "The outcome `rejected` of this call was reported before.",
        "too-large": "Bodies are at most 1048576 bytes.",
        "target-too-long": "Request targets are at most 4096 bytes.",
        "unsupported-media-type": "Send Content-Type: application/json in UTF-8.",
        "idempotency-key-reused": "The first request with this Idempotency-Key had another body.",
        "unsupported-country": "There is no country XX.",
        "head-too-large": "Send at most 64 header fields, 16384 bytes of them together.",
        "rate-limited": "The burst of 200 calls for each application and operation is used up; it refills evenly at 200 calls "
        "in 1 s. The next call fits in 1 s.",
        "quota-exhausted": "The quota of stock/reserve for each account and month is 5000 calls: 5000 used, 0 reserved, 0 "
        "remaining; this call needs 1. It begins anew at 2026-11-30T16:00:00Z.",
        "internal-error": "The request failed on our side; nothing was changed.",
        "unavailable": "The operation's state cannot be reached just now; nothing was changed.",
        "deadline-exceeded": "The operation did not end within 1000 ms.",
    }
)
_ERRORS: Mapping[str, tuple[tuple[str, str, str], ...]] = MappingProxyType(
    {
        "malformed-request": (("", "host", "send Host, once"),),
        "malformed-json": (("", "duplicate-key", "the key 'country' appears twice in one object"),),
        "invalid-input": (
            ("/country", "type", "expected `string`, got `integer`"),
            ("/lines", "required", "this field is required"),
        ),
        "too-large": (("", "size", "bodies are at most 1048576 bytes"),),
        "target-too-long": (("", "target-size", "request targets are at most 4096 bytes"),),
        "head-too-large": (("", "head-size", "send at most 64 header fields, 16384 bytes of them together"),),
    }
)


def example_of(name: str, *, of_call: bool = True) -> dict[str, Any]:
    """A problem document as a call, or a request to the control plane, could be answered with."""
    kind = PROBLEMS[name]
    document: dict[str, Any] = {
        "type": f"/problems/{name}",
        "title": kind.title.en,
        "status": kind.status,
        "detail": _DETAILS[name],
        "instance": ("call_" if of_call else "req_") + _HEX,
        "remedy": kind.remedy.en,
    }
    if errors := _ERRORS.get(name):
        document["errors"] = [
            {"pointer": pointer, "rule": rule, "detail": detail} for pointer, rule, detail in errors
        ]
    return document | ARITHMETIC.get(name, {})

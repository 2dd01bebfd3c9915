"""The arithmetic that a refusal of 402 or 429 shows: which member holds it, its schema, and one of each kind."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

_AMOUNT = {"type": "string", "description": "Calls, or money in `unit`.", "examples": ["0.055"]}

ARITHMETIC_SCHEMAS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "Allowance": {
            "title": "Allowance",
            "description": "The quota, hard budget or prepaid credit that does not cover the call, and how it stood.",
            "type": "object",
            "required": ["kind", "subject", "unit"],
            "properties": {
                "kind": {"enum": ["quota", "budget", "credit"]},
                "subject": {"type": "string", "description": "What a quota counts, or a budget's id."},
                "unit": {"type": "string", "description": "`calls`, or an ISO 4217 currency."},
                "limit": _AMOUNT,
                "used": _AMOUNT,
                "reserved": {**_AMOUNT, "description": "Promised to other calls, which may give it back."},
                "remaining": _AMOUNT,
                "overdrawn": {
                    **_AMOUNT,
                    "description": "By how much more was used than the limit, through usage that was reported or because "
                    "the limit was lowered; absent where it was not.",
                },
                "needs": {**_AMOUNT, "description": "What this call would take at most."},
                "resets_at": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When a quota or budget begins anew.",
                },
            },
        },
        "RateLimit": {
            "title": "RateLimit",
            "description": "The rate that does not admit the call: a burst of `calls`, refilled evenly in `window_s` seconds.",
            "type": "object",
            "required": ["per", "calls", "window_s", "remaining", "needs", "retry_after_s", "resets_in_s"],
            "properties": {
                "per": {"enum": ["application", "account"]},
                "calls": {"type": "integer", "minimum": 1},
                "window_s": {"type": "integer", "minimum": 1},
                "remaining": {"type": "integer", "minimum": 0},
                "needs": {"type": "integer", "minimum": 1},
                "retry_after_s": {"type": "integer", "minimum": 1, "description": "When the next call fits."},
                "resets_in_s": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "When the whole burst fits again.",
                },
            },
        },
    }
)

_CREDIT = {"kind": "credit", "subject": "", "unit": "CNY"}
_MONEY = {"used": "39.965", "reserved": "0.00", "remaining": "0.035", "needs": "0.055"}
EXAMPLES: Mapping[str, dict[str, dict[str, Any]]] = MappingProxyType(
    {
        "credit-exhausted": {"allowance": {**_CREDIT, "limit": "40.00", **_MONEY}},
        "budget-exhausted": {
            "allowance": {
                "kind": "budget",
                "subject": "budget_5fw2qzjlx3tq6n4a",
                "unit": "CNY",
                "limit": "40.00",
                **_MONEY,
                "resets_at": "2026-11-30T16:00:00Z",
            }
        },
        "charge-unbounded": {"allowance": _CREDIT},
        "quota-exhausted": {
            "allowance": {
                "kind": "quota",
                "subject": "stock/reserve",
                "unit": "calls",
                "limit": "5000",
                "used": "5000",
                "reserved": "0",
                "remaining": "0",
                "needs": "1",
                "resets_at": "2026-11-30T16:00:00Z",
            }
        },
        "rate-limited": {
            "limit": {
                "per": "application",
                "calls": 200,
                "window_s": 1,
                "remaining": 0,
                "needs": 1,
                "retry_after_s": 1,
                "resets_in_s": 1,
            }
        },
    }
)
_SCHEMA_OF = {"allowance": "Allowance", "limit": "RateLimit"}


def arithmetic_members(names: Iterable[str]) -> dict[str, Any]:
    """The members, with their schemas, that problems of these names have beside those of every problem."""
    members = sorted({member for name in names for member in EXAMPLES.get(name, ())})
    return {member: {"$ref": f"#/components/schemas/{_SCHEMA_OF[member]}"} for member in members}

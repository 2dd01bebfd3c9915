"""Every refusal of an operation as a response of its contract, grouped by status and shared between operations."""

from collections.abc import Iterable, Mapping
from typing import Any

from catalog.passport import OperationEntry
from catalog.vocabulary.problem import PROBLEMS
from gateway.control.contracts.arithmetic import ARITHMETIC_SCHEMAS, arithmetic_members
from gateway.control.contracts.examples import example_of
from gateway.control.contracts.headers import referring

PROBLEM_MEDIA_TYPE = "application/problem+json"

# What the gateway itself can answer to any operation, before a service is asked.
ALWAYS = (
    "malformed-request",
    "malformed-json",
    "invalid-input",
    "unauthenticated",
    "forbidden",
    "not-subscribed",
    "not-priced",
    "unknown-operation",
    "too-large",
    "unsupported-media-type",
    "credit-exhausted",
    "budget-exhausted",
    "rate-limited",
    "quota-exhausted",
    "head-too-large",
    "internal-error",
    "unavailable",
    "deadline-exceeded",
)
_WAITABLE = frozenset(
    {
        "credit-exhausted",
        "budget-exhausted",
        "rate-limited",
        "quota-exhausted",
        "unavailable",
        "idempotency-in-flight",
    }
)
_METERED = frozenset({"internal-error", "unavailable", "deadline-exceeded"})

PROBLEM_SCHEMAS: Mapping[str, dict[str, Any]] = {
    **ARITHMETIC_SCHEMAS,
    "Problem": {
        "title": "Problem",
        "description": "A refusal (RFC 9457). `type` resolves to a page of this server that says what to do.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance", "remedy"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "examples": ["/problems/invalid-input"]},
            "title": {"type": "string", "description": "The kind of problem; the same for every occurrence."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What was wrong with this request."},
            "instance": {"type": "string", "description": "The id of this call, to quote in a question."},
            "remedy": {"type": "string", "description": "What to do about it."},
            "errors": {
                "type": "array",
                "description": "Every field that is wrong, in the order of the document; the first twenty.",
                "items": {"$ref": "#/components/schemas/FieldError"},
            },
            "errors_omitted": {
                "type": "integer",
                "minimum": 1,
                "description": "How many more were found, where there are more than twenty.",
            },
        },
    },
    "FieldError": {
        "title": "FieldError",
        "description": "One thing wrong with the input.",
        "type": "object",
        "required": ["pointer", "rule", "detail"],
        "properties": {
            "pointer": {
                "type": "string",
                "description": "JSON pointer (RFC 6901) into the body.",
                "examples": ["/country"],
            },
            "rule": {"type": "string", "description": "Which rule was broken.", "examples": ["required"]},
            "detail": {"type": "string", "description": "What to do about it."},
        },
    },
}


def operation_refusals(entry: OperationEntry) -> tuple[str, ...]:
    """The names of all problems that a call of the operation can be answered with, in the order of the table."""
    names = {*ALWAYS, *entry.problems}
    if entry.meter.value is not None:
        names.add("charge-unbounded")
    if entry.idempotency == "required":
        names.add("idempotency-key-missing")
    if entry.idempotency != "not_needed":
        names |= {"idempotency-in-flight", "idempotency-key-reused"}
    return tuple(name for name in PROBLEMS if name in names)


class Refusals:
    """Collects responses: operations that refuse alike share one component."""

    def __init__(self) -> None:
        self.responses: dict[str, dict[str, Any]] = {}

    def refer(
        self, names: Iterable[str], metered: Iterable[str] = (), *, of_call: bool = True
    ) -> dict[str, Any]:
        """`responses` members by status for these problems. `metered` ones end a metered call and carry its units."""
        by_status: dict[int, list[str]] = {}
        for name in names:
            by_status.setdefault(PROBLEMS[name].status, []).append(name)
        metered_names = frozenset(metered) | (_METERED if of_call else frozenset())
        return {
            str(status): {
                "$ref": f"#/components/responses/{self._shared(group, metered_names, of_call=of_call)}"
            }
            for status, group in sorted(by_status.items())
        }

    def _shared(self, names: list[str], metered: frozenset[str], *, of_call: bool) -> str:
        kind = "api." if not of_call else "metered." if metered.intersection(names) else ""
        key = kind + ".".join(names)
        if key not in self.responses:
            self.responses[key] = _response(names, metered, of_call=of_call)
        return key


def _response(names: list[str], metered: frozenset[str], *, of_call: bool) -> dict[str, Any]:
    kinds = [PROBLEMS[name] for name in names]
    headers = ["Ordergate-Call-Id"] if of_call else []
    if metered.intersection(names):
        headers += ["Ordergate-Units", "Ordergate-Charge"]
    if of_call and kinds[0].status == 429:
        headers += ["RateLimit-Policy", "RateLimit"]
    if _WAITABLE.intersection(names):
        headers.append("Retry-After")
    if kinds[0].status == 401:
        headers.append("WWW-Authenticate")
    response: dict[str, Any] = {
        "description": "; ".join(f"{kind.title.en} (`{kind.name}`)" for kind in kinds) + ".",
        "content": {
            PROBLEM_MEDIA_TYPE: {
                "schema": {
                    "allOf": [
                        {"$ref": "#/components/schemas/Problem"},
                        {
                            "type": "object",
                            "properties": {
                                "type": {"enum": [f"/problems/{name}" for name in names]},
                                "status": {"const": kinds[0].status},
                                **arithmetic_members(names),
                            },
                        },
                    ]
                },
                "examples": {
                    kind.name: {"summary": kind.title.en, "value": example_of(kind.name, of_call=of_call)}
                    for kind in kinds
                },
            }
        },
        "x-ordergate": {
            "description": {
                "zh-CN": "；".join(f"{kind.title.chinese()}（{kind.name}）" for kind in kinds) + "。"
            }
        },
    }
    if headers:
        response["headers"] = referring(headers)
    return response

"""Headers of metered replies, as components of a contract. What they mean is settled in the product's contract."""

from collections.abc import Iterable, Mapping
from typing import Any

METERED = ("Ordergate-Call-Id", "Ordergate-Units", "Ordergate-Charge", "RateLimit-Policy", "RateLimit")
DEPRECATED = ("Deprecation", "Sunset")

_PATTERN_CALL_ID = "^call_[0-9a-f]{32}$"


def _header(description: str, chinese: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "schema": dict(schema),
        "x-ordergate": {"description": {"zh-CN": chinese}},
    }


HEADERS: Mapping[str, dict[str, Any]] = {
    "Ordergate-Call-Id": _header(
        "The id of this call: quote it in questions, look it up under /api/calls/{id}.",
        "本次调用的编号：咨询时请提供，可在 /api/calls/{id} 查询。",
        {"type": "string", "pattern": _PATTERN_CALL_ID},
    ),
    "Ordergate-Units": _header(
        "The billable units that were metered, a decimal number.",
        "本次计量的计费单位数（十进制数）。",
        {"type": "string", "examples": ["1"]},
    ),
    "Ordergate-Charge": _header(
        "The list price of this call and its ISO 4217 currency; 0 when it is not billed. `; estimate` follows where the "
        "real price depends on the whole period.",
        "本次调用的标价与 ISO 4217 币种；不计费时为 0。若实际价格取决于整个账期，则附 `; estimate`。",
        {"type": "string", "examples": ["0.08 CNY", "0.22 CNY; estimate"]},
    ),
    "RateLimit-Policy": _header(
        "The limit for each application and operation: a burst of `q` calls at once, refilled evenly at `q` calls in `w` "
        "seconds.",
        "每个应用、每个操作的限额：可一次性突发 q 次调用，额度以每 w 秒 q 次的速度匀速恢复。",
        {"type": "string", "examples": ['"default";q=200;w=1']},
    ),
    "RateLimit": _header(
        "What is left: `r` calls at once now, the whole burst again in `t` seconds.",
        "剩余额度：现在还可一次性调用 r 次，t 秒后完全恢复。",
        {"type": "string", "examples": ['"default";r=199;t=1']},
    ),
    "Retry-After": _header(
        "Seconds to wait before the same request is worth repeating.",
        "重复相同请求前应等待的秒数。",
        {"type": "integer", "minimum": 0},
    ),
    "Idempotent-Replayed": _header(
        "`true` when this is the stored reply of an earlier request with the same Idempotency-Key; it is not billed again.",
        "值为 true 表示这是相同 Idempotency-Key 先前请求的回复，不会再次计费。",
        {"type": "string", "enum": ["true"]},
    ),
    "Deprecation": _header(
        "Since when the operation is deprecated (RFC 9745).",
        "该操作自何时起被弃用（RFC 9745）。",
        {"type": "string", "examples": ["@1798761600"]},
    ),
    "Sunset": _header(
        "When the operation stops answering (RFC 8594).",
        "该操作停止服务的时间（RFC 8594）。",
        {"type": "string", "examples": ["Thu, 01 Jul 2027 00:00:00 GMT"]},
    ),
    "WWW-Authenticate": _header(
        "The scheme to authenticate with.",
        "应使用的认证方式。",
        {"type": "string", "examples": ['Bearer realm="ordergate"']},
    ),
}

IDEMPOTENCY_KEY: Mapping[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    "description": "A value of your own, unique to this intent. The same key with the same body gives the first reply "
    "again, without a second effect or charge; with another body it is refused.",
    "x-ordergate": {
        "description": {
            "zh-CN": "您自己生成的、对应本次意图的唯一值。相同的键与请求体会得到首次回复，不会重复生效或计费；请求体不同则被拒绝。"
        }
    },
}


def referring(names: Iterable[str]) -> dict[str, Any]:
    """A `headers` object that refers to the components."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}

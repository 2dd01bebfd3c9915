"""The OpenAPI 3.1.1 document of the whole surface, or of one service, built from passports and the code's types."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from atomic_services.contract import Operation
from catalog.passport import Passport
from catalog.price_list import ListedPlan, as_written
from catalog.vocabulary.problem import Text
from gateway.control.contracts.api import TAG, api_paths
from gateway.control.contracts.headers import HEADERS, IDEMPOTENCY_KEY
from gateway.control.contracts.operations import service_paths
from gateway.control.contracts.refusals import PROBLEM_SCHEMAS, Refusals
from gateway.control.endpoint import Endpoint

PriceList = Callable[[Passport], tuple[ListedPlan, ...]]

OPENAPI_VERSION = "3.1.1"
API_VERSION = "1.0.0"

_TITLE = Text("Ordergate", "Ordergate 订单能力网关")
_DESCRIPTION = Text(
    "Order-processing capabilities, called one by one and billed by the call. Every reply of an operation says what it "
    "cost; every refusal is a problem document whose `type` is a page of this server.",
    "逐项调用、按次计费的订单处理能力。每次回复都注明费用；每次拒绝都是一份问题文档，其 type 指向本服务器的说明页面。",
)
_CONTROL = Text(
    "Your account: services, usage, calls, invoices and keys.", "您的账户：服务、用量、调用记录、账单与密钥。"
)
_KEY = Text(
    "`Authorization: Bearer <key>`. Keys begin with `og_live_` or `og_test_`; calls with a test key run on separate data "
    "and are never payable.",
    "Authorization: Bearer <密钥>。密钥以 og_live_ 或 og_test_ 开头；测试密钥的调用使用独立数据，且无需付款。",
)


def is_public(passport: Passport) -> bool:
    """Whether a service belongs into documents that everybody may read."""
    return passport.callable and passport.visibility == "public"


def whole_document(
    passports: Iterable[Passport],
    operations: Mapping[str, Operation],
    endpoints: Iterable[Endpoint],
    prices: PriceList = as_written,
) -> dict[str, Any]:
    """All public services, in alphabetical order, and the control plane; `prices` lists what each service costs."""
    refusals = Refusals()
    services = sorted((one for one in passports if is_public(one)), key=lambda one: one.service)
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for passport in services:
        more_paths, more_schemas = service_paths(passport, prices(passport), operations, refusals)
        paths |= more_paths
        schemas |= more_schemas
    more_paths, more_schemas = api_paths(endpoints, refusals)
    tags = [*map(_tag, services), {"name": TAG, **_described(_CONTROL)}]
    info = {"title": _TITLE.en, "version": API_VERSION, **_described(_DESCRIPTION)}
    return _document(info, tags, paths | more_paths, schemas | more_schemas, refusals)


def service_document(
    passport: Passport, operations: Mapping[str, Operation], prices: PriceList = as_written
) -> dict[str, Any]:
    """One service by itself; its names are those of the whole document."""
    refusals = Refusals()
    paths, schemas = service_paths(passport, prices(passport), operations, refusals)
    info = {
        "title": f"{_TITLE.en}: {passport.name.en}",
        "version": passport.version,
        "contact": {"name": passport.owner.team},
        **_described(passport.summary),
    }
    return _document(info, [_tag(passport)], paths, schemas, refusals)


def _document(
    info: dict[str, Any],
    tags: list[dict[str, Any]],
    paths: dict[str, Any],
    schemas: dict[str, Any],
    refusals: Refusals,
) -> dict[str, Any]:
    document = {
        "openapi": OPENAPI_VERSION,
        "info": info,
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", **_described(_KEY)}},
            "parameters": {
                "IdempotencyKey": {**IDEMPOTENCY_KEY, "required": False},
                "IdempotencyKeyRequired": {**IDEMPOTENCY_KEY, "required": True},
            },
            "headers": dict(HEADERS),
            "schemas": dict(sorted({**PROBLEM_SCHEMAS, **schemas}.items())),
            "responses": dict(sorted(refusals.responses.items())),
        },
    }
    # What is served and compared is JSON: tuples and other Python values end here.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def _tag(passport: Passport) -> dict[str, Any]:
    return {"name": passport.service, **_described(passport.summary)}


def _described(text: Text) -> dict[str, Any]:
    return {"description": text.en, "x-ordergate": {"description": {"zh-CN": text.chinese()}}}

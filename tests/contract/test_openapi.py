"""Contracts promise what the code does, to tools and to people who were promised it earlier."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from atomic_services import registry
from catalog.passport import Deprecated, Deprecation, Passport
from catalog.vocabulary.problem import PROBLEMS
from gateway.control.api import ENDPOINTS, HANDLERS
from gateway.control.contracts import is_public, service_document, whole_document
from openapi.export import FOLDER, contracts, export

PUBLIC = [passport for passport in registry.built_in_passports() if is_public(passport)]
WHOLE = whole_document(registry.built_in_passports(), registry.operations(), ENDPOINTS)


def metered(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((path, methods["post"]) for path, methods in document["paths"].items() if path.startswith("/v"))


def document_of(service: str, **fields: Any) -> dict[str, Any]:
    passport = registry.built_in_passport(service)
    assert passport is not None
    return service_document(msgspec.structs.replace(passport, **fields), registry.operations())


@pytest.mark.parametrize("path", contracts())
def test_each_document_is_valid_openapi_and_is_the_committed_one(path: str) -> None:
    content = contracts()[path]
    OpenAPIV31SpecValidator(msgspec.json.decode(content)).validate()
    committed = FOLDER / path
    assert committed.read_bytes() == content, (
        "the contract has changed: run `make openapi` and commit the result"
    )


def test_what_was_promised_last_is_kept_under_its_date() -> None:
    dated = sorted(path for path in FOLDER.glob("*.json") if re.fullmatch(r"\d{4}-\d\d-\d\d", path.stem))
    assert dated[-1].read_bytes() == (FOLDER / "latest.json").read_bytes()


def test_an_export_writes_what_changed_and_nothing_else(tmp_path: Path) -> None:
    first = export(tmp_path, date(2026, 11, 22))
    assert set(first) == {*contracts(), "2026-11-22.json"}
    assert export(tmp_path, date(2026, 11, 23)) == []
    (tmp_path / "latest.json").write_text("{}")
    (tmp_path / "services" / "gone.json").write_text("{}")
    assert set(export(tmp_path, date(2026, 11, 24))) == {
        "latest.json",
        "2026-11-24.json",
        "services/gone.json",
    }


def test_every_operation_on_public_sale_is_described_and_no_other() -> None:
    expected = {f"/v{p.major}/{p.service}/{entry.id}" for p in PUBLIC for entry in p.operations}
    assert {path for path, _ in metered(WHOLE)} == expected
    assert not any("bench" in path for path in WHOLE["paths"])


def test_every_route_of_the_control_plane_is_described_and_no_other() -> None:
    routed = {
        (re.sub(r":\w+\}", "}", path), str(method))
        for handler in HANDLERS
        for path in handler.paths
        for method in handler.http_methods
    }
    assert routed == {(endpoint.path, endpoint.method) for endpoint in ENDPOINTS}
    described = {
        (path, method.upper())
        for path, methods in WHOLE["paths"].items()
        if path.startswith("/api")
        for method in methods
    }
    assert described == routed


@pytest.mark.parametrize("passport", PUBLIC, ids=lambda passport: passport.service)
def test_every_refusal_of_an_operation_is_a_problem_response(passport: Passport) -> None:
    document = service_document(passport, registry.operations())
    for entry in passport.operations:
        operation = document["paths"][f"/v{passport.major}/{passport.service}/{entry.id}"]["post"]
        found: set[str] = set()
        for status, reference in operation["responses"].items():
            if status == "200":
                continue
            response = document["components"]["responses"][reference["$ref"].rpartition("/")[2]]
            assert set(response["content"]) == {"application/problem+json"}
            assert "Ordergate-Call-Id" in response["headers"]
            for name, example in response["content"]["application/problem+json"]["examples"].items():
                assert PROBLEMS[name].status == int(status) == example["value"]["status"]
                found.add(name)
        common = {
            "malformed-json",
            "invalid-input",
            "unauthenticated",
            "forbidden",
            "not-subscribed",
            "not-priced",
            "rate-limited",
        }
        assert found >= common | set(entry.problems) | {"internal-error", "unavailable", "deadline-exceeded"}
        assert ("idempotency-key-missing" in found) == (entry.idempotency == "required")
        assert ("idempotency-key-reused" in found) == (entry.idempotency != "not_needed")
        parameters = [one["$ref"].rpartition("/")[2] for one in operation.get("parameters", ())]
        expected = {"not_needed": [], "optional": ["IdempotencyKey"], "required": ["IdempotencyKeyRequired"]}
        assert parameters == expected[entry.idempotency]


def test_every_metered_reply_is_promised_its_headers() -> None:
    for _, operation in metered(WHOLE):
        promised = set(operation["responses"]["200"]["headers"])
        assert promised >= {
            "Ordergate-Call-Id",
            "Ordergate-Units",
            "Ordergate-Charge",
            "RateLimit",
            "RateLimit-Policy",
        }
        assert "Deprecation" not in promised
        limited = operation["responses"]["429"]["$ref"].rpartition("/")[2]
        headers = WHOLE["components"]["responses"][limited]["headers"]
        assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(headers)


def test_examples_satisfy_the_schemas_beside_them() -> None:
    checked = 0
    for _, operation in metered(WHOLE):
        for media in (
            operation["requestBody"]["content"]["application/json"],
            operation["responses"]["200"]["content"]["application/json"],
        ):
            validator = Draft202012Validator({**media["schema"], "components": WHOLE["components"]})
            for example in media.get("examples", {}).values():
                validator.validate(example["value"])
                checked += 1
    assert checked >= sum(len(passport.operations) for passport in PUBLIC)


def test_every_body_of_the_control_plane_has_an_example_that_satisfies_its_schema() -> None:
    bodies = {
        path: operation["requestBody"]["content"]
        for path, methods in WHOLE["paths"].items()
        for operation in methods.values()
        if path.startswith("/api") and "requestBody" in operation
    }
    assert set(bodies) == {endpoint.path for endpoint in ENDPOINTS if endpoint.request is not None}
    for path, content in bodies.items():
        for media in content.values():
            assert "example" in media, path
            validator = Draft202012Validator({**media["schema"], "components": WHOLE["components"]})
            validator.validate(media["example"])
    types = {path: set(content) for path, content in bodies.items()}
    assert types.pop("/api/usage/events") == {
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    }
    assert set().union(*types.values()) == {"application/json"}


def test_whatever_takes_a_body_says_how_a_body_can_be_wrong() -> None:
    for methods in WHOLE["paths"].values():
        for operation in methods.values():
            if "requestBody" in operation:
                told = {
                    name
                    for response in operation["responses"].values()
                    if "$ref" in response
                    for name in WHOLE["components"]["responses"][response["$ref"].rpartition("/")[2]][
                        "content"
                    ]["application/problem+json"]["examples"]
                }
                assert told >= {"malformed-json", "invalid-input", "too-large", "unsupported-media-type"}


def test_a_contract_tells_the_terms_and_keeps_what_is_the_groups_own_business() -> None:
    terms = WHOLE["paths"]["/v1/stock/reserve"]["post"]["x-ordergate"]
    assert terms["effect"] == "transactional"
    assert terms["owner"] == {"team": "warehouse-network", "contact": "stock@fulfilment.example"}
    assert terms["summary"]["zh-CN"].startswith("为订单")
    assert {objective["id"] for objective in terms["sla"]["objectives"]} >= {"availability", "latency"}
    assert {
        (price["plan"], price["currency"], price["price"]["unit_price"]) for price in terms["prices"]
    } == {
        ("distributor-2026", "CNY", "0.090"),
        ("distributor-2026", "USD", "0.0130"),
    }
    text = msgspec.json.encode(WHOLE).decode()
    for secret in ("unit_cost", "on_call", "pagerduty", "delivered_by", "internal-2026"):
        assert secret not in text


def test_a_deprecated_service_says_when_it_ends() -> None:
    dates = Deprecation(date(2027, 1, 1), date(2027, 7, 1), "address-2")
    document = document_of("address", lifecycle=Deprecated(dates))
    for _, operation in metered(document):
        assert operation["deprecated"] is True
        assert {"Deprecation", "Sunset"} <= set(operation["responses"]["200"]["headers"])
        assert operation["x-ordergate"]["lifecycle"]["deprecated"]["sunset"] == "2027-07-01"
    OpenAPIV31SpecValidator(document).validate()


def test_a_contract_does_not_depend_on_the_order_in_which_a_registry_keeps_fields() -> None:
    passport = registry.built_in_passport("stock")
    assert passport is not None

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shuffled(value[name]) for name in sorted(value, reverse=True)}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    operations = tuple(
        msgspec.structs.replace(
            entry,
            examples=tuple(
                msgspec.structs.replace(one, request=shuffled(one.request), reply=shuffled(one.reply))
                for one in entry.examples
            ),
        )
        for entry in passport.operations
    )
    assert msgspec.json.encode(document_of("stock", operations=operations)) == msgspec.json.encode(
        document_of("stock")
    )

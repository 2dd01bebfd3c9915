"""The services of this installation: each passport file describes exactly the code that answers."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from atomic_services.contract import CallContext
from atomic_services.registry import (
    SERVICES,
    CatalogueMismatchError,
    built_in_passport,
    built_in_passports,
    check,
    example_errors,
    operations,
)
from catalog.load import Catalogue, load
from catalog.passport import Passport, check_passport, document_of
from catalog.vocabulary.strict_json import convert


def on_sale(*changed: Passport) -> Catalogue:
    names = {passport.service for passport in changed}
    return load([*changed, *(one for one in built_in_passports() if one.service not in names)], ())


def bench(**fields: Any) -> Passport:
    passport = built_in_passport("bench")
    assert passport is not None
    return check_passport({**document_of(passport), **fields})


def bench_operation(**fields: Any) -> Passport:
    return bench(operations=[{**document_of(bench())["operations"][0], **fields}])


def test_the_built_in_passports_describe_the_code() -> None:
    check(on_sale())
    assert {passport.service for passport in built_in_passports()} == set(SERVICES)
    assert {f"{one.service}/{entry.id}" for one in built_in_passports() for entry in one.operations} == set(
        operations()
    )


@pytest.mark.parametrize("passport", built_in_passports(), ids=lambda passport: passport.service)
def test_the_examples_of_a_passport_are_requests_that_the_code_takes(passport: Passport) -> None:
    assert example_errors(passport) == ()
    assert all(entry.examples for entry in passport.operations), "each operation shows how it is called"


def test_an_unknown_service_has_no_passport() -> None:
    assert built_in_passport("tea") is None


@pytest.mark.parametrize(
    ("passport", "pointer", "rule"),
    [
        (
            bench_operation(request={"schema": "schema.py:EchoReply"}),
            "/bench/operations/0/request/schema",
            "reference",
        ),
        (
            bench_operation(reply={"schema": "schema.py:Nothing"}),
            "/bench/operations/0/reply/schema",
            "reference",
        ),
        (bench_operation(success_when="status =="), "/bench/operations/0/success_when", "expression"),
        (bench_operation(meter={"items": "/parcels"}), "/bench/operations/0/meter/items", "reference"),
        (bench_operation(meter={"value": "/reply/cost"}), "/bench/operations/0/meter/value", "reference"),
        (
            bench_operation(meter={"unit": "call", "dimensions": {"zone": "/zone"}}),
            "/bench/operations/0/meter/dimensions/zone",
            "reference",
        ),
        (
            bench_operation(meter={"unit": "call", "dimensions": {"valid": "/reply/ok"}}),
            "/bench/operations/0/meter/dimensions/valid",
            "reference",
        ),
        (bench_operation(personal_data=["phone"]), "/bench/operations/0/personal_data/0", "reference"),
        (bench(service="tea"), "/tea", "no-code"),
    ],
)
def test_a_passport_that_says_something_else_than_the_code_stops_the_start(
    passport: Passport, pointer: str, rule: str
) -> None:
    with pytest.raises(CatalogueMismatchError) as mismatch:
        check(on_sale(passport))
    assert [(error.pointer, error.rule) for error in mismatch.value.errors] == [(pointer, rule)]


def test_an_operation_on_one_side_only_stops_the_start() -> None:
    entry = document_of(bench())["operations"][0]
    plans = [{**document_of(bench())["plans"][0]}]
    plans[0]["prices"] = [{**price, "operation": "shout"} for price in plans[0]["prices"]]
    renamed = bench(operations=[{**entry, "id": "shout"}], plans=plans)
    with pytest.raises(CatalogueMismatchError, match="no code answers for 'shout'") as mismatch:
        check(on_sale(renamed))
    assert {error.rule for error in mismatch.value.errors} == {"unpublished", "no-code"}
    with pytest.raises(CatalogueMismatchError, match="no passport publishes it"):
        check(load((one for one in built_in_passports() if one.service != "bench"), ()))


def test_a_retired_service_needs_no_code() -> None:
    check(on_sale(bench(service="tea", lifecycle="retired"), bench()))


def test_an_example_that_the_code_would_refuse_is_named() -> None:
    example = {"name": {"en": "No country"}, "request": {"country": "Germany"}}
    (error,) = example_errors(bench_operation(examples=[example]))
    assert (error.pointer, error.rule) == ("/operations/0/examples/0/request/country", "example")


async def test_bench_answers_what_the_upstream_of_other_gateways_answers() -> None:
    request = {"country": "DE", "postal_code": "10115", "locality": "Berlin", "lines": ["Invalidenstr. 116"]}
    echo = operations()["bench/echo"]
    context = CallContext(UUID(int=7), "live", "acct_a", "app_a", datetime(2026, 6, 15, tzinfo=UTC))
    reply = await echo.run(convert(request, echo.request), context)
    assert msgspec.to_builtins(reply) == {"valid": True, "normalized": "10115"}

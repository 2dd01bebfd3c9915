"""What of a call is kept so that a matrix may price it, and what never is."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from catalog.meter import Meter, dimensions
from catalog.passport import PassportRefused, check_passport, interface_digest
from catalog.plan import list_price, parse_price
from catalog.registry.prices import unmetered
from catalog.usage_event import UsageEvent, decode_event, encode_record
from tests.passports import echo_document, echo_passport
from tests.usage_calls import usage_event


class _Line(msgspec.Struct):
    code: str


class _Request(msgspec.Struct):
    value: Any = None
    lines: tuple[_Line, ...] = ()


class _Reply(msgspec.Struct):
    grade: str


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("CN-DE", "CN-DE"),
        ("浙江省", "浙江省"),
        (12, "12"),
        (Decimal("1.50"), "1.50"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        (["CN"], ""),
        ({"a": 1}, ""),
        ("x" * 64, "x" * 64),
        ("x" * 65, ""),
        ("a\x00b", ""),
        ("a\nb", ""),
        ("\ud800", ""),
    ],
)
def test_a_short_printable_value_is_kept_and_nothing_else(value: object, kept: str) -> None:
    assert dimensions(Meter(unit="call", dimensions={"lane": "/value"}), _Request(value), None) == (
        ("lane", kept),
    )


def test_values_come_in_the_meters_order_and_from_where_it_says() -> None:
    meter = Meter(
        unit="call", dimensions={"grade": "/reply/grade", "first": "/lines/0/code", "none": "/lines/7/code"}
    )
    request = _Request(lines=(_Line("A"),))
    assert dimensions(meter, request, _Reply("gold")) == (("grade", "gold"), ("first", "A"), ("none", ""))
    assert dimensions(meter, request, None) == (("grade", ""), ("first", "A"), ("none", ""))
    assert dimensions(Meter(unit="call"), request, None) == ()


def test_a_record_of_an_earlier_version_has_none_and_one_of_this_version_keeps_its_own() -> None:
    event = usage_event()
    earlier = msgspec.msgpack.encode(msgspec.structs.astuple(event)[:-1])
    assert decode_event(earlier) == event
    kept: UsageEvent = msgspec.structs.replace(event, dimensions=(("lane", "CN-DE"),))
    assert decode_event(encode_record(kept)) == kept


def _meter(**fields: Any) -> dict[str, Any]:
    document = echo_document()
    (operation,) = document["operations"]
    return {**document, "operations": [{**operation, "meter": {"unit": "call", **fields}}]}


@pytest.mark.parametrize(
    ("named", "pointer", "rule"),
    [
        ({}, "/dimensions", "dimension"),
        ({f"d{n}": "/country" for n in range(9)}, "/dimensions", "dimension"),
        ({"Lane": "/country"}, "/dimensions/Lane", "dimension"),
        ({"lane": "country"}, "/dimensions/lane", "dimension"),
        ({"lane": "/reply/"}, "/dimensions/lane", "dimension"),
        ({"street": "/lines/0"}, "/dimensions/street", "personal-data"),
    ],
)
def test_a_meter_that_keeps_what_it_must_not_is_refused(
    named: dict[str, str], pointer: str, rule: str
) -> None:
    with pytest.raises(PassportRefused) as refused:
        check_passport(_meter(dimensions=named))
    (error,) = refused.value.errors
    assert (error.pointer, error.rule) == (f"/operations/0/meter{pointer}", rule)


def test_an_interface_without_dimensions_is_the_one_that_it_was() -> None:
    """Or every start after an upgrade would publish every service anew."""
    assert b"dimensions" not in msgspec.json.encode(echo_passport())
    assert interface_digest(echo_passport()) != interface_digest(
        check_passport(_meter(dimensions={"country": "/country"}))
    )


@pytest.mark.parametrize(
    ("price", "pointer", "rule"),
    [
        ({"dimensions": ["country"]}, None, None),
        ({"dimensions": ["grade"], "default": "2"}, None, None),
        ({"dimensions": ["grade"]}, "/default", "required"),
        ({"dimensions": ["country", "lane"]}, "/dimensions/1", "not-metered"),
    ],
)
def test_a_matrix_is_sold_over_what_calls_keep_and_refuses_only_what_is_known_in_advance(
    price: dict[str, Any], pointer: str | None, rule: str | None
) -> None:
    cell = {"dimensions": dict.fromkeys(price["dimensions"], "x"), "unit_price": "1"}
    entry = {"operation": "echo", "currency": "CNY", "model": "matrix", "price": {"cells": [cell], **price}}
    plan = {"id": "p", "audience": "both", "effective_from": "2026-01-01", "prices": [entry]}
    kept = {"country": "/country", "grade": "/reply/normalized"}
    passport = check_passport({**_meter(dimensions=kept), "plans": [plan]})
    found = unmetered(passport.parsed_plans, passport.operations)
    assert [(one.pointer, one.rule) for one in found] == (
        [] if pointer is None else [(f"/plans/0/prices/0/price{pointer}", rule)]
    )


def test_the_list_price_of_a_matrix_is_that_of_its_dearest_combination() -> None:
    cells = [{"dimensions": {"lane": lane}, "unit_price": price} for lane, price in (("A", "2"), ("B", "5"))]
    assert list_price(parse_price("matrix", {"dimensions": ["lane"], "cells": cells})) == 5
    assert list_price(parse_price("matrix", {"dimensions": ["lane"], "cells": cells, "default": "7"})) == 7

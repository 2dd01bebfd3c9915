"""A plan is refused with place, rule and remedy, or it is exactly what was published; and it says what a call costs."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from catalog.plan import (
    MODELS,
    Plan,
    depends_on_period,
    list_amount,
    list_price,
    parse_plan,
    parse_price,
    price_fields,
)
from catalog.terms_error import TermsError

TWO_TIERS = [{"up_to": "10", "unit_price": "0.30", "flat_fee": "2"}, {"up_to": None, "unit_price": "0.20"}]
ONE_TIER = [{"up_to": None, "unit_price": "0.30"}]
VALUE_TIERS = [{"up_to": "10", "rate_pct": "3"}, {"up_to": None, "rate_pct": "2"}]
BLOCKS: list[dict[str, Any]] = [{"block_size": "8", "max_blocks": "5", "block_price": "2"}, {"block_size": "1", "max_blocks": None, "block_price": "1"}]  # fmt: skip
RATES = [{"min_success_rate": "99", "unit_price": "3"}, {"min_success_rate": "0", "unit_price": "1"}]
FACTOR = [{"min_success_rate": "99", "factor_pct": "100"}, {"min_success_rate": "0", "factor_pct": "50"}]
CAPACITY = [{"max": {"a": "1", "b": "2"}, "price": "5"}, {"max": None, "price": "9"}]
CELLS = [{"dimensions": {"zone": "1"}, "unit_price": "4"}]
SCHEDULE = [{"at_least": "99", "credit_pct": "0"}, {"at_least": "0", "credit_pct": "50"}]

EXAMPLES: dict[str, dict[str, Any]] = {
    "per_unit": {"unit_price": "0.050", "free_units": "3", "divide_by": "2", "round": "up"},
    "flat": {"amount": "9.90", "discount_pct": "5", "discount_amount": "1", "minimum": "1", "maximum": "8"},
    "graduated": {"tiers": TWO_TIERS, "zero_usage_bills_first_tier_flat": True, "success_factor": FACTOR},
    "volume": {"tiers": TWO_TIERS},
    "package": {"package_size": "1000", "package_price": "40.00", "round": "down", "zero_usage": "one_package"},
    "percentage": {"rate_pct": "2.5", "fixed_per_event": "0.10", "free_events": 3, "free_amount": "5",
                   "min_per_event": "0.2", "max_per_event": "7"},
    "graduated_percentage": {"tiers": VALUE_TIERS},
    "volume_percentage": {"tiers": VALUE_TIERS},
    "block_graduated": {"tiers": BLOCKS},
    "block_volume": {"tiers": BLOCKS},
    "dynamic": {"multiplier": "1.15"},
    "capacity": {"tiers": CAPACITY},
    "bucketed": {"model": "package", "price": {"package_size": "10", "package_price": "1"}, "minimum": "2"},
    "matrix": {"dimensions": ["zone"], "cells": CELLS, "default": "6"},
    "success_tiered": {"tiers": RATES, "measured_on": "service", "minimum_sample": 1000},
    "outcome": {"rate_pct": "10", "of": "/saving", "min": "1", "max": "100"},
    "sla_credit": {"schedule": SCHEDULE},
    "unit_conversion": {"divide_by": "1000", "round": "up", "unit_price": "10"},
}  # fmt: skip


def refusals(model: str, fields: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(TermsError) as refused:
        parse_price(model, fields)
    assert all(len(error.detail) > 10 for error in refused.value.errors)
    return [(error.pointer, error.rule) for error in refused.value.errors]


def test_there_is_an_example_of_every_model() -> None:
    assert EXAMPLES.keys() == MODELS.keys()


@pytest.mark.parametrize("model", EXAMPLES)
def test_a_price_comes_back_from_storage_as_it_was_published(model: str) -> None:
    price = parse_price(model, EXAMPLES[model])
    stored = json.dumps(price_fields(price))
    assert parse_price(model, json.loads(stored)) == price
    assert json.loads(stored).items() <= EXAMPLES[model].items() or model in (
        "bucketed",
        "graduated",
        "volume",
    )


@pytest.mark.parametrize("model", EXAMPLES)
def test_a_price_is_immutable(model: str) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        parse_price(model, EXAMPLES[model]).minimum = "5"  # type: ignore[misc]


def test_an_unknown_model_is_told_the_known_ones() -> None:
    with pytest.raises(TermsError, match="per_unit, flat, graduated, volume") as refused:
        parse_price("surge", {})
    assert refused.value.errors[0].rule == "model"


@pytest.mark.parametrize("number", [5, 0.05])
def test_a_number_is_told_to_be_written_in_quotes(number: float) -> None:
    with pytest.raises(TermsError, match=f'write it in quotes, "{number}"'):
        parse_price("per_unit", {"unit_price": number})


def test_a_misspelt_field_is_told_the_fields_of_the_model() -> None:
    with pytest.raises(TermsError, match=r"it has .*unit_price"):
        parse_price("per_unit", {"unit_price": "1", "minimun": "2"})


def tiers(*bounds: str | None) -> list[dict[str, Any]]:
    return [{"up_to": bound, "unit_price": "1"} for bound in bounds]


def rates(*bounds: str) -> list[dict[str, Any]]:
    return [{"min_success_rate": bound, "unit_price": "1"} for bound in bounds]


@pytest.mark.parametrize(
    ("model", "fields", "pointer", "rule"),
    [
        ("per_unit", {}, "/unit_price", "required"),
        ("per_unit", {"unit_price": "-1"}, "/unit_price", "decimal-string"),
        ("per_unit", {"unit_price": "1e3"}, "/unit_price", "decimal-string"),
        ("per_unit", {"unit_price": "NaN"}, "/unit_price", "decimal-string"),
        ("per_unit", {"unit_price": "1\n"}, "/unit_price", "decimal-string"),
        ("per_unit", {"unit_price": "1." + "1" * 21}, "/unit_price", "decimal-string"),
        ("per_unit", {"unit_price": "1", "divide_by": "0.00"}, "/divide_by", "decimal-string"),
        ("per_unit", {"unit_price": "1", "round": "sideways"}, "/round", "constraint"),
        ("per_unit", {"unit_price": "1", "discount_pct": "100.1"}, "/discount_pct", "percentage"),
        ("per_unit", {"unit_price": "1", "minimum": "2", "maximum": "1"}, "/maximum", "ordered"),
        ("graduated", {"tiers": []}, "/tiers", "not-empty"),
        ("graduated", {"tiers": tiers("10")}, "/tiers/0/up_to", "open-end"),
        ("graduated", {"tiers": tiers(None, None)}, "/tiers/0/up_to", "open-end"),
        ("graduated", {"tiers": tiers("10", "10", None)}, "/tiers/1/up_to", "ascending"),
        ("graduated", {"tiers": tiers("0", None)}, "/tiers/0/up_to", "ascending"),
        ("graduated", {"tiers": [{"up_to": 5, "unit_price": "1"}]}, "/tiers/0/up_to", "decimal-string"),
        ("volume", {"tiers": tiers("10", "9", None)}, "/tiers/1/up_to", "ascending"),
        ("graduated_percentage", {"tiers": VALUE_TIERS[:1]}, "/tiers/0/up_to", "open-end"),
        ("volume_percentage", {"tiers": VALUE_TIERS[::-1]}, "/tiers/0/up_to", "open-end"),
        ("block_graduated", {"tiers": []}, "/tiers", "not-empty"),
        ("block_graduated", {"tiers": BLOCKS[::-1]}, "/tiers/0/max_blocks", "open-end"),
        ("block_volume", {"tiers": [{**BLOCKS[0], "max_blocks": "0"}]}, "/tiers/0/max_blocks", "positive"),
        ("block_volume", {"tiers": [{**BLOCKS[0], "max_blocks": "1.5"}]}, "/tiers/0/max_blocks", "decimal-string"),
        ("package", {"package_size": "0", "package_price": "1"}, "/package_size", "decimal-string"),
        ("percentage", {"rate_pct": "1", "free_events": 1.5}, "/free_events", "whole-number"),
        ("percentage", {"rate_pct": "1", "min_per_event": "2", "max_per_event": "1"}, "/max_per_event", "ordered"),
        ("capacity", {"tiers": CAPACITY[:1]}, "/tiers/0/max", "open-end"),
        ("capacity", {"tiers": [CAPACITY[1], CAPACITY[1]]}, "/tiers/0/max", "open-end"),
        ("capacity", {"tiers": [{"max": {}, "price": "1"}, CAPACITY[1]]}, "/tiers/0/max", "not-empty"),
        ("capacity", {"tiers": [{"max": {"a": 1}, "price": "1"}, CAPACITY[1]]}, "/tiers/0/max/a", "decimal-string"),
        ("capacity", {"tiers": [CAPACITY[0], CAPACITY[0], CAPACITY[1]]}, "/tiers/1/max", "ascending"),
        ("capacity", {"tiers": [CAPACITY[0], {"max": {"a": "9", "b": "1"}, "price": "1"}, CAPACITY[1]]}, "/tiers/1/max", "ascending"),
        ("capacity", {"tiers": [CAPACITY[0], {"max": {"a": "9"}, "price": "1"}, CAPACITY[1]]}, "/tiers/1/max", "same-units"),
        ("matrix", {"dimensions": [], "cells": [], "default": "1"}, "/dimensions", "not-empty"),
        ("matrix", {"dimensions": ["a", "a"], "cells": [], "default": "1"}, "/dimensions", "unique"),
        ("matrix", {"dimensions": ["zone"], "cells": []}, "/cells", "not-empty"),
        ("matrix", {"dimensions": ["zone"], "cells": CELLS * 2, "default": "1"}, "/cells/1/dimensions", "unique"),
        ("matrix", {"dimensions": ["zone", "size"], "cells": CELLS, "default": "1"}, "/cells/0/dimensions", "same-dimensions"),
        ("success_tiered", {"tiers": []}, "/tiers", "not-empty"),
        ("success_tiered", {"tiers": rates("99")}, "/tiers/0/min_success_rate", "open-end"),
        ("success_tiered", {"tiers": rates("101", "0")}, "/tiers/0/min_success_rate", "percentage"),
        ("success_tiered", {"tiers": rates("90", "95", "0")}, "/tiers/1/min_success_rate", "descending"),
        ("flat", {"amount": "1", "success_factor": FACTOR[:1]}, "/success_factor/0/min_success_rate", "open-end"),
        ("outcome", {"rate_pct": "1", "of": "saving"}, "/of", "pointer"),
        ("outcome", {"rate_pct": "1", "min": "2", "max": "1"}, "/max", "ordered"),
        ("sla_credit", {"schedule": SCHEDULE[::-1]}, "/schedule/1/at_least", "descending"),
        ("sla_credit", {"schedule": [{"at_least": "0", "credit_pct": "101"}]}, "/schedule/0/credit_pct", "percentage"),
        ("unit_conversion", {"unit_price": "1"}, "/divide_by", "required"),
        ("bucketed", {"model": "matrix", "price": {}}, "/model", "model"),
        ("bucketed", {"model": "package", "price": {"package_size": "1"}}, "/price/package_price", "required"),
        ("bucketed", {"model": "volume", "price": {"tiers": tiers("9")}}, "/price/tiers/0/up_to", "open-end"),
    ],
)  # fmt: skip
def test_a_price_that_breaks_a_rule_is_refused_there(
    model: str, fields: dict[str, Any], pointer: str, rule: str
) -> None:
    assert (pointer, rule) in refusals(model, fields)


def test_a_hundred_percent_is_a_percentage() -> None:
    everything = [{"at_least": "100", "credit_pct": "0"}, {"at_least": "0", "credit_pct": "100"}]
    assert price_fields(parse_price("sla_credit", {"schedule": everything, "discount_pct": "100"}))


def test_every_broken_rule_of_a_price_is_told_at_once() -> None:
    fields = {"tiers": tiers("5", "4"), "discount_pct": "200", "minimum": "2", "maximum": "1"}
    assert [rule for _, rule in refusals("graduated", fields)] == [
        "ascending",
        "open-end",
        "percentage",
        "ordered",
    ]


PLAN_YAML = """
id: partner-2027
audience: external
effective_from: 2027-01-01
prices:
  - {operation: validate, currency: CNY, model: graduated, price: {tiers: [{up_to: "10", unit_price: "0.30"}, {up_to: null, unit_price: "0.20"}]}}
  - {operation: validate, currency: USD, model: per_unit, price: {unit_price: "0.05"}}
  - {operation: parse, currency: CNY, model: flat, price: {amount: "99.00"}}
"""


def plan_fields() -> dict[str, Any]:
    fields: dict[str, Any] = YAML(typ="safe").load(PLAN_YAML)
    return fields


def plan_refusals(fields: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(TermsError) as refused:
        parse_plan(fields)
    return [(error.pointer, error.rule) for error in refused.value.errors]


def test_a_plan_of_a_passport_is_read_and_kept() -> None:
    plan = parse_plan(plan_fields())
    assert (plan.id, plan.audience, plan.effective_from) == ("partner-2027", "external", date(2027, 1, 1))
    assert plan.billable_on == "success"
    stored = msgspec.json.encode(plan)
    assert parse_plan(msgspec.json.decode(stored)) == plan
    assert isinstance(plan, Plan)


def test_a_plan_gives_the_price_of_an_operation_in_a_currency_or_none() -> None:
    plan = parse_plan(plan_fields())
    entry = plan.price_for("validate", "USD")
    assert entry is not None
    assert (entry.model, list_price(entry.price)) == ("per_unit", Decimal("0.05"))
    assert plan.price_for("validate", "EUR") is None
    assert plan.price_for("issue", "CNY") is None


@pytest.mark.parametrize(
    ("change", "pointer", "rule"),
    [
        ({"id": "No Spaces"}, "/id", "constraint"),
        ({"audience": "friends"}, "/audience", "constraint"),
        ({"effective_from": "soon"}, "/effective_from", "constraint"),
        ({"billable_on": "calls"}, "/billable_on", "constraint"),
        ({"prices": []}, "/prices", "not-empty"),
        ({"discount": "1"}, "/discount", "unknown-field"),
    ],
)
def test_a_plan_that_breaks_a_rule_is_refused_there(change: dict[str, Any], pointer: str, rule: str) -> None:
    assert (pointer, rule) in plan_refusals({**plan_fields(), **change})


def test_all_prices_of_a_plan_are_checked_with_pointers_from_the_plan() -> None:
    fields = plan_fields()
    fields["prices"][0]["price"]["tiers"][1]["up_to"] = "5"
    fields["prices"][1]["currency"] = "XAU"
    fields["prices"][2] = {"operation": "parse", "currency": "CNY", "model": "surge", "price": {}}
    assert plan_refusals(fields) == [
        ("/prices/0/price/tiers/1/up_to", "ascending"),
        ("/prices/0/price/tiers/1/up_to", "open-end"),
        ("/prices/1/currency", "currency"),
        ("/prices/2/model", "model"),
    ]


def test_a_plan_has_one_price_per_operation_and_currency() -> None:
    fields = plan_fields()
    fields["prices"].append(fields["prices"][1])
    assert plan_refusals(fields) == [("/prices/3", "unique")]


def test_a_credit_schedule_is_not_for_sale() -> None:
    fields = plan_fields()
    fields["prices"] = [
        {"operation": "validate", "currency": "CNY", "model": "sla_credit", "price": {"schedule": SCHEDULE}}
    ]
    assert plan_refusals(fields) == [("/prices/0/model", "not-for-sale")]


@pytest.mark.parametrize(
    ("model", "fields", "amount", "estimate"),
    [
        ("per_unit", {"unit_price": "0.050"}, "0.05", False),
        ("per_unit", {"unit_price": "0.050", "free_units": "10"}, "0.05", True),
        ("per_unit", {"unit_price": "1", "divide_by": "3"}, "0.333333333333", False),
        ("per_unit", {"unit_price": "1", "divide_by": "1000", "round": "up"}, "0.001", True),
        ("per_unit", {"unit_price": "1", "discount_pct": "0.00"}, "1", False),
        ("per_unit", {"unit_price": "1", "maximum": "50"}, "1", True),
        ("per_unit", {"unit_price": "1", "success_factor": FACTOR}, "1", True),
        ("unit_conversion", {"unit_price": "10", "divide_by": "1000"}, "0.01", False),
        ("flat", {"amount": "99"}, "0", False),
        ("graduated", {"tiers": TWO_TIERS}, "0.3", True),
        ("graduated", {"tiers": ONE_TIER}, "0.3", False),
        ("volume", {"tiers": [{**ONE_TIER[0], "flat_fee": "1"}]}, "0.3", True),
        ("package", {"package_size": "1000", "package_price": "40.00"}, "0.04", True),
        ("percentage", {"rate_pct": "2", "fixed_per_event": "0.10"}, "0.12", False),
        ("percentage", {"rate_pct": "2", "min_per_event": "0.50"}, "0.5", False),
        ("percentage", {"rate_pct": "2", "free_events": 3}, "0.02", True),
        ("graduated_percentage", {"tiers": VALUE_TIERS}, "0.03", True),
        ("volume_percentage", {"tiers": VALUE_TIERS}, "0.03", True),
        ("block_graduated", {"tiers": BLOCKS}, "0.25", True),
        ("block_volume", {"tiers": BLOCKS}, "0.25", True),
        ("dynamic", {"multiplier": "1.15"}, "1.15", False),
        ("capacity", {"tiers": CAPACITY}, "0", True),
        ("bucketed", {"model": "per_unit", "price": {"unit_price": "2"}}, "2", False),
        (
            "bucketed",
            {"model": "package", "price": {"package_size": "10", "package_price": "1"}},
            "0.1",
            True,
        ),
        ("matrix", {"dimensions": ["zone"], "cells": CELLS, "default": "6"}, "6", True),
        ("success_tiered", {"tiers": RATES}, "3", True),
        ("outcome", {"rate_pct": "10"}, "0.1", False),
        ("sla_credit", {"schedule": SCHEDULE}, "0", False),
    ],
)
def test_the_list_price_is_one_unit_at_the_first_tier(
    model: str, fields: dict[str, Any], amount: str, estimate: bool
) -> None:
    price = parse_price(model, fields)
    assert str(list_price(price)) == amount
    assert depends_on_period(price) is estimate


def test_the_list_amount_of_a_call_counts_its_units_and_its_fixed_fee_once() -> None:
    price = parse_price("percentage", {"rate_pct": "2", "fixed_per_event": "0.10", "max_per_event": "3"})
    assert list_amount(price, Decimal(50)) == Decimal("1.1")
    assert list_amount(price, Decimal(5000)) == Decimal(3)
    assert str(list_amount(parse_price("per_unit", {"unit_price": "200"}), Decimal(3))) == "600"


def test_a_share_of_results_bills_no_call_whatever_the_plan_bills() -> None:
    share = {"operation": "recover", "currency": "CNY", "model": "outcome", "price": {"rate_pct": "10"}}
    unit = {"operation": "check", "currency": "CNY", "model": "per_unit", "price": {"unit_price": "1"}}
    plan = parse_plan(
        {"id": "p", "audience": "both", "effective_from": "2026-01-01", "prices": [share, unit]}
    )
    assert [plan.billed_on(entry) for entry in plan.prices] == ["outcome", "success"]

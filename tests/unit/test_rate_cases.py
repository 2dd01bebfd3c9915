"""`ordergate rate` answers every pricing case to the last digit, and a bad case does not stop the others."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.rate.cases import answer_lines
from catalog.plan import MODELS

OWN = sorted((Path(__file__).parent / "data" / "pricing").glob("*.json"))
FOREIGN = os.environ.get("ORDERGATE_CASES")
TEN_OR_MORE = ("success_tiered", "success_factor", "outcome", "matrix", "flat")


def load(path: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return cases


def ask(*cases: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer_lines(json.dumps(case) for case in cases)]


def ask_lines(lines: list[str]) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in answer_lines(lines))


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_our_own_cases_are_answered_as_they_are_to_be_printed(path: Path) -> None:
    cases = load(path)
    answered = ask(*cases)
    assert [(a["id"], a.get("amount", a.get("error"))) for a in answered] == [
        (case["id"], case["expected_amount"]) for case in cases
    ]


def test_every_model_has_cases_and_the_unusual_ones_have_ten() -> None:
    cases = [case for path in OWN for case in load(path)]
    models = Counter(case["model"] for case in cases)
    models["success_factor"] = sum("success_factor" in case["price"] for case in cases)
    assert models.keys() >= MODELS.keys()
    assert min(models[name] for name in TEN_OR_MORE) >= 10
    assert all(len({case["id"] for case in load(path)}) == len(load(path)) for path in OWN)


@pytest.mark.skipif(FOREIGN is None, reason="ORDERGATE_CASES does not name a folder of published cases")
def test_published_cases_of_other_systems_are_answered_exactly() -> None:
    cases = load(Path(str(FOREIGN)) / "pricing" / "worked.json")
    wrong = [
        (case["id"], answered)
        for case, answered in zip(cases, ask(*cases), strict=True)
        if "error" in answered or Decimal(answered["amount"]) != Decimal(case["expected_amount"])
    ]
    assert wrong == []
    assert cases


def case_of(model: str, price: object, usage: object, **more: object) -> dict[str, object]:
    return {"id": "x", "model": model, "currency": "USD", "price": price, "usage": usage, **more}


def test_the_line_carries_the_precise_amount_and_a_trace_that_sums_to_it() -> None:
    tiers = [{"up_to": "10", "unit_price": "0.333", "flat_fee": "1"}, {"up_to": None, "unit_price": "0.1"}]
    (answered,) = ask(case_of("graduated", {"tiers": tiers, "discount_pct": "50"}, "12"))
    (line,) = answered["lines"]
    assert (answered["amount"], line["amount"], line["precise"]) == ("2.27", "2.27", "2.265")
    assert line["trace"] == [
        {"step": "price", "up_to": "10", "quantity": "10", "unit_price": "0.333", "flat_fee": "1", "amount": "4.33"},
        {"step": "price", "up_to": None, "quantity": "2", "unit_price": "0.1", "flat_fee": "0", "amount": "0.2"},
        {"step": "discount_pct", "up_to": None, "quantity": "0", "unit_price": "0", "flat_fee": "0", "amount": "-2.265"},
    ]  # fmt: skip


def test_a_description_in_a_price_is_passed_over_and_reported() -> None:
    (answered,) = ask(case_of("per_unit", {"unit_price": "2", "counted": "successes"}, "3", note="n"))
    assert answered["amount"] == "6.00"
    assert answered["ignored"] == ["counted"]


def test_a_bad_line_is_refused_by_field_rule_and_remedy_and_the_others_go_on() -> None:
    good = json.dumps(case_of("per_unit", {"unit_price": "2"}, "3"))
    answers = list(ask_lines([good, "{oops", "", "[1]", good + "\n", '{"id": 7}', "\udcff"]))
    assert [a.get("amount") for a in answers] == ["6.00", None, None, "6.00", None, None]
    assert [a["error"]["rule"] for a in answers if "error" in a] == [
        "invalid-json",
        "type",
        "model",
        "invalid-utf-8",
    ]
    assert answers[4]["id"] == 7
    assert all(a["error"].keys() == {"field", "rule", "remedy"} for a in answers if "error" in a)


COUNTS = {"calls": "10", "successes": "9"}


@pytest.mark.parametrize(
    ("model", "price", "usage", "field", "rule"),
    [
        ("surge", {}, "1", "/model", "model"),
        ("per_unit", "2", "1", "/price", "required"),
        ("per_unit", {}, "1", "/price/unit_price", "required"),
        ("per_unit", {"unit_price": 2}, "1", "/price/unit_price", "decimal-string"),
        ("per_unit", {"unit_price": "2", "order": ["x"]}, "1", "/price/order", "policy"),
        ("per_unit", {"unit_price": "2", "policy": "ALL_TIERS"}, "1", "/price/policy", "policy"),
        ("graduated", {"tiers": [{"up_to": None, "unit_price": "2"}], "policy": []}, "1", "/price/policy", "policy"),
        ("per_unit", {"unit_price": "2", "mode": "truncate"}, "1", "/price/mode", "policy"),
        ("per_unit", {"unit_price": "2", "round": "line_down"}, "1", "/price/round", "policy"),
        ("per_unit", {"unit_price": "2", "zero_usage": "one_package"}, "1", "/price/zero_usage", "unknown-field"),
        ("per_unit", {"unit_price": "2"}, 1, "/usage", "decimal-string"),
        ("per_unit", {"unit_price": "2"}, "1e3", "/usage", "decimal-string"),
        ("per_unit", {"unit_price": "2"}, "-1", "/usage", "usage-form"),
        ("per_unit", {"unit_price": "2"}, {"buckets": ["1"]}, "/usage", "usage-form"),
        ("per_unit", {"unit_price": "2"}, {"calls": "1", "successes": "2"}, "/usage", "counts"),
        ("success_tiered", {"tiers": [{"min_success_rate": "0", "unit_price": "1"}]}, "5", "/usage", "usage-form"),
        ("matrix", {"dimensions": ["z"], "cells": [], "default": "1"}, "5", "/usage", "usage-form"),
        ("matrix", {"dimensions": ["z"], "cells": [], "default": "1"}, {"cells": [{"dimensions": {}, "quantity": "1"}]}, "/usage", "usage-form"),
        ("matrix", {"dimensions": ["z"], "cells": [], "default": "1"}, {"cells": [{"dimensions": {"z": 1}, "quantity": "1"}]}, "/usage/cells/0/dimensions/z", "type"),
        ("matrix", {"dimensions": ["z"], "cells": [{"dimensions": {"z": "1"}, "unit_price": "2"}]}, {"cells": [{"dimensions": {"z": "9"}, "quantity": "1"}]}, "/usage", "usage-form"),
        ("outcome", {"rate_pct": "1"}, {"baseline": "1", "measured": "1"}, "/usage/volume", "required"),
        ("outcome", {"rate_pct": "1"}, {"baseline": "1", "measured": "1", "volume": "-1"}, "/usage", "usage-form"),
        ("percentage", {"rate_pct": "1"}, {"events": ["1", 2]}, "/usage/events/1", "decimal-string"),
        ("percentage", {"rate_pct": "1"}, {"events": ["-1"]}, "/usage", "usage-form"),
        ("capacity", {"tiers": [{"max": {"u": "1"}, "price": "1"}, {"max": None, "price": "2"}]}, {"w": "1"}, "/usage", "usage-form"),
        ("bucketed", {"per_bucket": True}, {"buckets": []}, "/price", "required"),
        ("bucketed", {"unit_price": "1"}, {"events": ["1"]}, "/usage/buckets", "required"),
        ("flat", {"amount": "1", "success_factor": [{"min_success_rate": "0", "factor_pct": "1"}]}, "1", "/usage", "usage-form"),
        ("graduated", {"tiers": [{"up_to": "1", "unit_price": "1"}]}, "1", "/price/tiers/0/up_to", "open-end"),
        ("per_unit", {"unit_price": "1"}, {"cumulative_before": "1", "cumulative_after": "x"}, "/usage/cumulative_after", "decimal-string"),
        ("success_tiered", {"tiers": [{"min_success_rate": "0", "unit_price": "1"}]}, {**COUNTS, "trailing": "3"}, "/usage/trailing", "usage-form"),
    ],
)  # fmt: skip
def test_a_case_that_cannot_be_rated_says_where_and_why(
    model: str, price: object, usage: object, field: str, rule: str
) -> None:
    (answered,) = ask(case_of(model, price, usage))
    assert answered["error"]["field"] == field
    assert answered["error"]["rule"] == rule
    assert len(answered["error"]["remedy"]) > 15


def test_a_combination_without_a_price_is_named() -> None:
    lanes = {
        "dimensions": ["from", "to"],
        "cells": [{"dimensions": {"from": "CN", "to": "DE"}, "unit_price": "2"}],
    }

    def cell(to: str) -> dict[str, object]:
        return {"cells": [{"dimensions": {"from": "CN", "to": to}, "quantity": "3"}]}

    priced, refused = ask(case_of("matrix", lanes, cell("DE")), case_of("matrix", lanes, cell("FR")))
    assert priced["amount"] == "6.00"
    assert "no cell for from 'CN', to 'FR', and no default" in refused["error"]["remedy"]


def test_a_case_without_a_currency_is_refused() -> None:
    (answered,) = ask({"id": "x", "model": "flat", "price": {"amount": "1"}, "usage": "1"})
    assert answered["error"]["field"] == "/currency"

"""Allocation, rounding, days, contracts and credit on pricing cases of our own; `make conformance` has those of others."""

import json
from pathlib import Path

import pytest

from tests.conformance.pricing_reference import DIFFERS
from tests.pricing_terms import MODELS, Case, agrees, figures

CASES: list[Case] = json.loads((Path(__file__).parent / "data" / "pricing_terms.json").read_text("utf-8"))
README = Path(__file__).parents[2] / "billing" / "rate" / "README.md"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_case_comes_to_what_was_worked_out_by_hand(case: Case) -> None:
    found = figures(case)
    assert agrees(case, found), found


def test_every_part_that_answers_cases_of_others_has_cases_of_our_own() -> None:
    assert {case["model"] for case in CASES} == set(MODELS)
    assert len({case["id"] for case in CASES}) == len(CASES) > 50


def test_a_case_that_comes_to_something_else_is_told() -> None:
    (case,) = (one for one in CASES if one["id"] == "a-yuan-by-seven")
    assert not agrees({**case, "expected_amount": "1.01"}, figures(case))
    assert not agrees({**case, "expected": {"parts": ["1.00"]}}, figures(case))


def test_where_we_differ_from_others_is_written_down_case_by_case() -> None:
    written = README.read_text("utf-8")
    assert [name for name in DIFFERS if f"`{name}`" not in written] == []

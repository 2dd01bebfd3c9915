"""Prices that calls carry no measure for are refused before anybody subscribes to them."""

import pytest

from catalog.passport import check_passport
from catalog.registry.prices import unmetered
from tests.passports import echo_document

SHARE = {"operation": "echo", "currency": "CNY", "model": "outcome", "price": {"rate_pct": "10"}}
UNIT = {"operation": "echo", "currency": "EUR", "model": "per_unit", "price": {"unit_price": "1"}}


@pytest.mark.parametrize(
    ("prices", "refused"),
    [([SHARE], []), ([UNIT], ["/plans/0/prices/0/model"]), ([SHARE, UNIT], ["/plans/0/prices/1/model"])],
)
def test_a_plan_that_bills_proven_outcomes_has_no_price_for_calls(
    prices: list[dict[str, object]], refused: list[str]
) -> None:
    plan = {"id": "p", "audience": "both", "effective_from": "2026-01-01", "billable_on": "outcome"}
    passport = check_passport({**echo_document(), "plans": [{**plan, "prices": prices}]})
    found = unmetered(passport.parsed_plans, passport.operations)
    assert [(one.pointer, one.rule) for one in found] == [(pointer, "not-metered") for pointer in refused]

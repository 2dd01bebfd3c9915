"""The frozen catalogue: which price a call gets, and what its reply says it costs."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from atomic_services.registry import built_in_passports
from catalog.load import PriceVersion, load
from catalog.plan import parse_price
from catalog.vocabulary.clock import to_ns


def version(number: int, effective_from: datetime, model: str = "per_unit", **price: Any) -> PriceVersion:
    """A version of the price of address/validate in one plan."""
    return PriceVersion(
        id=f"address/plan/validate/CNY@{number}",
        service="address",
        plan_id="plan",
        operation="address/validate",
        currency="CNY",
        version=number,
        effective_from=effective_from,
        billable_on="success",
        model=model,
        price=parse_price(model, price),
    )


JANUARY, MARCH = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), None),
        (JANUARY, "address/plan/validate/CNY@1"),
        (datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC), "address/plan/validate/CNY@1"),
        (MARCH, "address/plan/validate/CNY@2"),
        (datetime(2030, 1, 1, tzinfo=UTC), "address/plan/validate/CNY@2"),
    ],
)
def test_the_version_in_force_at_the_moment_of_the_call_is_chosen(
    moment: datetime, expected: str | None
) -> None:
    catalogue = load(
        built_in_passports(), [version(2, MARCH, unit_price="0.06"), version(1, JANUARY, unit_price="0.05")]
    )
    price = catalogue.operations["/v1/address/validate"].price_at("plan", "CNY", "UTC", to_ns(moment))
    assert (price.id if price else None) == expected


@pytest.mark.parametrize(
    ("model", "price", "units", "charge"),
    [
        ("per_unit", {"unit_price": "0.055"}, "1", "0.055 CNY"),
        ("per_unit", {"unit_price": "0.055"}, "3", "0.165 CNY"),
        ("per_unit", {"unit_price": "0"}, "1", "0 CNY"),
        (
            "graduated",
            {"tiers": [{"up_to": "10", "unit_price": "3.6"}, {"up_to": None, "unit_price": "3.4"}]},
            "1",
            "3.6 CNY; estimate",
        ),
        ("package", {"package_size": "100", "package_price": "0.90"}, "1", "0.009 CNY; estimate"),
    ],
)
def test_the_charge_is_the_list_amount_at_the_first_tier(
    model: str, price: dict[str, Any], units: str, charge: str
) -> None:
    catalogue = load(built_in_passports(), [version(1, JANUARY, model, **price)])
    found = catalogue.operations["/v1/address/validate"].price_at("plan", "CNY", "UTC", to_ns(MARCH))
    assert found is not None
    assert found.charge(Decimal(units)) == charge


def test_another_plan_or_currency_has_no_price() -> None:
    operation = load(built_in_passports(), [version(1, JANUARY, unit_price="0.05")]).operations[
        "/v1/address/validate"
    ]
    assert operation.price_at("plan", "USD", "UTC", to_ns(MARCH)) is None
    assert operation.price_at("other", "CNY", "UTC", to_ns(MARCH)) is None

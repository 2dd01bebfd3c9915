"""A whole in parts: they always sum to it, and nobody is a whole unit away from a proportional share."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.money import exponent

_WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any)


def test_a_bill_is_split_55_25_20_to_the_cent() -> None:
    assert [str(part) for part in apportion(Decimal("411.20"), [55, 25, 20], "CNY")] == [
        "226.16",
        "102.80",
        "82.24",
    ]


@given(st.integers(-(10**12), 10**12), _WEIGHTS, st.sampled_from(["CNY", "JPY", "KWD"]))
def test_parts_sum_to_the_whole_and_are_nearly_proportional(
    minor: int, weights: list[int], currency: str
) -> None:
    unit = Decimal(1).scaleb(-exponent(currency))
    amount = minor * unit
    parts = apportion(amount, weights, currency)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert part == part.quantize(unit)
        assert abs(Fraction(part) - Fraction(amount) * weight / sum(weights)) < Fraction(unit)


def test_equal_remainders_go_to_the_first() -> None:
    assert apportion(Decimal("0.01"), [1, 1], "CNY") == (Decimal("0.01"), Decimal("0.00"))
    assert apportion(Decimal("-0.01"), [1, 1], "CNY") == (Decimal("-0.01"), Decimal("0.00"))


@pytest.mark.parametrize(("amount", "weights"), [("1.005", [1]), ("1", []), ("1", [0, 0]), ("1", [-1, 2])])
def test_what_cannot_be_divided_is_a_fault_of_the_program(amount: str, weights: list[int]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        apportion(Decimal(amount), weights, "CNY")

"""Amounts in Stripe's units: exact, or refused; never rounded."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.payment.amount import NotChargeable, check_payable, from_stripe, places, to_stripe
from catalog.vocabulary.money import exponent, is_currency

# https://docs.stripe.com/currencies, "Zero-decimal currencies", without UGX.
ZERO_DECIMAL = [
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "JPY",
    "KMF",
    "KRW",
    "MGA",
    "PYG",
    "RWF",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
]
THREE_DECIMAL = ["BHD", "JOD", "KWD", "OMR", "TND"]


@pytest.mark.parametrize("currency", ZERO_DECIMAL)
def test_zero_decimal_currencies_are_counted_in_whole_units(currency: str) -> None:
    assert to_stripe(Decimal(500), currency) == 500
    with pytest.raises(NotChargeable):
        to_stripe(Decimal("500.5"), currency)


@pytest.mark.parametrize("currency", THREE_DECIMAL)
def test_three_decimal_currencies_are_payable_in_steps_of_ten(currency: str) -> None:
    assert to_stripe(Decimal("5.124"), currency) == 5124
    check_payable(Decimal("5.120"), currency)
    with pytest.raises(NotChargeable, match=r"steps of 0\.010"):
        check_payable(Decimal("5.124"), currency)


def test_kronur_are_whole_and_written_with_two_places() -> None:
    assert to_stripe(Decimal(5), "ISK") == 500
    assert from_stripe(500, "ISK") == Decimal(5)
    with pytest.raises(NotChargeable):
        to_stripe(Decimal("5.5"), "ISK")


def test_a_currency_whose_unit_is_in_doubt_is_not_charged() -> None:
    with pytest.raises(NotChargeable, match="two meanings"):
        to_stripe(Decimal(5), "UGX")


def test_everything_else_has_the_places_of_iso_4217() -> None:
    for currency in ("CNY", "EUR", "USD", "HUF", "TWD"):
        assert places(currency) == exponent(currency) == 2
        assert to_stripe(Decimal("-12.5"), currency) == -1250


@given(st.sampled_from(("CNY", "JPY", "KWD", "MGA", "ISK")), st.integers(-(10**15), 10**15))
def test_what_can_be_written_is_read_back_the_same(currency: str, units: int) -> None:
    assert is_currency(currency)
    amount = Decimal(units) if currency == "ISK" else Decimal(units).scaleb(-places(currency))
    assert from_stripe(to_stripe(amount, currency), currency) == amount

"""Amounts as Stripe writes them: whole numbers of the smallest unit, with its own exceptions to ISO 4217.

Source: https://docs.stripe.com/currencies, "Zero-decimal currencies", "Special cases" and "Three-decimal currencies".
"""

from decimal import Decimal

from catalog.vocabulary.money import exponent, plain

# Ariary has five iraimbilanja and ISO 4217 two places; Stripe takes whole ariary.
_WHOLE = frozenset({"MGA"})
# Whole amounts only, written with two places that are zero.
_WHOLE_IN_HUNDREDTHS = frozenset({"ISK"})
# Listed as a zero-decimal currency and also as one that is written with two places: a hundredfold error is possible.
_UNSURE = frozenset({"UGX"})


class NotChargeable(ValueError):
    """An amount that Stripe's smallest unit cannot express; it is never rounded to fit."""


def places(currency: str) -> int:
    """Decimal places of an amount at Stripe: CNY 2, JPY 0, KWD 3, ISK 2, MGA 0. KeyError if the currency is unknown."""
    if currency in _WHOLE:
        return 0
    return 2 if currency in _WHOLE_IN_HUNDREDTHS else exponent(currency)


def to_stripe(amount: Decimal, currency: str) -> int:
    """The whole number that stands for an amount: 12.50 CNY is 1250, 500 JPY is 500, 5 ISK is 500.

    `NotChargeable` where the amount has digits below Stripe's unit, which for ISK is a whole króna, and for UGX.
    """
    if currency in _UNSURE:
        raise NotChargeable(f"{currency}: Stripe's documentation gives two meanings to the same number")
    scaled = amount.scaleb(places(currency))
    if scaled != scaled.to_integral_value() or (
        currency in _WHOLE_IN_HUNDREDTHS and amount != amount.to_integral_value()
    ):
        raise NotChargeable(f"{plain(amount)} {currency} has digits that Stripe cannot express")
    return int(scaled)


def check_payable(total: Decimal, currency: str) -> None:
    """`NotChargeable` for a total that cannot be paid: in three-decimal currencies the last digit has to be zero."""
    if places(currency) == 3 and to_stripe(total, currency) % 10:
        raise NotChargeable(f"{plain(total)} {currency}: Stripe takes payments in steps of 0.010 only")


def from_stripe(number: int, currency: str) -> Decimal:
    """The amount that a whole number of Stripe stands for; the currency's ISO 4217 places at least."""
    amount = Decimal(number).scaleb(-places(currency))
    wanted = exponent(currency)
    rounded = amount.quantize(Decimal(1).scaleb(-wanted))
    return rounded if rounded == amount else amount

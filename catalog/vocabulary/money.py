"""Money: decimals with an ISO 4217 currency; rounded half-up to the currency's exponent, never a float."""

import re
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import msgspec
from iso4217 import Currency

# Wide enough that no product of a price (<= 20 digits) and a quantity (<= 18 digits) is ever rounded.
EXACT = Context(prec=60, rounding=ROUND_HALF_UP)

_AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,20})?")
_EXPONENTS: dict[str, int] = {c.code: c.exponent for c in Currency if c.exponent is not None}


class Money(msgspec.Struct, frozen=True):
    """An amount as the API writes it: `{"amount": "12.50", "currency": "CNY"}`."""

    amount: str
    currency: str


def decimal_of(text: str) -> Decimal:
    """The decimal of a plain decimal string; ValueError for exponents, NaN, infinities and anything else."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError('a decimal string such as "12.50" is needed: digits, at most 20 after the point')
    return Decimal(text)


def is_currency(code: str) -> bool:
    """Whether `code` is an ISO 4217 code of a currency that has a minor unit (metals and funds have none)."""
    return code in _EXPONENTS


def exponent(currency: str) -> int:
    """Decimal places of a currency's minor unit (ISO 4217): CNY 2, JPY 0, KWD 3; KeyError if unknown."""
    return _EXPONENTS[currency]


def round_money(amount: Decimal, currency: str) -> Decimal:
    """Half-up to the currency's exponent: the one rounding of an invoice line."""
    rounded: Decimal = amount.quantize(Decimal(1).scaleb(-exponent(currency)), context=EXACT)
    return rounded if rounded else rounded.copy_abs()


def plain(amount: Decimal) -> str:
    """Digits without exponent and without a negative zero, trailing zeros kept."""
    return format(amount if amount else amount.copy_abs(), "f")


def grouped(number: str) -> str:
    """A decimal number with its thousands apart: `1234.50` is `1,234.50`."""
    whole, point, fraction = number.partition(".")
    return f"{int(whole):,}{point}{fraction}" if whole not in ("-0", "") else number


def amount_text(amount: Decimal, currency: str) -> str:
    """An amount as documents show it: rounded, with all digits of the currency's minor unit."""
    return plain(round_money(amount, currency))


def money(amount: Decimal, currency: str) -> Money:
    """The API form of an amount that is rounded already."""
    return Money(plain(amount), currency)


def encode_decimal(value: Any) -> Any:
    """msgspec `enc_hook`: decimals leave as strings."""
    if isinstance(value, Decimal):
        return plain(value)
    raise NotImplementedError(type(value).__name__)

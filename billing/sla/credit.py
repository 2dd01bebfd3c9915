"""From missed objectives to money. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from catalog.vocabulary.exact import round_to
from catalog.vocabulary.money import exponent


class Credited(msgspec.Struct, frozen=True):
    """What an objective's miss gives back: a percentage of one operation's charges (`customs/check`), or of all (None)."""

    objective: str
    operation: str | None
    credit_pct: Decimal


def credit_amounts(
    charges: Mapping[str, Decimal],
    credited: Sequence[Credited],
    maximum_credit_pct: Decimal,
    currency: str,
) -> Mapping[str, Decimal]:
    """The credit of each objective for one account, service and month, as a positive amount in whole minor units.

    `charges` are the month's amounts by operation, as on the document. Objectives take their percentages in the order
    in which they are given until an operation has given back the maximum. The running total is rounded half-up, so one
    objective's amount is its own rounding and together they never pass the maximum by rounding.
    """
    given: dict[str, Decimal] = {}
    amounts: dict[str, Decimal] = {}
    exact = Fraction(0)
    booked = Decimal(0)
    for one in credited:
        for operation, charge in charges.items():
            if one.operation in (None, operation):
                so_far = given.get(operation, Decimal(0))
                percent = min(one.credit_pct, max(maximum_credit_pct - so_far, Decimal(0)))
                given[operation] = so_far + percent
                exact += Fraction(max(charge, Decimal(0))) * Fraction(percent) / 100
        total = round_to(exact, exponent(currency))
        amounts[one.objective] = total - booked
        booked = total
    return amounts

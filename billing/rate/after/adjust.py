"""After the price: success factor, percentage discount, fixed discount, then the period's minimum and maximum."""

from fractions import Fraction

from billing.rate.before.success import success_rate_pct
from billing.rate.trace import Step, StepName, total
from billing.rate.usage import Usage
from catalog.plan.price import Modifiers


def adjustments(
    price: Modifiers, usage: Usage, steps: list[Step], share: Fraction = Fraction(1)
) -> list[Step]:
    """What the price's modifiers add to the amount of `steps`, one step each where it changes something.

    Those that are for the whole period count by the `share` of it that the price held for; bounds of no time bind nobody.
    """
    amount = total(steps)
    found: list[Step] = []

    def become(value: Fraction, name: StepName) -> None:
        nonlocal amount
        if value != amount:
            found.append(Step(value - amount, name))
            amount = value

    if price.success_factor:
        become(amount * _factor(price, usage), "success_factor")
    become(amount * (1 - Fraction(price.discount_pct) / 100), "discount_pct")
    if discount := share * Fraction(price.discount_amount):
        # Only ever taken off: what is negative already is a correction of an earlier price's part.
        become(min(amount, max(Fraction(0), amount - discount)), "discount_amount")
    if price.minimum is not None and share:
        become(max(amount, share * Fraction(price.minimum)), "minimum")
    if price.maximum is not None and share:
        become(min(amount, share * Fraction(price.maximum)), "maximum")
    return found


def _factor(price: Modifiers, usage: Usage) -> Fraction:
    rate = success_rate_pct(usage, minimum_sample=0)
    rows = price.success_factor
    row = next(row for row in rows if rate is None or rate >= Fraction(row.min_success_rate))
    return Fraction(row.factor_pct) / 100

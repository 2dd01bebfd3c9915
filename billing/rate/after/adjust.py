"""After the price: success factor, percentage discount, fixed discount, then the period's minimum and maximum."""

from fractions import Fraction

from billing.rate.before.success import success_rate_pct
from billing.rate.trace import Step, StepName, total
from billing.rate.usage import Usage
from catalog.plan.price import Modifiers


def adjustments(price: Modifiers, usage: Usage, steps: list[Step]) -> list[Step]:
    """What the price's modifiers add to the amount of `steps`, one step each where it changes something."""
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
    become(max(Fraction(0), amount - Fraction(price.discount_amount)), "discount_amount")
    if price.minimum is not None:
        become(max(amount, Fraction(price.minimum)), "minimum")
    if price.maximum is not None:
        become(min(amount, Fraction(price.maximum)), "maximum")
    return found


def _factor(price: Modifiers, usage: Usage) -> Fraction:
    rate = success_rate_pct(usage, minimum_sample=0)
    rows = price.success_factor
    row = next(row for row in rows if rate is None or rate >= Fraction(row.min_success_rate))
    return Fraction(row.factor_pct) / 100

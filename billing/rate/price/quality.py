"""Prices that follow quality: the success rate that was reached, and the credit for an objective that was missed."""

from fractions import Fraction

from billing.rate.before.success import success_rate_pct
from billing.rate.trace import Step, priced
from billing.rate.usage import Attainment, Usage, UsageError
from catalog.plan.price import SlaCredit, SuccessTiered


def success_tiered(quantity: Fraction, usage: Usage, price: SuccessTiered) -> list[Step]:
    """The quantity at the unit price of the rate reached (inclusive); unjudged, at the first tier's."""
    rate = success_rate_pct(usage, int(price.minimum_sample))
    reached = next(tier for tier in price.tiers if rate is None or rate >= Fraction(tier.min_success_rate))
    return [priced(quantity, Fraction(reached.unit_price))]


def sla_credit(usage: Usage, price: SlaCredit) -> list[Step]:
    """The share of the bill that is given back, as a positive amount; lower bounds are inclusive."""
    if not isinstance(usage.measured, Attainment):
        raise UsageError("a credit is computed from uptime_pct and bill")
    attained, bill = Fraction(usage.measured.uptime_pct), Fraction(usage.measured.bill)
    if attained < 0 or bill < 0:
        raise UsageError("attainment and bill are never below zero")
    row = next(row for row in price.schedule if attained >= Fraction(row.at_least))
    return [priced(bill, Fraction(row.credit_pct) / 100)]

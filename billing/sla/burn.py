"""Burn-rate alarms: how fast the error budget of a window is being used up. Pure.

A burn rate of 1 uses the budget up exactly at the end of the window. An alarm needs a long window, so that it is about
something, and a short one, so that it ends soon after what it is about: the multi-window, multi-burn-rate alerts of "The
Site Reliability Workbook" (Beyer et al., O'Reilly 2018), chapter 5 "Alerting on SLOs", with its recommended figures.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec

from billing.sla.attainment import Share
from catalog.sla import Objective


class BurnRule(msgspec.Struct, frozen=True):
    """Fires while both windows burn at least `rate` times as fast as the budget lasts; `urgent` ones wake somebody."""

    id: str
    rate: Decimal
    long: timedelta
    short: timedelta
    urgent: bool


RULES = (
    BurnRule("fast", Decimal("14.4"), timedelta(hours=1), timedelta(minutes=5), urgent=True),
    BurnRule("steady", Decimal(6), timedelta(hours=6), timedelta(minutes=30), urgent=True),
    BurnRule("slow", Decimal(1), timedelta(days=3), timedelta(hours=6), urgent=False),
)
WINDOWS = tuple(sorted({window for rule in RULES for window in (rule.long, rule.short)}))


def burn_rate(objective: Objective, share: Share) -> Fraction:
    """How many times faster than allowed the budget is used; 0 of nothing. A promise without a budget burns at any miss."""
    if share.pct is None:
        return Fraction(0)
    lost = 100 - share.pct
    allowed = 100 - objective.target_pct
    return lost / allowed if allowed else Fraction(1_000_000 if lost else 0)


def burning(objective: Objective, shares: Mapping[timedelta, Share]) -> Mapping[str, Fraction]:
    """The rules that fire, with the rate over the long window; `shares` has every one of WINDOWS."""
    rates = {window: burn_rate(objective, share) for window, share in shares.items()}
    return {
        rule.id: rates[rule.long]
        for rule in RULES
        if min(rates[rule.long], rates[rule.short]) >= Fraction(rule.rate)
    }

"""How much of something was good, and what that is worth by the passport's terms. Pure."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from catalog.sla import CreditStep, Objective

State = Literal["met", "missed", "unjudged"]

_SHOWN = Decimal("0.0001")


class Share(msgspec.Struct, frozen=True):
    """`good` out of `total`; shares of separate things are merged by addition. Both are exact: an interval in which a third
    of the calls failed is two thirds good."""

    good: Fraction
    total: int

    def __add__(self, other: "Share") -> "Share":
        return Share(self.good + other.good, self.total + other.total)

    @property
    def pct(self) -> Fraction | None:
        """The percentage that was good, None of nothing."""
        return 100 * self.good / self.total if self.total else None


NOTHING = Share(Fraction(0), 0)


def state_of(objective: Objective, share: Share) -> State:
    """Whether the promise was kept. A sample that is too small for the bound is not judged."""
    attained = share.pct
    if attained is None or share.total < objective.sample_min:
        return "unjudged"
    kept = attained > objective.target_pct if objective.strict else attained >= objective.target_pct
    return "met" if kept else "missed"


def budget_left_pct(objective: Objective, share: Share) -> Fraction | None:
    """What is left of the error budget, in percent of it; below zero once it is overdrawn, None without a budget."""
    allowed = 100 - objective.target_pct
    if share.pct is None or not allowed:
        return None
    return 100 * (1 - (100 - share.pct) / allowed)


def credit_step(objective: Objective, schedule: Sequence[CreditStep], share: Share) -> CreditStep | None:
    """The row of the schedule that a miss falls to; None where nothing was missed or nothing is promised for it.

    Lower bounds are inclusive. Rows at or above the target are for months that kept it: a strict promise that was
    missed by nothing at all still gets the first row below.
    """
    attained = share.pct
    if state_of(objective, share) != "missed" or attained is None:
        return None
    return next(
        (
            step
            for step in schedule
            if attained >= Fraction(step.at_least) and Fraction(step.at_least) < objective.target_pct
        ),
        None,
    )


def shown_pct(percentage: Fraction | None) -> Decimal | None:
    """To four places, cut: what was missed by a hair is never shown as attained."""
    if percentage is None:
        return None
    exact = Decimal(percentage.numerator) / Decimal(percentage.denominator)
    return exact.quantize(_SHOWN, rounding=ROUND_DOWN).normalize() + Decimal(0)

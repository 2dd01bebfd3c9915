"""How an amount came about, step by step; the amounts of all steps sum to the precise amount."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

import msgspec

from catalog.vocabulary.exact import to_decimal
from catalog.vocabulary.money import plain

StepName = Literal[
    "price",
    "capacity",
    "event_bounds",
    "result_bounds",
    "success_factor",
    "discount_pct",
    "discount_amount",
    "minimum",
    "maximum",
    "counted_before",
    "billed_before",
]


class Step(msgspec.Struct, frozen=True):
    """One term of an amount, exact. A `price` step is quantity x unit price + flat fee, a `capacity` step says how much of
    a `unit` made its price the one that it is, and adds nothing; others only adjust."""

    amount: Fraction
    step: StepName = "price"
    up_to: str | None = None
    quantity: Fraction = Fraction(0)
    unit_price: Fraction = Fraction(0)
    flat_fee: Fraction = Fraction(0)
    unit: str | None = None


class TierTrace(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step as it is stored beside a line and shown to payers: decimal strings, `up_to` null for no bound. A `capacity`
    step names its `unit`."""

    step: StepName
    up_to: str | None
    quantity: str
    unit_price: str
    flat_fee: str
    amount: str
    unit: str | None = None


def priced(
    quantity: Fraction, unit_price: Fraction, flat_fee: Fraction = Fraction(0), up_to: str | None = None
) -> Step:
    """The step `quantity x unit_price + flat_fee`."""
    return Step(quantity * unit_price + flat_fee, "price", up_to, quantity, unit_price, flat_fee)


def total(steps: Iterable[Step]) -> Fraction:
    """The precise amount of steps."""
    return sum((step.amount for step in steps), Fraction(0))


def trace_of(steps: Iterable[Step]) -> tuple[TierTrace, ...]:
    """The stored form of steps."""
    return tuple(
        TierTrace(
            step.step,
            step.up_to,
            _text(step.quantity),
            _text(step.unit_price),
            _text(step.flat_fee),
            _text(step.amount),
            step.unit,
        )
        for step in steps
    )


def _text(value: Fraction) -> str:
    return plain(to_decimal(value))

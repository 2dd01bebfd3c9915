"""A price and what was used make a line: before, price, after, and one rounding at the end. Pure, no I/O."""

from decimal import Decimal
from fractions import Fraction

import msgspec

from billing.rate.after.adjust import adjustments
from billing.rate.price.apply import price_steps
from billing.rate.trace import Step, TierTrace, priced, total, trace_of
from billing.rate.usage import Buckets, Usage, UsageError
from catalog.plan import Price
from catalog.plan.price import Bucketed, Capacity, Flat
from catalog.vocabulary.exact import LineRounding, round_to, to_decimal
from catalog.vocabulary.money import exponent


class Rating(msgspec.Struct, frozen=True):
    """A rated line: the amount in the currency's minor units, the precise amount, and the steps to it.

    `precise` is exact unless it has no finite decimal form (then half-up to 30 places); `amount` is rounded from
    the exact value, never from `precise`. The trace's amounts sum to `precise`.
    """

    amount: Decimal
    precise: Decimal
    trace: tuple[TierTrace, ...]


def rate(price: Price, usage: Usage, currency: str) -> Rating:
    """What the usage of a whole period costs. UsageError for a usage that the model cannot take, KeyError for a
    currency that ISO 4217 does not know."""
    steps = rate_steps(price, usage)
    return line(steps, exponent(currency))


def rate_part(
    price: Price, usage: Usage, currency: str, *, before: Usage | None = None, share: Fraction = Fraction(1)
) -> Rating:
    """What a price costs that held for a part of the period, `share` of its days.

    Quantities are the period's: tiers, packages and free units go on where the prices `before` it left them, and
    `usage` includes theirs. What a price asks for the time itself is its share: a flat fee, that of a capacity, a fixed
    discount, minimum and maximum. The line may be negative, as `rate_difference`'s may.
    """
    if isinstance(price, Flat | Capacity):
        steps = [_by_days(step, share) for step in price_steps(price, usage)]
    elif isinstance(price, Bucketed):
        steps = _bucketed(price, usage)
    else:
        steps = price_steps(price, usage)
        if before is not None and (counted := total(price_steps(price, before))):
            steps.append(Step(-counted, "counted_before"))
    return line(steps + adjustments(price, usage, steps, share), exponent(currency))


def rate_difference(price: Price, before: Usage, after: Usage, currency: str) -> Rating:
    """The line that carries what is new since `before` was billed; it may be negative.

    Its amount is the rounded amount after minus the rounded amount before, so that a period's lines always sum
    to the one rounding of its total, however often it was billed.
    """
    return difference(rate_steps(price, before), rate_steps(price, after), exponent(currency))


def rate_steps(price: Price, usage: Usage) -> list[Step]:
    """The exact steps of an amount, before any rounding."""
    steps = _bucketed(price, usage) if isinstance(price, Bucketed) else price_steps(price, usage)
    return steps + adjustments(price, usage, steps)


def line(steps: list[Step], places: int | None, mode: LineRounding = "half_up") -> Rating:
    """The line of exact steps, rounded once to `places` decimals; None keeps the precise amount."""
    precise = total(steps)
    amount = to_decimal(precise) if places is None else round_to(precise, places, mode)
    return Rating(amount, to_decimal(precise), trace_of(steps))


def difference(
    before: list[Step], after: list[Step], places: int | None, mode: LineRounding = "half_up"
) -> Rating:
    """The line between two cumulative amounts: each is rounded, then subtracted."""
    billed, due = line(before, places, mode), line(after, places, mode)
    settled = [*after, Step(-total(before), "billed_before")]
    change = Fraction(due.amount) - Fraction(billed.amount)
    amount = to_decimal(change) if places is None else round_to(change, places)
    return Rating(amount, to_decimal(total(settled)), trace_of(settled))


def _by_days(step: Step, share: Fraction) -> Step:
    """A fee for the whole period, as its share of days."""
    return priced(share, step.flat_fee) if step.step == "price" else step


def _bucketed(price: Bucketed, usage: Usage) -> list[Step]:
    return [
        step
        for quantity in _bucket_quantities(usage)
        for step in rate_steps(price.price, Usage(quantity, usage.calls, usage.trailing))
    ]


def _bucket_quantities(usage: Usage) -> tuple[Decimal, ...]:
    match usage.measured:
        case Buckets(quantities):
            return quantities
        case Decimal() as quantity:
            return (quantity,)
        case _:
            raise UsageError("a bucketed price needs one quantity per bucket")

"""From a price and the usage to the steps of its amount, before discounts and bounds: one case per model."""

from fractions import Fraction
from typing import assert_never

from billing.rate.before.quantity import billed_quantity, used_quantity
from billing.rate.price.blocks import block_graduated, block_volume, packages
from billing.rate.price.combination import capacity, matrix
from billing.rate.price.percentage import outcome, percentage
from billing.rate.price.quality import sla_credit, success_tiered
from billing.rate.price.tiers import graduated, volume
from billing.rate.trace import Step, priced
from billing.rate.usage import Usage
from catalog.plan.price import (
    BlockGraduated,
    BlockVolume,
    BucketPrice,
    Capacity,
    Dynamic,
    Flat,
    Graduated,
    GraduatedPercentage,
    Matrix,
    Outcome,
    Package,
    Percentage,
    PerUnit,
    SlaCredit,
    SuccessTiered,
    UnitConversion,
    Volume,
    VolumePercentage,
)

SimplePrice = BucketPrice | Percentage | Capacity | Matrix | SuccessTiered | Outcome | SlaCredit


def price_steps(price: SimplePrice, usage: Usage) -> list[Step]:
    """The steps of every model but `bucketed`, which applies another price; UsageError for an unfit usage."""
    match price:
        case Flat():
            return [priced(Fraction(0), Fraction(0), Fraction(price.amount))]
        case PerUnit() | UnitConversion():
            return [priced(billed_quantity(price, usage), Fraction(price.unit_price))]
        case Dynamic():
            return [priced(billed_quantity(price, usage), Fraction(price.multiplier))]
        case Graduated() | GraduatedPercentage():
            return graduated(
                billed_quantity(price, usage), price.tiers, price.zero_usage_bills_first_tier_flat
            )
        case Volume() | VolumePercentage():
            return volume(billed_quantity(price, usage), price.tiers, price.zero_usage_bills_first_tier_flat)
        case Package():
            return packages(billed_quantity(price, usage), used_quantity(usage), price)
        case BlockGraduated():
            return block_graduated(billed_quantity(price, usage), price.tiers)
        case BlockVolume():
            return block_volume(billed_quantity(price, usage), price.tiers)
        case Percentage():
            return percentage(usage, price)
        case Outcome():
            return outcome(usage, price)
        case Capacity():
            return capacity(usage, price)
        case Matrix():
            return matrix(usage, price)
        case SuccessTiered():
            return success_tiered(billed_quantity(price, usage), usage, price)
        case SlaCredit():
            return sla_credit(usage, price)
        case _:
            assert_never(price)

"""Prices of whole blocks: packages, and tiers that are counted in blocks. A block that is begun is due."""

from collections.abc import Sequence
from fractions import Fraction

from billing.rate.before.quantity import round_quantity
from billing.rate.trace import Step, priced
from catalog.plan.price import BlockTier, Package


def packages(quantity: Fraction, used: Fraction, price: Package) -> list[Step]:
    """Whole packages of the quantity after free units; `used` is the quantity before them."""
    count = round_quantity(quantity / Fraction(price.package_size), price.round)
    if used == 0 and price.zero_usage == "one_package":
        count = Fraction(1)
    return [priced(count, Fraction(price.package_price))] if count else []


def block_graduated(quantity: Fraction, tiers: Sequence[BlockTier]) -> list[Step]:
    """Tier by tier, rounded up inside each; what exceeds every tier stays in the last one."""
    steps = []
    rest = quantity
    for tier in tiers:
        size = Fraction(tier.block_size)
        room = rest if tier.max_blocks is None or tier is tiers[-1] else int(tier.max_blocks) * size
        if rest > 0:
            steps.append(_blocks(min(rest, room), tier))
        rest -= min(rest, room)
    return steps


def block_volume(quantity: Fraction, tiers: Sequence[BlockTier]) -> list[Step]:
    """The whole quantity in blocks of the tier that it falls into; beyond every tier, of the last one."""
    if quantity == 0:
        return []
    bound = Fraction(0)
    for tier in tiers[:-1]:
        bound += int(tier.max_blocks or 0) * Fraction(tier.block_size)
        if quantity <= bound:
            return [_blocks(quantity, tier)]
    return [_blocks(quantity, tiers[-1])]


def _blocks(quantity: Fraction, tier: BlockTier) -> Step:
    count = round_quantity(quantity / Fraction(tier.block_size), "up")
    return priced(count, Fraction(tier.block_price))

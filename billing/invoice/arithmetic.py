"""How a line's amount came about, as somebody would write it by hand. Pure."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from billing.invoice import words
from billing.invoice.document import DocumentLine, quantity
from billing.rate import TierTrace
from catalog.vocabulary.money import EXACT
from catalog.vocabulary.problem import Language


def arithmetic(line: DocumentLine, language: Language) -> tuple[str, ...]:
    """The steps of a line, such as `22 × 0.085 = 1.87`; none where the amount says it all."""
    tiers = _own_units(line.tiers, Decimal(line.units))
    if len(tiers) == 1 and tiers[0].step == "price" and tiers[0].quantity == "1" and line.kind != "usage":
        return ()
    return tuple(_written(tier, language) for tier in tiers)


def _written(tier: TierTrace, language: Language) -> str:
    if tier.step == "capacity":
        return _needed(tier, language)
    if tier.step != "price":
        return f"{words.STEPS[tier.step].worded(language)}: {tier.amount}"
    terms = []
    if Decimal(tier.quantity):
        terms.append(f"{tier.quantity} × {tier.unit_price}")
    if Decimal(tier.flat_fee):
        terms.append(f"{tier.flat_fee} ({words.FLAT_FEE.worded(language)})")
    return f"{' + '.join(terms) or '0'} = {tier.amount}"


def _needed(tier: TierTrace, language: Language) -> str:
    """What made the tier of a capacity the one that it is."""
    text = words.CAPACITY_BEYOND if tier.up_to is None else words.CAPACITY
    unit = words.CAPACITY_UNITS[tier.unit or ""].worded(language)
    return text.worded(language).format(unit=unit, most=tier.quantity, bound=tier.up_to)


def _own_units(tiers: Sequence[TierTrace], units: Decimal) -> Sequence[TierTrace]:
    """The tiers without the units that were counted before, where those are the first units of the tiers.

    A price that begins within a month goes on in the tiers where the one before it left them: its steps are those of all
    units so far, less what the earlier ones come to. Where the difference is not the line's own units it stays as it is.
    """
    rest = -sum((Decimal(tier.amount) for tier in tiers if tier.step == "counted_before"), Decimal(0))
    if rest <= 0:
        return tiers
    own: list[TierTrace] = []
    for tier in tiers:
        if tier.step == "counted_before":
            continue
        taken = min(rest, Decimal(tier.amount)) if tier.step == "price" else Decimal(0)
        if taken > 0:
            price = Decimal(tier.unit_price)
            if Decimal(tier.flat_fee) or price <= 0:
                return tiers
            rest -= taken
            amount = EXACT.subtract(Decimal(tier.amount), taken)
            count = EXACT.divide(amount, price)
            if EXACT.multiply(count, price) != amount:
                return tiers
            tier = msgspec.structs.replace(tier, quantity=quantity(count), amount=quantity(amount))
        if tier.step != "price" or Decimal(tier.quantity):
            own.append(tier)
    counted = sum((Decimal(tier.quantity) for tier in own if tier.step == "price"), Decimal(0))
    return own if rest == 0 and counted == units else tiers

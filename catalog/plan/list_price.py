"""What one call costs by the list: at the first tier, before allowances and discounts (`Ordergate-Charge`)."""

from decimal import ROUND_HALF_UP, Decimal

from catalog.plan.price import (
    BlockGraduated,
    BlockVolume,
    Bucketed,
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
    Price,
    QuantityModifiers,
    SlaCredit,
    SuccessTiered,
    Tier,
    UnitConversion,
    Volume,
    VolumePercentage,
)
from catalog.vocabulary.money import EXACT

_FINEST = Decimal("1E-12")
_ONE = Decimal(1)


def list_price(price: Price) -> Decimal:
    """The list amount of one unit, in the price's currency, not rounded to it (at most 12 decimal places)."""
    return list_amount(price, _ONE)


def list_amount(price: Price, units: Decimal) -> Decimal:
    """The list amount of one call of `units` units, at most 12 decimal places (half-up).

    Fees for a period (`flat`, `capacity`, a tier's flat fee) are no part of a call's price. A package, block or
    converted unit is taken pro rata, a matrix at its dearest combination.
    """
    return _tidy(_amount(price, units))


def most_for_one_call(price: Price) -> Decimal | None:
    """The most that one call can cost by the list however much it measures; None where nothing bounds it."""
    match price:
        case Percentage():
            bound = price.max_per_event
        case Outcome():
            bound = price.max
        case Flat() | Capacity() | SlaCredit():
            bound = "0"
        case Bucketed():
            return most_for_one_call(price.price)
        case _:
            bound = None
    return None if bound is None else Decimal(bound)


def depends_on_period(price: Price) -> bool:
    """Whether the real price of a call depends on what else happens in its period, so that the list is an estimate."""
    if _has_modifier(price):
        return True
    match price:
        case PerUnit() | UnitConversion() | Dynamic() | Flat() | SlaCredit() | Outcome():
            return False
        case Percentage():
            return any(Decimal(term or 0) for term in (price.free_events, price.free_amount))
        case Graduated() | Volume() | GraduatedPercentage() | VolumePercentage():
            return len(price.tiers) > 1 or Decimal(price.tiers[0].flat_fee) > 0
        case Bucketed():
            return depends_on_period(price.price)
        case _:
            return True


def _has_modifier(price: Price) -> bool:
    if price.success_factor or price.minimum is not None or price.maximum is not None:
        return True
    terms = [price.discount_pct, price.discount_amount]
    if isinstance(price, QuantityModifiers):
        terms.append(price.free_units)
        if price.round != "none":
            return True
    return any(Decimal(term) for term in terms)


def _amount(price: Price, units: Decimal) -> Decimal:
    if isinstance(price, QuantityModifiers):
        units = EXACT.divide(units, Decimal(price.divide_by))
    match price:
        case PerUnit() | UnitConversion():
            return EXACT.multiply(units, Decimal(price.unit_price))
        case Graduated() | Volume() | GraduatedPercentage() | VolumePercentage():
            tier = price.tiers[0]
            if isinstance(tier, Tier):
                return EXACT.multiply(units, Decimal(tier.unit_price))
            return _share(units, tier.rate_pct)
        case Package():
            return EXACT.divide(
                EXACT.multiply(units, Decimal(price.package_price)), Decimal(price.package_size)
            )
        case BlockGraduated() | BlockVolume():
            block = price.tiers[0]
            return EXACT.divide(EXACT.multiply(units, Decimal(block.block_price)), Decimal(block.block_size))
        case Percentage():
            share = EXACT.add(_share(units, price.rate_pct), Decimal(price.fixed_per_event))
            return _bounded(share, price.min_per_event, price.max_per_event)
        case Outcome():
            return _bounded(_share(units, price.rate_pct), price.min, price.max) if units else Decimal(0)
        case Dynamic():
            return EXACT.multiply(units, Decimal(price.multiplier))
        case Matrix():
            unit_prices = [Decimal(cell.unit_price) for cell in price.cells]
            if price.default is not None:
                unit_prices.append(Decimal(price.default))
            return EXACT.multiply(units, max(unit_prices))
        case SuccessTiered():
            return EXACT.multiply(units, Decimal(price.tiers[0].unit_price))
        case Bucketed():
            return _amount(price.price, units)
        case Flat() | Capacity() | SlaCredit():
            return Decimal(0)


def _share(value: Decimal, rate_pct: str) -> Decimal:
    return EXACT.divide(EXACT.multiply(value, Decimal(rate_pct)), Decimal(100))


def _bounded(amount: Decimal, low: str | None, high: str | None) -> Decimal:
    if low is not None:
        amount = max(amount, Decimal(low))
    return amount if high is None else min(amount, Decimal(high))


def _tidy(amount: Decimal) -> Decimal:
    """Half-up to 12 places, without needless zeros and without an exponent."""
    if amount.as_tuple().exponent < -12:  # type: ignore[operator]  # finite, so a number
        amount = amount.quantize(_FINEST, rounding=ROUND_HALF_UP, context=EXACT)
    if amount == amount.to_integral_value():
        return amount.quantize(_ONE, context=EXACT)
    return amount.normalize(EXACT)

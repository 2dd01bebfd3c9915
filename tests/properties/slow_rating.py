"""A second, slow rating engine: it counts units one by one, on fractions, from the raw fields of a price.

It shares nothing with the product's engine, takes whole quantities, and is meant to be read, not to be fast.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

Fields = Mapping[str, Any]


def slow_amount(model: str, fields: Fields, used: int) -> Fraction:
    """The exact amount of `used` units, modifiers included."""
    billed = max(Fraction(0), used - Fraction(fields.get("free_units", "0")))
    if model != "package":
        billed = _converted(billed, Fraction(fields.get("divide_by", "1")), fields.get("round", "none"))
    amount = _PRICES[model](fields, billed)
    amount -= amount * Fraction(fields.get("discount_pct", "0")) / 100
    discount = Fraction(fields.get("discount_amount", "0"))
    amount = amount - discount if amount > discount else Fraction(0)
    if "minimum" in fields and amount < Fraction(fields["minimum"]):
        amount = Fraction(fields["minimum"])
    if "maximum" in fields and amount > Fraction(fields["maximum"]):
        amount = Fraction(fields["maximum"])
    return amount


def slow_percentage(fields: Fields, values: Sequence[int]) -> Fraction:
    """The amount of events with whole values: each unit of value is looked at by itself."""
    events_left = int(fields.get("free_events", 0)) or None
    amount_left = int(fields.get("free_amount", "0")) or None
    limits = (events_left is not None) + (amount_left is not None)
    whole = Fraction(0)
    for value in values:
        open_run = limits > 0 and events_left != 0 and amount_left != 0
        charged = 0
        for _ in range(value):
            if open_run and amount_left != 0:
                amount_left = None if amount_left is None else amount_left - 1
            else:
                charged += 1
        events_left = None if events_left is None else max(0, events_left - 1)
        if open_run and charged == 0:
            continue
        share = charged * Fraction(fields["rate_pct"]) / 100 + Fraction(fields.get("fixed_per_event", "0"))
        if "min_per_event" in fields:
            share = max(share, Fraction(fields["min_per_event"]))
        if "max_per_event" in fields:
            share = min(share, Fraction(fields["max_per_event"]))
        whole += share
    return whole


def slow_minor_units(amount: Fraction, places: int) -> int:
    """Half-up to minor units: the whole ones, and one more where the rest is half of one or larger."""
    whole = int(amount * 10**places)
    rest = amount * 10**places - whole
    return whole + int(rest >= Fraction(1, 2)) - int(rest <= Fraction(-1, 2))


def _converted(quantity: Fraction, size: Fraction, mode: str) -> Fraction:
    if mode == "none":
        return quantity / size
    whole, rest = 0, quantity
    while rest >= size:
        whole, rest = whole + 1, rest - size
    begun = {"up": rest > 0, "down": False, "half_up": rest * 2 >= size}[mode]
    return Fraction(whole + begun)


def _unit_by_unit(quantity: Fraction) -> list[Fraction]:
    """The upper end of each whole unit, and of the broken one at the end."""
    ends = [Fraction(n) for n in range(1, int(quantity) + 1)]
    return ends if quantity == int(quantity) else [*ends, quantity]


def _tier_at(fields: Fields, position: Fraction) -> int:
    bounds = [tier["up_to"] for tier in fields["tiers"]]
    return sum(1 for bound in bounds if bound is not None and position > Fraction(bound))


def _graduated(fields: Fields, quantity: Fraction) -> Fraction:
    """Tier bounds are whole, so that each unit lies in one tier."""
    if quantity == 0 and fields.get("zero_usage_bills_first_tier_flat"):
        return Fraction(fields["tiers"][0]["flat_fee"])
    amount, entered, reached = Fraction(0), set(), Fraction(0)
    for end in _unit_by_unit(quantity):
        index = _tier_at(fields, end)
        amount += (end - reached) * Fraction(fields["tiers"][index]["unit_price"])
        entered.add(index)
        reached = end
    return amount + sum((Fraction(fields["tiers"][index]["flat_fee"]) for index in entered), Fraction(0))


def _volume(fields: Fields, quantity: Fraction) -> Fraction:
    if quantity == 0 and not fields.get("zero_usage_bills_first_tier_flat"):
        return Fraction(0)
    tier = fields["tiers"][_tier_at(fields, quantity)]
    return quantity * Fraction(tier["unit_price"]) + Fraction(tier["flat_fee"])


def _package(fields: Fields, quantity: Fraction) -> Fraction:
    mode = fields.get("round", "up")
    return _converted(quantity, Fraction(fields["package_size"]), mode) * Fraction(fields["package_price"])


def _block_graduated(fields: Fields, quantity: Fraction) -> Fraction:
    """Takes block after block until nothing is left; a tier that is full passes on to the next."""
    amount, index, taken = Fraction(0), 0, 0
    while quantity > 0:
        tier = fields["tiers"][index]
        if (
            tier["max_blocks"] is not None
            and taken == int(tier["max_blocks"])
            and index + 1 < len(fields["tiers"])
        ):
            index, taken = index + 1, 0
            continue
        quantity -= Fraction(tier["block_size"])
        amount += Fraction(tier["block_price"])
        taken += 1
    return amount


_PRICES: Mapping[str, Callable[[Fields, Fraction], Fraction]] = {
    "per_unit": lambda fields, quantity: quantity * Fraction(fields["unit_price"]),
    "unit_conversion": lambda fields, quantity: quantity * Fraction(fields["unit_price"]),
    "dynamic": lambda fields, quantity: quantity * Fraction(fields["multiplier"]),
    "flat": lambda fields, _quantity: Fraction(fields["amount"]),
    "graduated": _graduated,
    "volume": _volume,
    "package": _package,
    "block_graduated": _block_graduated,
}

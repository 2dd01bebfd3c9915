"""Prices as people read them: a few lines, each an amount and when it applies."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from catalog.meter import Meter
from catalog.passport import Passport
from catalog.plan import Price, list_price
from catalog.plan.price import (
    Capacity,
    CapacityTier,
    Dynamic,
    Flat,
    Graduated,
    Matrix,
    Outcome,
    Package,
    Percentage,
    PerUnit,
    QuantityModifiers,
    SuccessTiered,
    Tier,
    UnitConversion,
    Volume,
)
from catalog.price_list import ListedEntry, ListedPlan, ListedPrice
from catalog.vocabulary.money import plain
from gateway.control.contracts.operations import public_plans
from gateway.control.pages.phrases import Phrases


class PriceLine(msgspec.Struct, frozen=True):
    """An amount as published (`0.055`), what it is for, and whether it is nothing."""

    amount: str
    condition: str
    free: bool = False


class PriceText(msgspec.Struct, frozen=True):
    """The lines of a price and what else has to be known."""

    lines: tuple[PriceLine, ...]
    notes: tuple[str, ...]


class PriceCell(msgspec.Struct, frozen=True):
    """An operation's price, and the one that is scheduled after it with the day on which it begins.

    `since` is empty where the price began with its column.
    """

    price: PriceText
    since: str
    scheduled: PriceText | None
    scheduled_from: str


class PriceColumn(msgspec.Struct, frozen=True):
    """A plan in one currency."""

    plan: str
    currency: str
    audience: str
    billing: str
    since: str


class PriceRow(msgspec.Struct, frozen=True):
    """An operation with its price in each column; None where the plan does not sell it."""

    operation: str
    summary: str
    cells: tuple[PriceCell | None, ...]


class PriceTable(msgspec.Struct, frozen=True):
    """The public plans of a service, one column for each plan and currency."""

    columns: tuple[PriceColumn, ...]
    rows: tuple[PriceRow, ...]


def price_table(passport: Passport, plans: Sequence[ListedPlan], phrases: Phrases) -> PriceTable:
    """The table of a service's public prices: those in force, and those that are scheduled."""
    columns = [
        (plan, currency)
        for plan in public_plans(plans)
        for currency in dict.fromkeys(entry.currency for entry in plan.entries)
    ]
    return PriceTable(
        tuple(_column(plan, currency, phrases) for plan, currency in columns),
        tuple(
            PriceRow(
                f"{passport.service}/{entry.id}",
                phrases.of(entry.summary),
                tuple(
                    _cell(plan, plan.entry(entry.id, currency), entry.meter, phrases)
                    for plan, currency in columns
                ),
            )
            for entry in passport.operations
        ),
    )


def _column(plan: ListedPlan, currency: str, phrases: Phrases) -> PriceColumn:
    return PriceColumn(
        plan.id,
        currency,
        phrases(f"audience_{plan.audience}"),
        phrases(f"billed_{plan.billable_on}"),
        phrases("from_day", day=plan.effective_from),
    )


def _cell(plan: ListedPlan, entry: ListedEntry | None, meter: Meter, phrases: Phrases) -> PriceCell | None:
    if entry is None:
        return None
    unit = phrases("per_call" if meter.unit else "per_item" if meter.items else "per_value")
    price, scheduled = entry.price, entry.scheduled
    return PriceCell(
        price_text(price.price, price.model, unit, phrases),
        "" if price.effective_from == plan.effective_from else phrases("from_day", day=price.effective_from),
        None if scheduled is None else _scheduled(scheduled, price, unit, phrases),
        phrases("from_day", day=scheduled.effective_from) if scheduled else "",
    )


def _scheduled(scheduled: ListedPrice, price: ListedPrice, unit: str, phrases: Phrases) -> PriceText:
    """A scheduled price; what is billed is said where that changes with it."""
    text = price_text(scheduled.price, scheduled.model, unit, phrases)
    if scheduled.billable_on == price.billable_on:
        return text
    return PriceText(text.lines, (*text.notes, phrases(f"billed_{scheduled.billable_on}")))


def price_text(price: Price, model: str, unit: str, phrases: Phrases) -> PriceText:
    """The price in words; `unit` is what one unit is called. A model without words of its own shows its list price."""
    notes: list[str] = []
    match price:
        case PerUnit():
            lines = [_line(price.unit_price, unit, phrases)]
        case UnitConversion():
            lines = [_line(price.unit_price, phrases("per_units", size=price.divide_by), phrases)]
        case Flat(amount=fee) | Capacity(tiers=(CapacityTier(price=fee),)):
            lines = [_line(fee, phrases("per_month"), phrases)]
        case Graduated() | Volume():
            lines = list(_tiers(price.tiers, phrases))
            if len(lines) > 1:
                notes.append(phrases("graduated" if isinstance(price, Graduated) else "volume"))
        case Package():
            lines = [_line(price.package_price, phrases("per_package", size=price.package_size), phrases)]
            notes.append(phrases("package" if price.round == "up" else "package_down"))
            if Decimal(price.free_units):
                notes.append(phrases("free_units", units=price.free_units))
        case SuccessTiered():
            lines = [
                _line(tier.unit_price, phrases("success_rate", percent=tier.min_success_rate), phrases)
                for tier in price.tiers
            ]
        case Matrix():
            lines = [
                _line(
                    cell.unit_price, " · ".join(cell.dimensions[name] for name in price.dimensions), phrases
                )
                for cell in price.cells
            ]
            if price.default is not None:
                lines.append(_line(price.default, phrases("any_other" if lines else "any"), phrases))
            notes.append(phrases("by_dimensions", dimensions=", ".join(price.dimensions)))
        case Capacity():
            lines = [_line(tier.price, _room(tier, phrases), phrases) for tier in price.tiers]
            notes.append(phrases("capacity"))
        case Percentage():
            lines = [PriceLine(f"{price.rate_pct} %", phrases("percent_of_value"))]
        case Outcome():
            lines = [PriceLine(f"{price.rate_pct} %", phrases("percent_of_result"))]
            bounds = (("result_least", price.min), ("result_most", price.max))
            notes += [phrases(key, amount=amount) for key, amount in bounds if amount is not None]
            notes.append(phrases("result_accepted"))
        case Dynamic():
            lines = [PriceLine(f"× {price.multiplier}", phrases("times_value"))]
        case _:
            lines = [_line(plain(list_price(price)), phrases("list_from"), phrases)]
            notes.append(phrases("see_contract", model=model))
    return PriceText(tuple(lines), (*notes, *_modifiers(price, phrases)))


def _line(amount: str, condition: str, phrases: Phrases) -> PriceLine:
    if Decimal(amount) == 0:
        return PriceLine(phrases("free"), condition, free=True)
    return PriceLine(amount, condition)


def _room(tier: CapacityTier, phrases: Phrases) -> str:
    if tier.max is None:
        return phrases("capacity_beyond")
    bounds = " · ".join(phrases(f"capacity_{unit}", most=most) for unit, most in tier.max.items())
    return phrases("capacity_within", bounds=bounds)


def _tiers(tiers: tuple[Tier, ...], phrases: Phrases) -> Iterator[PriceLine]:
    whole = all(tier.up_to is None or "." not in tier.up_to for tier in tiers)
    before: str | None = None
    for tier in tiers:
        condition = _range(before, tier.up_to, phrases, whole=whole)
        if Decimal(tier.flat_fee):
            condition += ", " + phrases("tier_fee", fee=tier.flat_fee)
        yield _line(tier.unit_price, condition, phrases)
        before = tier.up_to


def _range(before: str | None, up_to: str | None, phrases: Phrases, *, whole: bool) -> str:
    """Bounds are inclusive above; where they are whole numbers the next tier begins one later."""
    if up_to is None:
        if before is None:
            return phrases("tier_all")
        return phrases("tier_last", low=int(before) + 1) if whole else phrases("tier_above", low=before)
    if not whole:
        return phrases("tier_up_to", high=up_to)
    if before is None:
        return phrases("tier_first", high=up_to)
    return phrases("tier_between", low=int(before) + 1, high=up_to)


def _modifiers(price: Price, phrases: Phrases) -> Iterator[str]:
    if isinstance(price, QuantityModifiers) and Decimal(price.free_units):
        yield phrases("free_units", units=price.free_units)
    if price.success_factor:
        yield phrases("success_factor")
    if Decimal(price.discount_pct):
        yield phrases("discount", percent=price.discount_pct)
    if price.minimum is not None:
        yield phrases("minimum", amount=price.minimum)
    if price.maximum is not None:
        yield phrases("maximum", amount=price.maximum)

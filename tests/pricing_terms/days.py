"""Fees that count by days, on the product's own calendar."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from billing.invoice.contract import tax_charges
from billing.invoice.parts import Life, shares
from billing.rate import Rating, Usage, rate_part
from catalog.accounts.tax import TaxRate
from catalog.load import PriceVersion
from catalog.plan import parse_price
from catalog.vocabulary.exact import to_decimal
from catalog.vocabulary.period import Period
from tests.pricing_terms.case import Case, Found

MONTHS = {28: Period(2023, 2), 29: Period(2024, 2), 30: Period(2023, 6), 31: Period(2023, 3)}
"""A month of so many days."""

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_ZERO = Decimal(0)


def share(days: int, of: int) -> Fraction:
    """The last so many days of a month, as the product counts them; of longer spans the plain ratio."""
    if of not in MONTHS:
        return Fraction(days, of)
    month = MONTHS[of]
    starts_at = month.bounds("UTC")[1] - timedelta(days=days)
    held = shares([_flat("x", None)], month, "UTC", Life(starts_at, None, None))
    return held["x"]


def _flat(name: str, begins_on: date | None) -> PriceVersion:
    price = parse_price("flat", {"amount": "0"})
    version = 1 if begins_on is None else 2
    return PriceVersion(name, "s", "p", "s/o", "USD", version, _LONG_AGO, "success", "flat", price, begins_on)


def fee(amount: str | Decimal, share: Fraction, currency: str, **modifiers: str) -> Decimal:
    """A share of a fee, rounded as a line is."""
    price = parse_price("flat", {"amount": str(amount), **modifiers})
    rating: Rating = rate_part(price, Usage(_ZERO), currency, share=share)
    return rating.amount


def tax(net: Decimal, percent: str, currency: str) -> Decimal:
    """The tax on an amount, rounded once."""
    rate = TaxRate("XX", "", _LONG_AGO.date(), "VAT", Decimal(percent))
    return sum((one.amount for one in tax_charges([rate], {"s": net}, currency)), _ZERO)


def prorated(case: Case) -> Found:
    """A part of a fee with its tax; or what a change of the fee within the month adds to the old one."""
    price, currency = case["price"], case["currency"]
    of = int(price["period_days"])
    if "old_amount" in price:
        month, days = MONTHS[of], int(price["remaining_days"])
        begins_on = month.next().first_day - timedelta(days=days)
        held = shares([_flat("old", None), _flat("new", begins_on)], month, "UTC", None)
        due = [fee(price[f"{one}_amount"], held[one], currency) for one in ("old", "new")]
        return {"amount": sum(due, _ZERO) - Decimal(price["old_amount"])}
    days = int(price.get("active_days") or price.get("unused_days") or case["usage"]["days"])
    net = fee(price["amount"], share(days, of), currency)
    return {"amount": net + tax(net, price.get("tax_pct", "0"), currency)}


def prorated_in_march(case: Case) -> Found:
    """The same days of a month of 31."""
    return prorated({**case, "price": {**case["price"], "period_days": "31"}})


def ratio(case: Case) -> Found:
    """The share that days are of their month."""
    return {"amount": to_decimal(share(int(case["usage"]["days"]), int(case["usage"]["of"])))}


def plan_changed(case: Case) -> Found:
    """The rest of the period at both fees; discounts come off before the days are counted."""
    price, currency = case["price"], case["currency"]
    rest = share(int(price["remaining_days"]), int(price["period_days"]))
    both = {}
    for side, name in (("old", "credit"), ("new", "debit")):
        match price.get(f"{side}_discount"):
            case ["pct", percent]:
                less = {"discount_pct": str(percent)}
            case ["fix", amount]:
                less = {"discount_amount": str(amount)}
            case _:
                less = {}
        both[name] = fee(price[f"{side}_amount"], rest, currency, **less)
    return {"amount": both["debit"] - both["credit"], **both}


def quantity_changed(case: Case) -> Found:
    """The rest of the period for another number of the same."""
    price = case["price"]
    each = Decimal(price["unit_price"])
    amounts = {f"{side}_amount": str(each * Decimal(price[f"{side}_quantity"])) for side in ("old", "new")}
    return {"amount": plan_changed({**case, "price": {**price, **amounts}})["amount"]}

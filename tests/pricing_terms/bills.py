"""What a contract adds to a bill, and the taxes on it."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from billing.invoice.contract import contract_charges, tax_charges
from catalog.accounts.contract_terms import ContractTerms
from catalog.accounts.tax import TaxRate
from tests.pricing_terms.case import Case, Found
from tests.pricing_terms.days import MONTHS, fee, share, tax

_ZERO = Decimal(0)


def topped_up(case: Case) -> Found:
    """What a minimum adds to a month; with `tax_pct` the whole bill."""
    price, currency = case["price"], case["currency"]
    days, of = int(price.get("active_days", 28)), int(price.get("period_days", 28))
    month = MONTHS[of]
    minimum = Decimal(price.get("commitment") or price["minimum"])
    terms = ContractTerms("", "", month.next().first_day - timedelta(days=days), minimum=minimum)
    charged = _charged(case, share(days, of))
    found = contract_charges([terms], {"s": charged}, {}, month, currency)
    missing = sum((one.amount for one in found), _ZERO)
    if "tax_pct" not in price:
        return {"amount": missing}
    net = charged + missing
    return {"amount": net + tax(net, price["tax_pct"], currency)}


def _charged(case: Case, share: Fraction) -> Decimal:
    price, usage = case["price"], case["usage"]
    if "fees_full_period" in price:
        return fee(price["fees_full_period"], share, case["currency"])
    if "unit_price" in price:
        return Decimal(price["unit_price"]) * Decimal(usage)
    return Decimal(usage.get("fees") or usage["usage_amount"])


def taxed_with_coupon(case: Case) -> Found:
    """An amount off the whole bill is shared by the groups of services in proportion, before tax."""
    fees = {f"s{place}": fee for place, fee in enumerate(case["usage"]["fees"])}
    rates = [
        TaxRate("XX", name, date(2020, 1, 1), "VAT", Decimal(fee["tax_pct"])) for name, fee in fees.items()
    ]
    net = {name: Decimal(fee["amount"]) for name, fee in fees.items()} | {
        "": -Decimal(case["price"]["coupon"])
    }
    tax = sum((one.amount for one in tax_charges(rates, net, case["currency"])), _ZERO)
    return {"amount": sum(net.values(), _ZERO) + tax, "tax": tax, "total": sum(net.values(), _ZERO) + tax}

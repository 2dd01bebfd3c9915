"""Pricing cases about more than the price of a call, each answered by the part of the product that it is about.

A case has an id, a model, a currency, a price, usage, `expected_amount`, and `expected` where the answer is more than one
number. What an amount means depends on the model: the line, the discount, what stays owed, what expires.
"""

from collections.abc import Callable, Mapping

from tests.pricing_terms.bills import taxed_with_coupon, topped_up
from tests.pricing_terms.case import Case, Found, agrees
from tests.pricing_terms.credit import burnt_down, credited, expired
from tests.pricing_terms.days import (
    plan_changed,
    prorated,
    prorated_in_march,
    quantity_changed,
    ratio,
)
from tests.pricing_terms.lines import (
    allocated,
    billable_units,
    fixed_discount,
    grouped,
    line,
    lines_rounded,
    packages,
    percentage_discount,
    rounded,
)

__all__ = ["MODELS", "Case", "Found", "agrees", "figures"]

MODELS: Mapping[str, Callable[[Case], Found]] = {
    **dict.fromkeys(
        (
            "block_graduated",
            "block_volume",
            "bucketed",
            "dynamic",
            "graduated",
            "graduated_percentage",
            "package",
            "per_unit",
            "percentage",
            "unit_conversion",
            "volume",
        ),
        line,
    ),
    "allocation": allocated,
    "credit_burn_down": burnt_down,
    "credit_expiry": expired,
    "credit_note_proration": prorated,
    "credits_on_invoice": credited,
    "fixed_discount": fixed_discount,
    "grouped": grouped,
    "minimum_commitment": topped_up,
    "minimum_commitment_prorated": topped_up,
    "minimum_spend": topped_up,
    "minimum_spend_prorated": topped_up,
    "package_units": packages,
    "percentage_discount": percentage_discount,
    "proration_days": prorated,
    "proration_fixed30": prorated_in_march,
    "proration_plan_change": plan_changed,
    "proration_quantity": quantity_changed,
    "proration_ratio": ratio,
    "round_per_line": lines_rounded,
    "rounding": rounded,
    "tax_with_coupon": taxed_with_coupon,
    "usage_discount": billable_units,
}


def figures(case: Case) -> Found:
    """What the product says of a case; `KeyError` for a model that it has no part for."""
    return MODELS[case["model"]](case)

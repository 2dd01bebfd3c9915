"""Plans and prices: the price models, checked, immutable once published.."""

from catalog.plan.list_price import depends_on_period, list_amount, list_price, most_for_one_call
from catalog.plan.parse import MODELS, parse_price, price_fields
from catalog.plan.plan import Audience, BillableOn, Plan, PriceEntry, parse_plan
from catalog.plan.price import Price

__all__ = [
    "MODELS",
    "Audience",
    "BillableOn",
    "Plan",
    "Price",
    "PriceEntry",
    "depends_on_period",
    "list_amount",
    "list_price",
    "most_for_one_call",
    "parse_plan",
    "parse_price",
    "price_fields",
]

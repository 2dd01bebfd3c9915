"""One row of a FOCUS 1.2 cost and usage dataset: all 57 columns of the specification, in alphabetical order."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

# Digits behind the point of every number. Two of them multiplied still fit the 38 digits of a Parquet decimal.
SCALE = 12
DIGITS = 30

ChargeCategory = Literal["Usage", "Purchase", "Tax", "Credit", "Adjustment"]
ChargeFrequency = Literal["One-Time", "Recurring", "Usage-Based"]


class FocusRow(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A charge. Amounts are in `billing_currency`; moments in UTC, ends exclusive; `tags` is a JSON object.

    What is null without a value here is explained in the package's README.
    """

    availability_zone: str | None = None
    billed_cost: Decimal
    billing_account_id: str
    billing_account_name: str
    billing_account_type: str
    billing_currency: str
    billing_period_end: datetime
    billing_period_start: datetime
    capacity_reservation_id: str | None = None
    capacity_reservation_status: str | None = None
    charge_category: ChargeCategory
    charge_class: Literal["Correction"] | None
    charge_description: str
    charge_frequency: ChargeFrequency
    charge_period_end: datetime
    charge_period_start: datetime
    commitment_discount_category: str | None = None
    commitment_discount_id: str | None = None
    commitment_discount_name: str | None = None
    commitment_discount_quantity: Decimal | None = None
    commitment_discount_status: str | None = None
    commitment_discount_type: str | None = None
    commitment_discount_unit: str | None = None
    consumed_quantity: Decimal | None = None
    consumed_unit: str | None = None
    contracted_cost: Decimal
    contracted_unit_price: Decimal | None = None
    effective_cost: Decimal
    invoice_id: str | None
    invoice_issuer_name: str
    list_cost: Decimal
    list_unit_price: Decimal | None = None
    pricing_category: Literal["Standard"] | None = None
    pricing_currency: str | None = None
    pricing_currency_contracted_unit_price: Decimal | None = None
    pricing_currency_effective_cost: Decimal | None = None
    pricing_currency_list_unit_price: Decimal | None = None
    pricing_quantity: Decimal | None = None
    pricing_unit: str | None = None
    provider_name: str
    publisher_name: str
    region_id: str | None = None
    region_name: str | None = None
    resource_id: str | None = None
    resource_name: str | None = None
    resource_type: str | None = None
    service_category: str
    service_name: str
    service_subcategory: str
    sku_id: str | None = None
    sku_meter: str | None = None
    sku_price_details: str | None = None
    sku_price_id: str | None = None
    sub_account_id: str | None = None
    sub_account_name: str | None = None
    sub_account_type: str | None = None
    tags: str


COLUMNS: tuple[str, ...] = tuple(field.encode_name for field in msgspec.structs.fields(FocusRow))

"""From documents to rows: every line by cost centre and application, so that a document's rows sum to its total. Pure."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from billing.focus.row import SCALE, ChargeCategory, ChargeFrequency, FocusRow
from billing.invoice.credit_note import CreditedKind, CreditLine, CreditNote
from billing.invoice.document import Document, DocumentLine, DocumentShare, LineKind, share_weights
from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.money import EXACT
from catalog.vocabulary.period import Period

# Every service of this product is an operation of somebody's order business, and FOCUS has no closer category.
_CATEGORY = "Business Applications"
_SUBCATEGORY = "Other (Business Applications)"
_KINDS: Mapping[LineKind, tuple[ChargeCategory, ChargeFrequency]] = {
    "usage": ("Usage", "Usage-Based"),
    "fee": ("Purchase", "Recurring"),
    "top_up": ("Purchase", "Recurring"),
    "true_up": ("Purchase", "One-Time"),
    "discount": ("Adjustment", "Recurring"),
    "credit": ("Credit", "One-Time"),
    "tax": ("Tax", "Recurring"),
    "net_credit": ("Adjustment", "One-Time"),
}
# A credit note's lines: what is credited, and the terms that move with it.
_CREDITED: Mapping[CreditedKind, ChargeCategory] = {"credited": "Credit", "tax": "Tax"}
_ACCOUNT_TYPES = {"internal": "Business unit", "external": "Distributor", "platform": "Platform"}
_TAG_PREFIX = "ordergate:"
_COSTS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost", "pricing_currency_effective_cost")
_UNIT_PRICES = (
    "list_unit_price",
    "contracted_unit_price",
    "pricing_currency_list_unit_price",
    "pricing_currency_contracted_unit_price",
)


class Seller(msgspec.Struct, frozen=True):
    """Who bills, and what the services are called by their ids."""

    name: str
    services: Mapping[str, str]


class Payer(msgspec.Struct, frozen=True):
    """Whose rows they are: an account's name and kind, and its time zone."""

    id: str
    name: str
    kind: str
    timezone: str


class _Part(msgspec.Struct, frozen=True):
    """A line's share of one application and cost centre; the whole line where it has none."""

    cost: Decimal
    calls: int
    units: Decimal
    share: DocumentShare | None


def document_rows(document: Document, payer: Payer, seller: Seller) -> list[FocusRow]:
    """The rows of a draft or an issued document; their billed costs sum to its total, and so do their effective costs."""
    rows = _amortised(
        [
            _row(document, line, part, payer, seller)
            for line in document.lines
            for part in _parts(line, document.currency)
        ]
    )
    for cost in ("billed_cost", "effective_cost"):
        assert sum(getattr(row, cost) for row in rows) == Decimal(document.total), f"{cost} sums to the total"
    return rows


def credit_note_rows(
    note: CreditNote, lines: tuple[CreditLine, ...], charged: Period, payer: Payer, seller: Seller
) -> list[FocusRow]:
    """The rows of a credit note, negative in sum; they stand in the month that issued it. `charged` is its document's month."""
    correction: Literal["Correction"] | None = None if note.reason == "sla_credit" else "Correction"
    rows = [
        FocusRow(
            **_common(payer, seller, note.currency, Period.of(note.issued_at, payer.timezone), charged),
            **_costs(-line.amount),
            charge_category=_CREDITED.get(line.kind, "Adjustment"),
            charge_class=correction,
            charge_description=line.description,
            charge_frequency="One-Time",
            invoice_id=note.number,
            service_name=seller.services.get(line.service, line.service),
            tags=_tags(note.environment, None),
        )
        for line in lines
    ]
    assert sum(row.billed_cost for row in rows) == -note.total, "rows sum to their credit note"
    return rows


def _amortised(rows: list[FocusRow]) -> list[FocusRow]:
    """Purchases (fees, minimums) with an effective cost of 0, as FOCUS wants it: what they cost is borne by the document's
    usage in proportion, or by a row of usage of its own where nothing was used."""
    bought = [row for row in rows if row.charge_category == "Purchase"]
    cost = sum((row.billed_cost for row in bought), Decimal(0))
    if not bought:
        return rows
    bearing = [row for row in rows if row.charge_category == "Usage" and row.billed_cost > 0]
    if not bearing:
        bearing = [_unused(bought[0])]
        rows = [*rows, *bearing]
    parts = apportion(cost, [row.billed_cost or Decimal(1) for row in bearing], bought[0].billing_currency)
    effective = {id(row): row.billed_cost + part for row, part in zip(bearing, parts, strict=True)}
    effective |= {id(row): Decimal(0) for row in bought}
    return [_effective(row, effective.get(id(row), row.effective_cost)) for row in rows]


def _effective(row: FocusRow, cost: Decimal) -> FocusRow:
    return msgspec.structs.replace(row, effective_cost=cost, pricing_currency_effective_cost=cost)


def _unused(bought: FocusRow) -> FocusRow:
    nothing = Decimal(0)
    return msgspec.structs.replace(
        bought,
        **(_costs(nothing) | dict.fromkeys(_UNIT_PRICES, nothing)),
        charge_category="Usage",
        charge_description=f"Not used: {bought.charge_description}",
        consumed_quantity=nothing,
        consumed_unit="Requests",
        pricing_quantity=nothing,
    )


def _parts(line: DocumentLine, currency: str) -> list[_Part]:
    """A line's amount over its shares by units, by calls where nothing was billable; the parts sum to the line."""
    amount = Decimal(line.amount)
    if not line.shares:
        return [_Part(amount, line.calls, Decimal(line.units), None)]
    weights = share_weights(line)
    costs = apportion(amount, weights if any(weights) else [1] * len(weights), currency)
    return [
        _Part(cost, share.calls, Decimal(share.units), share)
        for cost, share in zip(costs, line.shares, strict=True)
    ]


def _row(document: Document, line: DocumentLine, part: _Part, payer: Payer, seller: Seller) -> FocusRow:
    category, frequency = _KINDS[line.kind]
    period, charged = Period.parse(document.period), Period.parse(line.usage_period)
    return FocusRow(
        **_common(payer, seller, document.currency, period, charged),
        **(_costs(part.cost) | _priced(line, part, category)),
        charge_category=category,
        charge_class="Correction" if line.correction else None,
        charge_description=_description(line),
        charge_frequency=frequency,
        invoice_id=document.number,
        service_name=seller.services.get(line.service, line.service),
        **_sub_account(part.share),
        tags=_tags(document.environment, part.share),
    )


def _common(payer: Payer, seller: Seller, currency: str, billed: Period, charged: Period) -> dict[str, Any]:
    billing_start, billing_end = billed.bounds(payer.timezone)
    charge_start, charge_end = charged.bounds(payer.timezone)
    return {
        "billing_account_id": payer.id,
        "billing_account_name": payer.name,
        "billing_account_type": _ACCOUNT_TYPES[payer.kind],
        "billing_currency": currency,
        "billing_period_start": billing_start,
        "billing_period_end": billing_end,
        "charge_period_start": charge_start,
        "charge_period_end": charge_end,
        "invoice_issuer_name": seller.name,
        "pricing_currency": currency,
        "provider_name": seller.name,
        "publisher_name": seller.name,
        "service_category": _CATEGORY,
        "service_subcategory": _SUBCATEGORY,
    }


def _costs(billed: Decimal) -> dict[str, Any]:
    return dict.fromkeys(_COSTS, billed)


def _priced(line: DocumentLine, part: _Part, category: ChargeCategory) -> dict[str, Any]:
    """SKU, quantities and, where the price is one price for each unit, that price and what it comes to exactly."""
    match category:
        case "Usage":
            sku = line.operation
            found: dict[str, Any] = {
                "consumed_quantity": Decimal(part.calls),
                "consumed_unit": "Requests",
                "pricing_quantity": part.units,
                "pricing_unit": "Units",
                "sku_meter": "Billable units",
                "sku_price_id": line.price_version or sku,
            }
            price = _unit_price(line)
        case "Purchase":
            sku = f"{line.operation} {line.kind}"
            found = {
                "pricing_quantity": Decimal(1),
                "pricing_unit": "Months",
                "sku_meter": "Contract",
                "sku_price_id": sku,
            }
            price = part.cost if part.cost >= 0 else None
        case _:
            return {}
    found |= {"pricing_category": "Standard", "sku_id": sku}
    if price is not None and _fits(exact := EXACT.multiply(price, found["pricing_quantity"])):
        found |= dict.fromkeys(_UNIT_PRICES, price) | {"list_cost": exact, "contracted_cost": exact}
    return found


def _unit_price(line: DocumentLine) -> Decimal | None:
    """The price of each unit of a usage line, where there is one: no tiers, packages, bounds or fixed fees."""
    if not line.price_version:
        return Decimal(0)
    match line.tiers:
        case (tier,) if (
            tier.step == "price"
            and Decimal(tier.quantity) == Decimal(line.units)
            and not Decimal(tier.flat_fee)
            and _fits(price := Decimal(tier.unit_price))
        ):
            return price
        case _:
            return None


def _fits(number: Decimal) -> bool:
    return number == round(number, SCALE)


def _description(line: DocumentLine) -> str:
    match line.kind:
        case "usage":
            return f"{line.operation}, {line.usage_period}: {line.calls} calls"
        case "credit":
            assert line.credit is not None, "a credit says what it is given for"
            return f"Service credit for {line.operation}, {line.usage_period}: {line.credit.objective}"
        case _:
            name = line.name or line.kind.replace("_", "-")
            return f"{name} ({line.operation}), {line.usage_period}"


def _sub_account(share: DocumentShare | None) -> dict[str, Any]:
    if share is None or not share.cost_centre_id:
        return {}
    return {
        "sub_account_id": share.cost_centre_id,
        "sub_account_name": share.cost_centre or share.cost_centre_id,
        "sub_account_type": "Cost centre",
    }


def _tags(environment: str, share: DocumentShare | None) -> str:
    tags = {f"{_TAG_PREFIX}environment": environment}
    if share is not None:
        tags[f"{_TAG_PREFIX}application"] = share.application or share.application_id
        tags[f"{_TAG_PREFIX}application_id"] = share.application_id
    return msgspec.json.encode(tags).decode()


def moment_text(moment: datetime) -> str:
    """`2026-10-01T00:00:00Z`: the one form of moments in a FOCUS text file."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

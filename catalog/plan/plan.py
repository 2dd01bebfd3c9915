"""A plan: what each operation costs, in which currency, for whom, from when; immutable once published."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

import msgspec

from catalog.plan.parse import parse_price
from catalog.plan.price import Outcome, Price, SlaCredit
from catalog.terms_error import TermsError
from catalog.vocabulary.money import is_currency
from catalog.vocabulary.problem import FieldError
from catalog.vocabulary.wrong_fields import wrong_fields

Audience = Literal["internal", "external", "both"]
BillableOn = Literal["success", "accepted", "outcome"]
PlanId = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]


class PriceEntry(msgspec.Struct, frozen=True):
    """The price of one operation in one currency (ISO 4217)."""

    operation: str
    currency: str
    model: str
    price: Price


class Plan(msgspec.Struct, frozen=True):
    """A published price list. `msgspec.to_builtins(plan)` is what `parse_plan` reads back to an equal plan."""

    id: str
    audience: Audience
    effective_from: date
    billable_on: BillableOn
    prices: tuple[PriceEntry, ...]

    def billed_on(self, entry: PriceEntry) -> BillableOn:
        """Which calls an entry bills: those that the plan says; a share of results bills none, but what is proven."""
        return "outcome" if isinstance(entry.price, Outcome) else self.billable_on

    def price_for(self, operation: str, currency: str) -> PriceEntry | None:
        """The entry of an operation in a currency; None where the plan does not sell it."""
        for entry in self.prices:
            if entry.operation == operation and entry.currency == currency:
                return entry
        return None


class _EntryFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operation: Annotated[str, msgspec.Meta(min_length=1)]
    currency: str
    model: str
    price: dict[str, object]


class _PlanFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: PlanId
    audience: Audience
    effective_from: date
    prices: tuple[_EntryFields, ...]
    billable_on: BillableOn = "success"


def parse_plan(raw: Mapping[str, object]) -> Plan:
    """The plan of a passport's `plans` entry, from YAML or JSON; `TermsError` with pointers relative to it."""
    try:
        fields = msgspec.convert(raw, _PlanFields)
    except msgspec.ValidationError:
        raise TermsError(wrong_fields(raw, _PlanFields).errors) from None
    errors: list[FieldError] = []
    entries: list[PriceEntry] = []
    if not fields.prices:
        errors.append(FieldError("/prices", "not-empty", "a plan has at least one price"))
    for index, entry in enumerate(fields.prices):
        try:
            entries.append(_parse_entry(entry))
        except TermsError as refused:
            errors.extend(refused.under(f"/prices/{index}").errors)
    errors.extend(_duplicates(fields.prices))
    if errors:
        raise TermsError(tuple(errors))
    return Plan(fields.id, fields.audience, fields.effective_from, fields.billable_on, tuple(entries))


def _parse_entry(entry: _EntryFields) -> PriceEntry:
    errors: list[FieldError] = []
    if not is_currency(entry.currency):
        errors.append(
            FieldError("/currency", "currency", "use an ISO 4217 code of a currency with a minor unit: CNY")
        )
    try:
        price = parse_price(entry.model, entry.price)
    except TermsError as refused:
        place = "/model" if refused.errors[0].rule == "model" and not refused.errors[0].pointer else "/price"
        errors.extend(refused.under(place).errors)
        raise TermsError(tuple(errors)) from None
    if isinstance(price, SlaCredit):
        remedy = "a credit schedule is not a price; it belongs in the passport's sla.credits"
        errors.append(FieldError("/model", "not-for-sale", remedy))
    if errors:
        raise TermsError(tuple(errors))
    return PriceEntry(entry.operation, entry.currency, entry.model, price)


def _duplicates(entries: tuple[_EntryFields, ...]) -> list[FieldError]:
    seen: set[tuple[str, str]] = set()
    errors: list[FieldError] = []
    for index, entry in enumerate(entries):
        key = (entry.operation, entry.currency)
        if key in seen:
            remedy = f"{entry.operation} has a price in {entry.currency} already; keep one of them"
            errors.append(FieldError(f"/prices/{index}", "unique", remedy))
        seen.add(key)
    return errors

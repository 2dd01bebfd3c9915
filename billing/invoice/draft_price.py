"""Draft prices of a service, by plan, operation and currency: what a simulation rates with."""

from collections.abc import Iterable, Mapping

import msgspec

from catalog.plan import BillableOn, Plan, Price


class DraftPrice(msgspec.Struct, frozen=True):
    """A price that is not published: `id` tells it from the others of its draft."""

    id: str
    billable_on: BillableOn
    price: Price


def draft_prices(service: str, plans: Iterable[Plan]) -> Mapping[tuple[str, str, str], DraftPrice]:
    """The prices of draft plans by (plan id, full operation id, currency)."""
    return {
        (plan.id, f"{service}/{entry.operation}", entry.currency): DraftPrice(
            f"{plan.id}/{entry.operation}/{entry.currency}", plan.billed_on(entry), entry.price
        )
        for plan in plans
        for entry in plan.prices
    }

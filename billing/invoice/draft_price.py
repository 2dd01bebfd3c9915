"""Draft prices of a service, by plan, operation and currency: what a simulation rates with."""

from collections.abc import Iterable, Mapping

import msgspec

from catalog.load import PriceVersion
from catalog.meter import counted_alike
from catalog.plan import BillableOn, Plan, Price
from catalog.plan.price import Flat, Outcome


class DraftPrice(msgspec.Struct, frozen=True):
    """A price that is not published: `id` tells it from the others of its draft. `meter` is what one unit of it is
    (`Meter.quantity`), None where the draft does not say."""

    id: str
    billable_on: BillableOn
    price: Price
    meter: str | None = None

    def is_of(self, version: PriceVersion) -> bool:
        """Whether it prices what calls under a version were counted in; a fee and shares of results ask for no units."""
        return isinstance(self.price, Flat | Outcome) or counted_alike(self.meter, version.meter)


def draft_prices(
    service: str, plans: Iterable[Plan], meters: Mapping[str, str]
) -> Mapping[tuple[str, str, str], DraftPrice]:
    """The prices of draft plans by (plan id, full operation id, currency); `meters` are quantities by operation."""
    return {
        (plan.id, f"{service}/{entry.operation}", entry.currency): DraftPrice(
            f"{plan.id}/{entry.operation}/{entry.currency}",
            plan.billed_on(entry),
            entry.price,
            meters.get(entry.operation),
        )
        for plan in plans
        for entry in plan.prices
    }

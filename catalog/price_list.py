"""What a service costs, as every list shows it: the price in force, and the one that is scheduled after it."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from catalog.load import AppliedPrice, Catalogue, PublishedOperation
from catalog.passport import Passport
from catalog.plan import Audience, BillableOn, Plan, Price, PriceEntry
from catalog.plan.price import Outcome
from catalog.vocabulary.clock import from_ns


class ListedPrice(msgspec.Struct, frozen=True):
    """A price and the day on which it begins, on the reader's calendar."""

    effective_from: date
    billable_on: BillableOn
    model: str
    price: Price


class ListedEntry(msgspec.Struct, frozen=True):
    """An operation in a currency: the price in force and what is scheduled after it, None where nothing is.

    Where nothing has begun yet, `price` is the first one, and its day is to come.
    """

    operation: str
    currency: str
    price: ListedPrice
    scheduled: ListedPrice | None = None


class ListedPlan(msgspec.Struct, frozen=True):
    """A plan of a passport with its prices, in the passport's order."""

    id: str
    audience: Audience
    entries: tuple[ListedEntry, ...]

    @property
    def effective_from(self) -> date:
        """The first day on which a price of the plan is in force, or will be."""
        return min(entry.price.effective_from for entry in self.entries)

    @property
    def billable_on(self) -> BillableOn:
        """Which calls are billed: one rule for all prices of a plan that begin together, but shares of results."""
        rules = [one.price.billable_on for one in self.entries if not isinstance(one.price.price, Outcome)]
        return rules[0] if rules else "outcome"

    def entry(self, operation: str, currency: str) -> ListedEntry | None:
        """The entry of an operation in a currency; None where the plan does not sell it."""
        wanted = (operation, currency)
        return next((one for one in self.entries if (one.operation, one.currency) == wanted), None)


def as_written(passport: Passport) -> tuple[ListedPlan, ...]:
    """The prices that a passport was written with: of one that is on no list yet."""
    return tuple(
        ListedPlan(plan.id, plan.audience, tuple(_written(plan, entry) for entry in plan.prices))
        for plan in passport.parsed_plans
    )


def price_list(
    catalogue: Catalogue, passport: Passport, timezone: str, now_ns: int
) -> tuple[ListedPlan, ...]:
    """The plans of a passport with the prices that payers of a zone are charged now: of what its file says, only the
    newest publication counts, and that one only from its day on."""
    operations = {
        one.entry.id: one for one in catalogue.operations.values() if one.service == passport.service
    }
    return tuple(
        ListedPlan(
            plan.id,
            plan.audience,
            tuple(
                _listed(catalogue, operations.get(entry.operation), plan, entry, timezone, now_ns)
                for entry in plan.prices
            ),
        )
        for plan in passport.parsed_plans
    )


def next_change_ns(catalogue: Catalogue, timezone: str, now_ns: int) -> int | None:
    """When the next scheduled price begins for payers of a zone; None where none is scheduled."""
    coming = (
        price.begins_ns(timezone)
        for operation in catalogue.operations.values()
        for plan_id, currency in operation.prices
        if (price := operation.next_price(plan_id, currency, timezone, now_ns)) is not None
    )
    return min(coming, default=None)


def _listed(
    catalogue: Catalogue,
    operation: PublishedOperation | None,
    plan: Plan,
    entry: PriceEntry,
    timezone: str,
    now_ns: int,
) -> ListedEntry:
    if operation is None:
        return _written(plan, entry)
    place = (plan.id, entry.currency, timezone, now_ns)
    prices = [
        _dated(catalogue, price, timezone)
        for price in (operation.price_at(*place), operation.next_price(*place))
        if price is not None
    ]
    if not prices:
        return _written(plan, entry)
    return ListedEntry(entry.operation, entry.currency, *prices)


def _dated(catalogue: Catalogue, price: AppliedPrice, timezone: str) -> ListedPrice:
    return ListedPrice(
        _day_of(from_ns(price.begins_ns(timezone)), timezone),
        price.billable_on,
        catalogue.price_versions[price.id].model,
        price.price,
    )


def _day_of(moment: datetime, timezone: str) -> date:
    """The day of a moment on a zone's calendar."""
    return moment.astimezone(ZoneInfo(timezone)).date()


def _written(plan: Plan, entry: PriceEntry) -> ListedEntry:
    price = ListedPrice(plan.effective_from, plan.billed_on(entry), entry.model, entry.price)
    return ListedEntry(entry.operation, entry.currency, price)

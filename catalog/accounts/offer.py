"""Which plans an account can have: for its kind, in its currency, of a service that it may see."""

from collections.abc import Container, Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from catalog.accounts.account import Account
from catalog.load import PriceVersion, timeline
from catalog.passport import Passport
from catalog.plan import Plan
from catalog.registry.published import price_versions
from catalog.transaction import Transaction
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.problem import FieldError


class Offer(msgspec.Struct, frozen=True):
    """A plan of a service that an account can subscribe to."""

    service: str
    plan_id: str


def offers(
    passports: Iterable[Passport], account: Account, now: datetime, sold: Container[Offer] = ()
) -> Iterator[Offer]:
    """Every plan that the account can choose by itself, in the order of the passports and of their plans.

    `sold` are those with a price in force for it, whatever day their newest publication names.
    """
    for passport in passports:
        if is_shown(passport, account):
            for plan in passport.parsed_plans:
                if plan_refused(passport, plan, account, now, sold) is None:
                    yield Offer(passport.service, plan.id)


def first_offers(
    passports: Iterable[Passport], account: Account, now: datetime, sold: Container[Offer] = ()
) -> Iterator[Offer]:
    """The first fitting plan of every service that is shown to the account: what a new account starts with."""
    taken: set[str] = set()
    for offer in offers(passports, account, now, sold):
        if offer.service not in taken:
            taken.add(offer.service)
            yield offer


async def sold_to(transaction: Transaction, account: Account, now: datetime) -> frozenset[Offer]:
    """The plans of all services that have a price in force for the account now, in its currency."""
    published: dict[tuple[Offer, str], list[PriceVersion]] = {}
    for version in await price_versions(transaction):
        if version.currency == account.currency:
            offer = Offer(version.service, version.plan_id)
            published.setdefault((offer, version.operation), []).append(version)
    now_ns = to_ns(now)
    return frozenset(
        offer
        for (offer, _), versions in published.items()
        if any(one.begins_ns(account.timezone) <= now_ns for one in timeline(versions, account.timezone))
    )


def is_shown(passport: Passport, account: Account) -> bool:
    """Whether the account finds the service in its catalogue: group services stay inside the group, private ones hidden."""
    if not passport.callable:
        return False
    return passport.visibility == "public" or (passport.visibility == "group" and account.kind != "external")


def plan_refused(
    passport: Passport, plan: Plan, account: Account, now: datetime, sold: Container[Offer] = ()
) -> FieldError | None:
    """Why the account cannot have the plan now, or None. The platform's own accounts count as internal."""
    audience = "external" if account.kind == "external" else "internal"
    if plan.audience not in (audience, "both"):
        fitting = _fitting(passport, account, now, sold)
        return FieldError(
            "/plan_id",
            "audience",
            f"{plan.id} is for {plan.audience} accounts, {account.name} is {account.kind}; {fitting}",
        )
    if not any(entry.currency == account.currency for entry in plan.prices):
        priced = ", ".join(sorted({entry.currency for entry in plan.prices}))
        return FieldError(
            "/plan_id",
            "currency",
            f"{plan.id} has prices in {priced}, {account.name} pays in {account.currency} and nothing is converted; "
            f"{_fitting(passport, account, now, sold)}",
        )
    if not _has_begun(passport, plan, account, now, sold):
        return FieldError(
            "/plan_id", "not-yet", f"{plan.id} begins on {plan.effective_from}; subscribe from then on"
        )
    return None


def _has_begun(
    passport: Passport, plan: Plan, account: Account, now: datetime, sold: Container[Offer]
) -> bool:
    """A plan begins on the account's own calendar; one that has begun is not taken back by a price that is scheduled."""
    today = now.astimezone(ZoneInfo(account.timezone)).date()
    return plan.effective_from <= today or Offer(passport.service, plan.id) in sold


def _fitting(passport: Passport, account: Account, now: datetime, sold: Container[Offer]) -> str:
    audience = "external" if account.kind == "external" else "internal"
    fitting = [
        plan.id
        for plan in passport.parsed_plans
        if plan.audience in (audience, "both")
        and any(entry.currency == account.currency for entry in plan.prices)
        and _has_begun(passport, plan, account, now, sold)
    ]
    return (
        f"choose {' or '.join(fitting)}"
        if fitting
        else f"{passport.service} has no plan for it yet; publish one"
    )

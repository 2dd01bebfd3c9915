"""Which plans an account can have: for its kind, in its currency, of a service that it may see."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from catalog.accounts.account import Account
from catalog.passport import Passport
from catalog.plan import Plan
from catalog.vocabulary.problem import FieldError


class Offer(msgspec.Struct, frozen=True):
    """A plan of a service that an account can subscribe to."""

    service: str
    plan_id: str


def offers(passports: Iterable[Passport], account: Account, now: datetime) -> Iterator[Offer]:
    """Every plan that the account can choose by itself, in the order of the passports and of their plans."""
    for passport in passports:
        if is_shown(passport, account):
            for plan in passport.parsed_plans:
                if plan_refused(passport, plan, account, now) is None:
                    yield Offer(passport.service, plan.id)


def first_offers(passports: Iterable[Passport], account: Account, now: datetime) -> Iterator[Offer]:
    """The first fitting plan of every service that is shown to the account: what a new account starts with."""
    taken: set[str] = set()
    for offer in offers(passports, account, now):
        if offer.service not in taken:
            taken.add(offer.service)
            yield offer


def is_shown(passport: Passport, account: Account) -> bool:
    """Whether the account finds the service in its catalogue: group services stay inside the group, private ones hidden."""
    if not passport.callable:
        return False
    return passport.visibility == "public" or (passport.visibility == "group" and account.kind != "external")


def plan_refused(passport: Passport, plan: Plan, account: Account, now: datetime) -> FieldError | None:
    """Why the account cannot have the plan now, or None. The platform's own accounts count as internal."""
    audience = "external" if account.kind == "external" else "internal"
    if plan.audience not in (audience, "both"):
        fitting = _fitting(passport, account, now)
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
            f"{_fitting(passport, account, now)}",
        )
    if plan.effective_from > _today(account, now):
        return FieldError(
            "/plan_id", "not-yet", f"{plan.id} begins on {plan.effective_from}; subscribe from then on"
        )
    return None


def _today(account: Account, now: datetime) -> date:
    """A plan begins on the account's own calendar."""
    return now.astimezone(ZoneInfo(account.timezone)).date()


def _fitting(passport: Passport, account: Account, now: datetime) -> str:
    audience = "external" if account.kind == "external" else "internal"
    fitting = [
        plan.id
        for plan in passport.parsed_plans
        if plan.audience in (audience, "both")
        and any(entry.currency == account.currency for entry in plan.prices)
        and plan.effective_from <= _today(account, now)
    ]
    return (
        f"choose {' or '.join(fitting)}"
        if fitting
        else f"{passport.service} has no plan for it yet; publish one"
    )

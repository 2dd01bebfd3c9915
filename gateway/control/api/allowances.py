"""/api/account/allowances: what is left of the account's quotas, budgets and prepaid credit."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from billing import view
from catalog.accounts.account import Account, find_account
from catalog.limit import Quota
from catalog.load import Catalogue
from catalog.transaction import Transaction
from catalog.vocabulary.clock import from_ns, rfc3339
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import Money, money, plain, round_money
from catalog.vocabulary.period import Period, day_bounds, month_bounds
from catalog.vocabulary.problem import Text
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, read_query, time_in_books
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import Endpoint
from gateway.proofs import Caller


class QuotaView(msgspec.Struct, frozen=True):
    """A quota in its running period, in calls. `reserved` is promised to workers and not used yet; `overdrawn` is by how much
    more was used than the limit, which only usage that was reported, or a lower limit, brings about."""

    counts: str
    per: Literal["application", "account"]
    period: Literal["day", "month"]
    hard: bool
    limit: str
    used: str
    reserved: str
    remaining: str
    overdrawn: str
    resets_at: str


class BudgetView(msgspec.Struct, frozen=True):
    """A budget in the running month. `spent` is what its calls come to as rated; `counted` and `reserved` are what a
    hard budget refuses by, at list prices, and null where no call has been held to it yet; `overdrawn` is what is counted
    beyond its amount."""

    id: str
    scope: Literal["account", "application", "cost_centre"]
    scope_id: str
    hard: bool
    amount: Money
    spent: Money
    counted: Money | None
    reserved: Money | None
    overdrawn: Money | None
    thresholds_pct: tuple[int, ...]
    period: str
    resets_at: str


class GrantView(msgspec.Struct, frozen=True):
    """A grant of credit; the first of the list is consumed first. `used` is what calls have taken, at list prices until
    their month's document is issued; `overdrawn` is what usage that was reported has taken beyond the grant. `expired` is what
    lapsed when its time was over."""

    id: str
    category: view.Category
    priority: int
    amount: Money
    used: Money
    reserved: Money
    remaining: Money
    overdrawn: Money
    valid_from: str
    valid_until: str | None
    expired: Money | None


class CreditView(msgspec.Struct, frozen=True):
    """The account's prepaid credit. With `required` a call that it does not cover is refused; what it is `overdrawn` by has to
    be granted first."""

    required: bool
    remaining: Money
    overdrawn: Money
    reserved: Money
    grants: tuple[GrantView, ...]


class AllowancesView(msgspec.Struct, frozen=True):
    """What is left for the account, in the environment of the key."""

    environment: Environment
    quotas: tuple[QuotaView, ...]
    budgets: tuple[BudgetView, ...]
    credit: CreditView


@get("/api/account/allowances", name="read_allowances")
async def read_allowances(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """Remaining quota, budgets and credit; quotas of an application are those of the key's own."""
    read_query(request)
    now_ns = context.clock.now_ns()
    booked = time_in_books(caller, now_ns)
    async with books.read(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
        catalogue = context.directory.current().catalogue
        quotas = [
            await _quota(transaction, caller, account, quota, counts, booked)
            for quota, counts in _quotas(catalogue, caller)
        ]
        budgets = await _budgets(transaction, caller, account, booked)
        grants = await view.grants_of(transaction, account.id, caller.environment)
    required = caller.allowances is not None and caller.environment in caller.allowances.prepaid
    credit = credit_view(grants, account.currency, from_ns(now_ns), required=required)
    return answer(AllowancesView(caller.environment, tuple(quotas), tuple(budgets), credit))


def credit_view(grants: Sequence[view.Grant], currency: str, now: datetime, *, required: bool) -> CreditView:
    """Grants as people read them, and what is left of those that are valid."""
    valid = [one for one in grants if one.is_valid(now)]
    free = sum((one.amount - one.used for one in valid), Decimal(0))
    reserved = sum((one.reserved for one in valid), Decimal(0))
    return CreditView(
        required,
        _above_nothing(free - reserved, currency),
        _above_nothing(-free, currency),
        _exact(reserved, currency),
        tuple(_grant(one, now) for one in grants),
    )


def _grant(grant: view.Grant, now: datetime) -> GrantView:
    free = grant.amount - grant.used if grant.is_valid(now) else Decimal(0)
    return GrantView(
        grant.id,
        grant.category,
        grant.priority,
        money(grant.amount, grant.currency),
        _exact(grant.used, grant.currency),
        _exact(grant.reserved, grant.currency),
        _above_nothing(free - grant.reserved, grant.currency),
        _above_nothing(-free, grant.currency),
        rfc3339(grant.valid_from),
        None if grant.valid_until is None else rfc3339(grant.valid_until),
        None if grant.expired is None else money(grant.expired, grant.currency),
    )


def _quotas(catalogue: Catalogue, caller: Caller) -> Iterator[tuple[Quota, str]]:
    """The quotas of the services that the account is subscribed to, and what each counts, by name."""
    for service in sorted(caller.subscriptions):
        passport = catalogue.passports.get(service)
        if passport is None or not passport.callable:
            continue
        for rule in passport.limits:
            if isinstance(rule, Quota) and rule.counts == "service":
                yield rule, service
            elif isinstance(rule, Quota):
                yield from ((rule, f"{service}/{entry.id}") for entry in passport.operations)


async def _quota(
    transaction: Transaction, caller: Caller, account: Account, quota: Quota, counts: str, now: datetime
) -> QuotaView:
    zone = ZoneInfo(account.timezone)
    starts_at, ends_at = (day_bounds if quota.period == "day" else month_bounds)(now, zone)
    application_id = caller.application_id if quota.per == "application" else None
    day = starts_at.astimezone(zone).date()
    standing = await view.quota_standing(
        transaction,
        view.Wanted(
            account_id=account.id,
            environment=caller.environment,
            kind="quota",
            subject=quota.subject(counts, application_id),
            starts_on=day,
            starts_at=starts_at,
            month=day.replace(day=1),
            need=Decimal(1),
            limit=Decimal(quota.q),
            counts=counts,
            application_id=application_id,
        ),
    )
    return QuotaView(
        counts,
        quota.per,
        quota.period,
        quota.hard,
        plain(standing.limit),
        plain(standing.used),
        plain(standing.reserved),
        plain(max(standing.remaining, Decimal(0))),
        plain(standing.overdrawn),
        rfc3339(ends_at),
    )


async def _budgets(
    transaction: Transaction, caller: Caller, account: Account, now: datetime
) -> list[BudgetView]:
    period = Period.of(now, account.timezone)
    budgets = await view.budgets_of(transaction, account.id, caller.environment)
    spent: Mapping[str, Decimal] = {}
    if budgets:
        spent = await view.spent_by_scope(transaction, account.id, caller.environment, period)
    views = []
    for budget in budgets:
        standing = await view.budget_standing(
            transaction, account.id, caller.environment, budget.id, period.first_day, budget.amount
        )
        amount = round_money(spent.get(budget.scope_id, Decimal(0)), account.currency)
        views.append(
            BudgetView(
                budget.id,
                budget.scope,
                budget.scope_id,
                budget.hard,
                money(budget.amount, account.currency),
                money(amount, account.currency),
                None if standing is None else _exact(standing.used, account.currency),
                None if standing is None else _exact(standing.reserved, account.currency),
                None if standing is None else _exact(standing.overdrawn, account.currency),
                budget.thresholds_pct,
                str(period),
                rfc3339(period.bounds(account.timezone)[1]),
            )
        )
    return views


def _above_nothing(amount: Decimal, currency: str) -> Money:
    return _exact(max(amount, Decimal(0)), currency)


def _exact(amount: Decimal, currency: str) -> Money:
    """Money that is counted call by call: with the currency's places at least, and as many more as it has."""
    rounded = round_money(amount, currency)
    return money(rounded if rounded == amount else amount.normalize(), currency)


HANDLERS = (read_allowances,)
ENDPOINTS = (
    Endpoint(
        "read_allowances",
        "GET",
        "/api/account/allowances",
        Text(
            "What is left of your quotas, budgets and prepaid credit.", "您的配额、预算与预付余额还剩多少。"
        ),
        AllowancesView,
        problems=("invalid-input",),
    ),
)

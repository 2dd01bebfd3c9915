"""The calls that the demo group has made so far, as the gateway would have recorded them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from random import Random

import msgspec

from catalog.accounts.account import Account, list_accounts
from catalog.accounts.application import DEFAULT_APPLICATION, Application, list_applications
from catalog.accounts.subscription import list_subscriptions
from catalog.load import PublishedOperation
from catalog.registry.published import catalogue
from catalog.transaction import Transaction
from catalog.usage_event import UsageEvent, is_billable
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.ids import new_event_id
from catalog.vocabulary.period import Period
from deploy.demo.group import Group, Member
from deploy.demo.hours import call_times
from deploy.demo.months import Months
from deploy.demo.plan import Plan
from gateway.stores.keys import list_keys

# How long a call took, in microseconds.
_LATENCY_US = (700, 6_000)


class DemoCaller(msgspec.Struct, frozen=True):
    """A member's account as its calls name it: the applications in the order of their size, each one's live key by
    its id, and (subscription id, plan id) by service."""

    account: Account
    applications: tuple[Application, ...]
    keys: Mapping[str, str]
    plans: Mapping[str, tuple[str, str]]


async def read_callers(transaction: Transaction, group: Group) -> tuple[DemoCaller, ...]:
    """The accounts of the demo group, in its order."""
    accounts = {account.name: account for account in await list_accounts(transaction) if account.demo}
    return tuple([await _caller(transaction, member, accounts[member.name]) for member in group.members])


async def _caller(transaction: Transaction, member: Member, account: Account) -> DemoCaller:
    applications = {one.name: one for one in await list_applications(transaction, account)}
    keys = await list_keys(transaction, account)
    subscriptions = await list_subscriptions(transaction, account)
    return DemoCaller(
        account,
        tuple(applications[name] for name in member.cost_centres or (DEFAULT_APPLICATION,)),
        {key.application_id: key.public_id for key in keys if key.environment == "live"},
        {one.service: (one.id, one.plan_id) for one in subscriptions},
    )


async def read_operations(transaction: Transaction, plan: Plan) -> tuple[PublishedOperation, ...]:
    """The planned operations that are on sale."""
    on_sale = (await catalogue(transaction)).operations.values()
    return tuple(operation for operation in on_sale if operation.id in plan.volumes)


def history(
    plan: Plan,
    callers: Sequence[DemoCaller],
    operations: Sequence[PublishedOperation],
    months: Months,
    until: datetime,
) -> list[UsageEvent]:
    """Every planned call up to a moment, in the order of time: always the same but for the ids.

    All of them succeeded, so that the books show the plan's figures; the running month's are those of its days so far.
    """
    until_ns = to_ns(until)
    events = [
        event
        for caller in callers
        for operation in operations
        if operation.service in caller.plans
        for period in months.all
        for event in _month(plan, caller, operation, period, until_ns)
    ]
    return sorted(events, key=lambda event: event.occurred_at_ns)


def _month(
    plan: Plan, caller: DemoCaller, operation: PublishedOperation, period: Period, until_ns: int
) -> Iterator[UsageEvent]:
    account = caller.account
    subscription_id, plan_id = caller.plans[operation.service]
    random = Random(f"{account.name} {operation.id} {period}")  # noqa: S311 - figures for a demo, not secrets
    sizes = range(len(caller.applications), 0, -1)
    count = plan.volume(account.name, operation.id, period.month)
    for occurred_at_ns in call_times(period, account.timezone, count, random):
        application = random.choices(caller.applications, sizes)[0]
        price = operation.price_at(plan_id, account.currency, account.timezone, occurred_at_ns)
        if occurred_at_ns > until_ns:
            return
        if price is None:
            continue
        billable = is_billable(price.billable_on, "ok")
        yield UsageEvent(
            id=new_event_id(occurred_at_ns).hex,
            occurred_at_ns=occurred_at_ns,
            environment="live",
            account_id=account.id,
            application_id=application.id,
            key_id=caller.keys[application.id],
            cost_centre_id=application.cost_centre_id or "",
            subscription_id=subscription_id,
            operation=operation.id,
            passport_version=operation.passport_version,
            class_="ok",
            outcome="success",
            fault="none",
            billable=billable,
            units="1" if billable else "0",
            price_version=price.id,
            payer=account.id,
            status=200,
            latency_us=random.randint(*_LATENCY_US),
        )

"""Open an account that can call at once: with an application for its keys, and subscribed to what fits it."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from catalog.accounts.account import Account, create_account
from catalog.accounts.application import DEFAULT_APPLICATION, Application, create_application
from catalog.accounts.offer import first_offers, sold_to
from catalog.accounts.subscription import Subscription, subscribe
from catalog.registry.published import current
from catalog.transaction import Transaction
from catalog.vocabulary.problem import Text


class OpenedAccount(msgspec.Struct, frozen=True):
    """A new account with what it was opened with; no subscriptions where no plan fits its kind and currency."""

    account: Account
    application: Application
    subscriptions: tuple[Subscription, ...]


async def open_account(
    transaction: Transaction,
    *,
    name: str,
    kind: str,
    currency: str,
    timezone: str,
    actor: str,
    now: datetime,
    title: Text | None = None,
    demo: bool = False,
    plans: Mapping[str, str] | None = None,
) -> OpenedAccount:
    """Create an account, its first application and its subscriptions; the transaction's scope is `*`.

    `plans` maps service to plan; None takes the first fitting plan of every service that the account sees.
    Raises what `create_account` and `subscribe` raise.
    """
    account = await create_account(
        transaction,
        name=name,
        kind=kind,
        currency=currency,
        timezone=timezone,
        actor=actor,
        now=now,
        title=title,
        demo=demo,
    )
    application = await create_application(transaction, account, DEFAULT_APPLICATION, actor, now)
    if plans is None:
        passports = [published.passport for published in (await current(transaction)).values()]
        sold = await sold_to(transaction, account, now)
        plans = {offer.service: offer.plan_id for offer in first_offers(passports, account, now, sold)}
    subscriptions = [
        await subscribe(transaction, account, service, plan_id, now, actor=actor, now=now, by_operator=True)
        for service, plan_id in plans.items()
    ]
    return OpenedAccount(account, application, tuple(subscriptions))

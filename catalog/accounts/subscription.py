"""Subscriptions: the plan under which an account calls a service, one at a time."""

from datetime import datetime

import asyncpg
import msgspec

from catalog.accounts.account import Account
from catalog.accounts.offer import is_shown, plan_refused, sold_to
from catalog.accounts.refusal import invalid, invalid_fields
from catalog.registry import audit
from catalog.registry.published import current
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import Problem


class Subscription(msgspec.Struct, frozen=True):
    """An account's plan of a service; current while `ends_at` is None. Tiers cumulate over a subscription's calls.

    It follows the plan's prices, or keeps those of the moment `prices_as_of` for ever.
    """

    id: str
    account_id: str
    service: str
    plan_id: str
    starts_at: datetime
    ends_at: datetime | None
    prices_as_of: datetime | None = None


_COLUMNS = "id, account_id, service, plan_id, starts_at, ends_at, prices_as_of"


async def subscribe(
    transaction: Transaction,
    account: Account,
    service: str,
    plan_id: str,
    starts_at: datetime,
    *,
    actor: str,
    now: datetime,
    by_operator: bool = False,
    keep_prices: bool = False,
) -> Subscription:
    """Subscribe an account; it can call as soon as the transaction commits and workers have taken it over (1 s).

    `starts_at` is now or earlier; with `keep_prices` later changes of the plan's prices do not concern it. Only an operator may name a service that the account does not see.
    `Problem` invalid-input names rule and remedy: unknown service or plan, another audience, no price in the account's
    currency; conflict: the account has a subscription of the service already.
    """
    require_transaction(transaction)
    if starts_at > now:
        raise invalid(
            "/starts_at", "not-yet", "a subscription begins now or earlier; subscribe when it is to begin"
        )
    published = (await current(transaction)).get(service)
    if (
        published is None
        or not published.passport.callable
        or not (by_operator or is_shown(published.passport, account))
    ):
        raise invalid(
            "/service",
            "reference",
            f"no service {service!r} is on sale to {account.name}; `ordergate services` lists them",
        )
    passport = published.passport
    plan = next((plan for plan in passport.parsed_plans if plan.id == plan_id), None)
    if plan is None:
        known = ", ".join(plan.id for plan in passport.parsed_plans)
        raise invalid("/plan_id", "reference", f"{service} has no plan {plan_id!r}; its plans are {known}")
    if refused := plan_refused(passport, plan, account, now, await sold_to(transaction, account, now)):
        raise invalid_fields([refused])
    row = await transaction.fetchrow(
        f"""
        INSERT INTO catalog.subscription (id, account_id, service, plan_id, starts_at, prices_as_of)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (account_id, service) WHERE ends_at IS NULL DO NOTHING RETURNING {_COLUMNS}
        """,  # noqa: S608 - a constant
        new_id("sub"),
        account.id,
        service,
        plan_id,
        starts_at,
        now if keep_prices else None,
    )
    if row is None:
        raise Problem(
            "conflict",
            f"{account.name} has a subscription to {service} already; end it before another begins.",
        )
    await audit.append(
        transaction,
        actor,
        "subscription.create",
        f"subscription/{row['id']}",
        {"account": account.id, "service": service, "plan": plan_id, "keeps_prices": keep_prices},
        now,
    )
    return _subscription(row)


async def end_subscription(
    transaction: Transaction, account: Account, service: str, *, actor: str, now: datetime
) -> Subscription:
    """End the current subscription of a service now; what was used under it is still billed. `Problem` not-found."""
    require_transaction(transaction)
    row = await transaction.fetchrow(
        f"""
        UPDATE catalog.subscription SET ends_at = $3 WHERE account_id = $1 AND service = $2 AND ends_at IS NULL
        RETURNING {_COLUMNS}
        """,  # noqa: S608 - a constant
        account.id,
        service,
        now,
    )
    if row is None:
        raise Problem(
            "not-found",
            f"{account.name} has no current subscription to {service}; `ordergate account show {account.name}` lists those "
            "it has.",
        )
    await audit.append(
        transaction, actor, "subscription.end", f"subscription/{row['id']}", {"account": account.id}, now
    )
    return _subscription(row)


async def list_subscriptions(transaction: Transaction, account: Account) -> tuple[Subscription, ...]:
    """The account's subscriptions, current and ended, by service and begin."""
    rows = await transaction.fetch(
        f"SELECT {_COLUMNS} FROM catalog.subscription WHERE account_id = $1 ORDER BY service, starts_at, id",  # noqa: S608 - a constant
        account.id,
    )
    return tuple(_subscription(row) for row in rows)


def _subscription(row: asyncpg.Record) -> Subscription:
    return Subscription(**row)

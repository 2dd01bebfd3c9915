"""What the budgets of an account have come to in a month, and their alarms: each threshold once."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from billing.budget.budgets import Budget, budgets_of
from billing.transaction import Connection
from catalog.outbox import announce
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import EXACT, plain
from catalog.vocabulary.period import Period

# What each line of a month comes to now, and how its units are divided; a line without units goes by calls.
_LINES = """
    SELECT DISTINCT ON (subscription_id, operation, price_version) amount_after, split FROM billing.rated_line
    WHERE account_id = $1 AND environment = $2 AND period = $3
    ORDER BY subscription_id, operation, price_version, step DESC
"""
_ALARM = """
    INSERT INTO billing.budget_alarm (budget_id, account_id, period, threshold_pct, spent, announced_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""


class _Share(msgspec.Struct):
    application_id: str
    cost_centre_id: str
    calls: int
    units: Decimal


_decode_split = msgspec.json.Decoder(tuple[_Share, ...]).decode


async def watch_budgets(
    connection: Connection,
    account_id: str,
    environment: Environment,
    period: Period,
    currency: str,
    now: datetime,
) -> None:
    """Raise the alarms that are due since a month was rated last, in the transaction that rates it."""
    budgets = await budgets_of(connection, account_id, environment)
    if not budgets:
        return
    spent = await spent_by_scope(connection, account_id, environment, period)
    for budget in budgets:
        amount = spent.get(budget.scope_id, Decimal(0))
        for threshold in budget.thresholds_pct:
            if amount * 100 >= budget.amount * threshold:
                await _raise(connection, account_id, budget, period, threshold, amount, currency, now)


async def spent_by_scope(
    connection: Connection, account_id: str, environment: Environment, period: Period
) -> Mapping[str, Decimal]:
    """What a month has come to as it was rated last: of the account, and of each application and cost centre, by id.

    An application's part of a line is its part of the line's units, not rounded: budgets divide nothing that is paid.
    """
    spent: dict[str, Decimal] = {}

    def add(scope_id: str, amount: Decimal) -> None:
        spent[scope_id] = EXACT.add(spent.get(scope_id, Decimal(0)), amount)

    for row in await connection.fetch(_LINES, account_id, environment, period.first_day):
        shares = _decode_split(row["split"])
        add(account_id, row["amount_after"])
        weights = [share.units for share in shares]
        if not any(weights):
            weights = [Decimal(share.calls) for share in shares]
        whole = sum(weights, Decimal(0))
        for share, weight in zip(shares, weights, strict=True):
            part = EXACT.divide(EXACT.multiply(row["amount_after"], weight), whole) if whole else Decimal(0)
            for scope_id in (share.application_id, share.cost_centre_id):
                if scope_id:
                    add(scope_id, part)
    return spent


async def _raise(
    connection: Connection,
    account_id: str,
    budget: Budget,
    period: Period,
    threshold: int,
    spent: Decimal,
    currency: str,
    now: datetime,
) -> None:
    raised = await connection.execute(_ALARM, budget.id, account_id, period.first_day, threshold, spent, now)
    if raised == "INSERT 0 1":
        told = {
            "budget": budget.id,
            "scope": budget.scope,
            "scope_id": budget.scope_id,
            "period": str(period),
            "threshold_pct": threshold,
            "amount": plain(budget.amount),
            "spent": plain(spent),
            "currency": currency,
            "hard": budget.hard,
        }
        await announce(connection, account_id, budget.environment, "budget.threshold", told, now)

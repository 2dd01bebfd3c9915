"""Budgets: how much an account, application or cost centre may cost in a month, and at what share to raise an alarm."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from billing.transaction import Connection
from catalog.accounts.account import Account
from catalog.registry import audit
from catalog.vocabulary.ids import Environment, new_id
from catalog.vocabulary.money import exponent, plain, round_money
from catalog.vocabulary.problem import FieldError, Problem

Scope = Literal["account", "application", "cost_centre"]
THRESHOLDS_PCT = (80, 100)
_THRESHOLD_MAX = 1000
_AMOUNT_MAX = Decimal(10**12)
_TABLES = {"application": "catalog.application", "cost_centre": "catalog.cost_centre"}

_SET = """
    INSERT INTO billing.budget
        (id, account_id, environment, scope, scope_id, amount, hard, thresholds_pct, changed_at, changed_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (account_id, environment, scope, scope_id) DO UPDATE
    SET amount = excluded.amount, hard = excluded.hard, thresholds_pct = excluded.thresholds_pct, ended = false,
        changed_at = excluded.changed_at, changed_by = excluded.changed_by
    RETURNING id
"""


class Budget(msgspec.Struct, frozen=True):
    """So much in each month of the account's calendar, in its currency. Above `thresholds_pct` an alarm is raised, once
    each and month; a hard budget refuses the calls that it does not cover."""

    id: str
    environment: Environment
    scope: Scope
    scope_id: str
    amount: Decimal
    hard: bool
    thresholds_pct: tuple[int, ...]
    changed_at: datetime


async def set_budget(
    connection: Connection,
    account: Account,
    environment: Environment,
    scope: Scope,
    scope_id: str,
    amount: Decimal,
    *,
    hard: bool,
    thresholds_pct: Sequence[int] = THRESHOLDS_PCT,
    actor: str,
    now: datetime,
) -> Budget:
    """Set the one budget of an account, application or cost centre from now on, audited; the caller commits.

    `scope_id` is the application's or cost centre's id or name; nothing for the account. `Problem` invalid-input names
    what is wrong, not-found an application or cost centre that the account does not have.
    """
    _check(account, amount, thresholds_pct)
    place = await _place(connection, account, scope, scope_id)
    budget_id = await connection.fetchval(
        _SET,
        new_id("budget"),
        account.id,
        environment,
        scope,
        place,
        amount,
        hard,
        sorted(set(thresholds_pct)),
        now,
        actor,
    )
    detail = {
        "account": account.id,
        "environment": environment,
        "scope": scope,
        "scope_id": place,
        "amount": plain(amount),
        "hard": hard,
        "thresholds_pct": sorted(set(thresholds_pct)),
    }
    await audit.append(connection, actor, "budget.set", f"budget/{budget_id}", detail, now)
    return next(one for one in await budgets_of(connection, account.id, environment) if one.id == budget_id)


async def end_budget(
    connection: Connection, account: Account, budget_id: str, *, actor: str, now: datetime
) -> None:
    """From now on the budget refuses nothing and raises no alarm; `Problem` not-found."""
    ended = await connection.execute(
        "UPDATE billing.budget SET ended = true, changed_at = $3, changed_by = $4 WHERE account_id = $1 AND id = $2 AND NOT ended",
        account.id,
        budget_id,
        now,
        actor,
    )
    if ended != "UPDATE 1":
        raise Problem("not-found", f"{account.name} has no budget {budget_id}.")
    await audit.append(connection, actor, "budget.end", f"budget/{budget_id}", {"account": account.id}, now)


async def budgets_of(connection: Connection, account_id: str, environment: Environment) -> tuple[Budget, ...]:
    """The budgets of an account that are in force."""
    rows = await connection.fetch(
        "SELECT id, environment, scope, scope_id, amount, hard, thresholds_pct, changed_at FROM billing.budget "
        "WHERE account_id = $1 AND environment = $2 AND NOT ended ORDER BY scope, scope_id",
        account_id,
        environment,
    )
    return tuple(Budget(**{**row, "thresholds_pct": tuple(row["thresholds_pct"])}) for row in rows)


async def _place(connection: Connection, account: Account, scope: Scope, scope_id: str) -> str:
    if scope == "account":
        return account.id
    place: str | None = await connection.fetchval(
        f"SELECT id FROM {_TABLES[scope]} WHERE account_id = $1 AND (id = $2 OR name = $2)",  # noqa: S608 - constants
        account.id,
        scope_id,
    )
    if place is None:
        raise Problem("not-found", f"{account.name} has no {scope.replace('_', ' ')} {scope_id}.")
    return place


def _check(account: Account, amount: Decimal, thresholds_pct: Sequence[int]) -> None:
    errors: list[FieldError] = []
    if not 0 < amount <= _AMOUNT_MAX or round_money(amount, account.currency) != amount:
        places = exponent(account.currency)
        errors.append(
            FieldError("/amount", "amount", f"a positive amount with at most {places} decimal places")
        )
    if len(set(thresholds_pct)) > 10 or any(not 1 <= one <= _THRESHOLD_MAX for one in thresholds_pct):
        errors.append(
            FieldError("/thresholds", "range", f"at most ten percentages from 1 to {_THRESHOLD_MAX}")
        )
    if errors:
        raise Problem("invalid-input", errors[0].detail, errors=tuple(errors))

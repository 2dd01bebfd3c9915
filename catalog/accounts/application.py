"""Applications, the programs of an account that hold keys, and the cost centres that they book on."""

from datetime import datetime

import asyncpg
import msgspec

from catalog.accounts import names
from catalog.accounts.account import Account
from catalog.accounts.refusal import invalid_fields
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import Problem

# The application that every account has from the start.
DEFAULT_APPLICATION = "default"


class CostCentre(msgspec.Struct, frozen=True):
    """A part of an account that its statement shows by itself."""

    id: str
    account_id: str
    name: str


class Application(msgspec.Struct, frozen=True):
    """A program of an account; `cost_centre_id` is None where its calls are the account's own."""

    id: str
    account_id: str
    name: str
    cost_centre_id: str | None
    created_at: datetime


async def create_cost_centre(
    transaction: Transaction, account: Account, name: str, actor: str, now: datetime
) -> CostCentre:
    """A cost centre of an account; `Problem` invalid-input, or conflict if the account has one of that name."""
    require_transaction(transaction)
    _check(name)
    id_ = await transaction.fetchval(
        """
        INSERT INTO catalog.cost_centre (id, account_id, name) VALUES ($1, $2, $3)
        ON CONFLICT (account_id, name) DO NOTHING RETURNING id
        """,
        new_id("cc"),
        account.id,
        name,
    )
    if id_ is None:
        raise Problem("conflict", f"{account.name} has a cost centre {name!r} already; choose another name.")
    await audit.append(
        transaction, actor, "cost-centre.create", f"cost-centre/{id_}", {"account": account.id}, now
    )
    return CostCentre(id_, account.id, name)


async def list_cost_centres(transaction: Transaction, account: Account) -> tuple[CostCentre, ...]:
    """The account's cost centres, by name."""
    rows = await transaction.fetch(
        "SELECT id, account_id, name FROM catalog.cost_centre WHERE account_id = $1 ORDER BY name", account.id
    )
    return tuple(CostCentre(**row) for row in rows)


async def create_application(
    transaction: Transaction,
    account: Account,
    name: str,
    actor: str,
    now: datetime,
    *,
    cost_centre: CostCentre | None = None,
) -> Application:
    """An application of an account; `Problem` invalid-input, or conflict if the account has one of that name."""
    require_transaction(transaction)
    _check(name)
    assert cost_centre is None or cost_centre.account_id == account.id, (
        "an account books on its own cost centres"
    )
    row = await transaction.fetchrow(
        """
        INSERT INTO catalog.application (id, account_id, name, cost_centre_id, created_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (account_id, name) DO NOTHING RETURNING id, account_id, name, cost_centre_id, created_at
        """,
        new_id("app"),
        account.id,
        name,
        cost_centre.id if cost_centre else None,
        now,
    )
    if row is None:
        raise Problem("conflict", f"{account.name} has an application {name!r} already; choose another name.")
    await audit.append(
        transaction, actor, "application.create", f"application/{row['id']}", {"account": account.id}, now
    )
    return _application(row)


async def find_application(transaction: Transaction, account: Account, name_or_id: str) -> Application:
    """The account's application of that id or name; `Problem` not-found otherwise."""
    row = await transaction.fetchrow(
        """
        SELECT id, account_id, name, cost_centre_id, created_at FROM catalog.application
        WHERE account_id = $1 AND (id = $2 OR name = $2)
        """,
        account.id,
        name_or_id,
    )
    if row is None:
        known = ", ".join(one.name for one in await list_applications(transaction, account)) or "none"
        raise Problem(
            "not-found", f"{account.name} has no application {name_or_id!r}; its applications are {known}."
        )
    return _application(row)


async def list_applications(transaction: Transaction, account: Account) -> tuple[Application, ...]:
    """The account's applications, oldest first."""
    rows = await transaction.fetch(
        """
        SELECT id, account_id, name, cost_centre_id, created_at FROM catalog.application
        WHERE account_id = $1 ORDER BY created_at, id
        """,
        account.id,
    )
    return tuple(_application(row) for row in rows)


def _check(name: str) -> None:
    if broken := names.rule_broken(name):
        raise invalid_fields([broken])


def _application(row: asyncpg.Record) -> Application:
    return Application(**row)

"""Whose month: the unit that is rated, issued and locked."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import asyncpg
import msgspec

from billing.transaction import Connection
from catalog.accounts.test_clock import sandbox_time
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem

AccountKind = Literal["internal", "external", "platform"]


class Month(msgspec.Struct, frozen=True, order=True):
    """One account's calendar month in one environment."""

    account_id: str
    environment: Environment
    period: Period


class Payer(msgspec.Struct, frozen=True):
    """The terms of an account that decide how it is billed; all but `title`, `profile` and `test_clock` are fixed for ever.

    `demo`: it was made up for a first look, and its documents have series of their own.
    """

    id: str
    name: str
    title: Mapping[str, str]
    kind: AccountKind
    currency: str
    timezone: str
    profile: Mapping[str, Any]
    test_clock: datetime | None = None
    demo: bool = False

    def now_in(self, environment: Environment, now: datetime) -> datetime:
        """What time it is in the account's books: that of day, or of the sandbox's own clock."""
        if environment == "live" or self.test_clock is None:
            return now
        return sandbox_time(self.test_clock, now)

    def ends_at(self, period: Period) -> datetime:
        """When a month is over on the account's own calendar (UTC, exclusive)."""
        return period.bounds(self.timezone)[1]


_PAYER = (
    "SELECT id, name, title, kind, currency, timezone, coalesce(billing_profile, '{}'), test_clock, demo "
    "FROM catalog.account "
)


async def payer_of(connection: Connection, account_id: str) -> Payer:
    """An account's terms; `Problem` not-found if the transaction's scope has no such account."""
    row = await connection.fetchrow(_PAYER + "WHERE id = $1", account_id)
    if row is None:
        raise Problem("not-found", f"There is no account {account_id}.")
    return _payer(row)


async def all_payers(connection: Connection) -> list[Payer]:
    """Every account in the transaction's scope, by id."""
    return [_payer(row) for row in await connection.fetch(_PAYER + "ORDER BY id")]


def _payer(row: asyncpg.Record) -> Payer:
    account, name, title, kind, currency, timezone, profile, test_clock, demo = row
    return Payer(
        account,
        name,
        msgspec.json.decode(title),
        kind,
        currency,
        timezone,
        msgspec.json.decode(profile),
        test_clock,
        demo,
    )


async def lock_books(connection: Connection, account_id: str, environment: Environment) -> None:
    """Wait until this transaction is the only one that rates or issues for the account; held until it ends."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", _lock(account_id, environment)
    )


async def try_lock_books(connection: Connection, account_id: str, environment: Environment) -> bool:
    """The same without waiting: False if another transaction is at it."""
    locked: bool = await connection.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", _lock(account_id, environment)
    )
    return locked


def _lock(account_id: str, environment: Environment) -> str:
    return f"billing.books/{environment}/{account_id}"


def period_of(first_day: Any) -> Period:
    """The month that the database stores as the date of its first day."""
    return Period(first_day.year, first_day.month)

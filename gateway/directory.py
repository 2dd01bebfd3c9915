"""What a call is looked up in: keys, accounts with their subscriptions and allowances, and the catalogue.

Plain values, that nobody changes; `stores/directory.py` keeps them fresh.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from catalog.load import Catalogue
from catalog.vocabulary.ids import Environment


class SubscriptionRecord(msgspec.Struct, frozen=True):
    """What an account is subscribed to, from a moment on and until another, in nanoseconds since the epoch; and the moment
    whose prices it keeps, if it does not follow its plan."""

    id: str
    service: str
    plan_id: str
    starts_at_ns: int
    ends_at_ns: int | None
    prices_as_of_ns: int | None = None


class BudgetRecord(msgspec.Struct, frozen=True):
    """A hard budget: what it covers, and how much it is in each month.

    By `amount` a worker sees that it was changed. What a lease is taken of is the amount that PostgreSQL says then.
    """

    id: str
    environment: Environment
    scope: Literal["account", "application", "cost_centre"]
    scope_id: str
    amount: Decimal


class AllowancesRecord(msgspec.Struct, frozen=True):
    """The limits in money that an account's calls are held to: hard budgets, and where it pays in advance."""

    prepaid: frozenset[Environment]
    budgets: tuple[BudgetRecord, ...]


class AccountRecord(msgspec.Struct, frozen=True):
    """An account as the call path needs it, with its subscriptions by service."""

    id: str
    name: str
    currency: str
    timezone: str
    is_external: bool
    subscriptions: Mapping[str, tuple[SubscriptionRecord, ...]]
    allowances: AllowancesRecord | None
    test_clock_ns: int | None = None


class KeyRecord(msgspec.Struct, frozen=True):
    """A credential. `scopes` are operations (`stock/reserve`), services (`stock/*`) or `*`."""

    public_id: str
    account: AccountRecord
    application_id: str
    environment: Environment
    cost_centre_id: str
    digest: bytes
    pepper_version: int
    scopes: frozenset[str]
    revoked: bool


class Directory(msgspec.Struct, frozen=True):
    """One consistent copy; replaced as a whole, so a call sees the old one or the new one and never a mix."""

    keys: Mapping[str, KeyRecord]
    accounts: Mapping[str, AccountRecord]
    catalogue: Catalogue

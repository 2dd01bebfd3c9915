"""Accounts: who pays, in which currency, on which calendar."""

from datetime import datetime
from typing import Any, Literal, get_args

import asyncpg
import msgspec

from catalog.accounts import names
from catalog.accounts.refusal import invalid_fields
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.money import is_currency
from catalog.vocabulary.period import is_timezone
from catalog.vocabulary.problem import FieldError, Problem, Text

AccountKind = Literal["internal", "external", "platform"]


class Account(msgspec.Struct, frozen=True):
    """An account. Kind, currency (ISO 4217) and time zone (IANA) are fixed for ever; `billing_profile` may be missing."""

    id: str
    name: str
    title: Text
    kind: AccountKind
    currency: str
    timezone: str
    billing_profile: dict[str, Any] | None
    demo: bool
    created_at: datetime


_COLUMNS = "id, name, title, kind, currency, timezone, billing_profile, demo, created_at"


async def create_account(
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
) -> Account:
    """An account without applications or subscriptions; see `open_account` for one that can call.

    The transaction's scope is `*`. `Problem` invalid-input names every field that is wrong; conflict: the name is taken.
    """
    require_transaction(transaction)
    if errors := _rules_broken(name, kind, currency, timezone):
        raise invalid_fields(errors)
    created = await transaction.fetchrow(
        f"""
        INSERT INTO catalog.account (id, name, title, kind, currency, timezone, demo, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING RETURNING {_COLUMNS}
        """,  # noqa: S608 - a constant
        new_id("acct"),
        name,
        msgspec.json.encode(title or Text(name)).decode(),
        kind,
        currency,
        timezone,
        demo,
        now,
    )
    if created is None:
        raise Problem("conflict", f"There is an account named {name!r} already; choose another name.")
    account = _account(created)
    terms = {"kind": kind, "currency": currency, "timezone": timezone}
    await audit.append(transaction, actor, "account.create", f"account/{account.id}", terms, now)
    return account


async def find_account(transaction: Transaction, name_or_id: str) -> Account:
    """The account of that id or name within the transaction's scope; `Problem` not-found otherwise."""
    row = await transaction.fetchrow(
        f"SELECT {_COLUMNS} FROM catalog.account WHERE id = $1 OR name = $1",  # noqa: S608 - a constant
        name_or_id,
    )
    if row is None:
        raise Problem(
            "not-found",
            f"There is no account {name_or_id!r}; `ordergate account list` shows those there are.",
        )
    return _account(row)


async def list_accounts(transaction: Transaction) -> tuple[Account, ...]:
    """All accounts in the transaction's scope, by name."""
    rows = await transaction.fetch(f"SELECT {_COLUMNS} FROM catalog.account ORDER BY name, id")  # noqa: S608 - a constant
    return tuple(_account(row) for row in rows)


def _rules_broken(name: str, kind: str, currency: str, timezone: str) -> list[FieldError]:
    errors = []
    if broken := names.rule_broken(name):
        errors.append(broken)
    if kind not in get_args(AccountKind):
        errors.append(FieldError("/kind", "kind", f"use one of {', '.join(get_args(AccountKind))}"))
    if not is_currency(currency):
        errors.append(
            FieldError(
                "/currency", "currency", "use an ISO 4217 code of a currency with a minor unit, such as CNY"
            )
        )
    if not is_timezone(timezone):
        errors.append(
            FieldError("/timezone", "timezone", "use a zone of the IANA database, such as Asia/Shanghai")
        )
    return errors


def _account(row: asyncpg.Record) -> Account:
    profile = row["billing_profile"]
    return Account(
        row["id"],
        row["name"],
        msgspec.json.decode(row["title"], type=Text),
        row["kind"],
        row["currency"],
        row["timezone"],
        None if profile is None else msgspec.json.decode(profile),
        row["demo"],
        row["created_at"],
    )

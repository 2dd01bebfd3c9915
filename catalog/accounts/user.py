"""People: an address, a role, and the accounts that they belong to. How they sign in is the gateway's business."""

import re
from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from catalog.accounts.account import Account
from catalog.accounts.refusal import invalid_fields
from catalog.accounts.role import ROLES, Role
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.problem import FieldError, Problem

_EMAIL_LENGTH_MAX = 254
# One @ between two things without blanks: whether anybody reads mail there, only mail can tell.
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_SELECT = """
    SELECT person.id, person.email, person.role, person.created_at,
           array(SELECT account_id FROM catalog.membership WHERE person_id = person.id ORDER BY account_id) AS account_ids
      FROM catalog.person AS person
"""


class User(msgspec.Struct, frozen=True):
    """A person. `account_ids` are the accounts in the transaction's scope that they belong to."""

    id: str
    email: str
    role: Role
    account_ids: tuple[str, ...]
    created_at: datetime


async def create_user(
    transaction: Transaction, *, email: str, role: str, accounts: Sequence[Account], actor: str, now: datetime
) -> User:
    """A person who can be given a link to sign in. Members belong to at least one account, everybody else to none.

    `Problem` invalid-input names every field that is wrong; conflict: the address is taken. Letter case does not count.
    """
    require_transaction(transaction)
    address = email.strip().lower()
    if errors := _rules_broken(address, role, accounts):
        raise invalid_fields(errors)
    user_id = await transaction.fetchval(
        "INSERT INTO catalog.person (id, email, role, created_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (email) DO NOTHING RETURNING id",
        new_id("user"),
        address,
        role,
        now,
    )
    if user_id is None:
        raise Problem(
            "conflict", f"{address} is known already; `ordergate user link {address}` makes a new link."
        )
    for account in accounts:
        await transaction.execute(
            "INSERT INTO catalog.membership (account_id, person_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            account.id,
            user_id,
        )
    # Who it is stays out of the audit log: it holds no personal data and is kept for ever.
    detail = {"role": role, "accounts": sorted({account.id for account in accounts})}
    await audit.append(transaction, actor, "user.create", f"user/{user_id}", detail, now)
    return await find_user(transaction, user_id)


async def find_user(transaction: Transaction, email_or_id: str) -> User:
    """The person of that address or id; `Problem` not-found."""
    row = await transaction.fetchrow(
        f"{_SELECT} WHERE person.id = $1 OR person.email = lower($1)",
        email_or_id,
    )
    if row is None:
        raise Problem(
            "not-found", f"There is nobody {email_or_id!r}; `ordergate user list` shows who there is."
        )
    return _user(row)


async def list_users(transaction: Transaction) -> tuple[User, ...]:
    """Everybody, by address."""
    return tuple(_user(row) for row in await transaction.fetch(f"{_SELECT} ORDER BY person.email"))


def _rules_broken(address: str, role: str, accounts: Sequence[Account]) -> list[FieldError]:
    errors = []
    if len(address) > _EMAIL_LENGTH_MAX or not _EMAIL.fullmatch(address) or not address.isprintable():
        errors.append(FieldError("/email", "email", "write an e-mail address such as li.wei@example.com"))
    if role not in ROLES:
        errors.append(FieldError("/role", "role", f"use one of {', '.join(ROLES)}"))
    elif role == "member" and not accounts:
        errors.append(
            FieldError("/accounts", "required", "a member belongs to an account; name at least one")
        )
    elif role != "member" and accounts:
        errors.append(
            FieldError("/accounts", "unexpected", f"only members belong to accounts; {role} does not")
        )
    return errors


def _user(row: asyncpg.Record) -> User:
    return User(row["id"], row["email"], row["role"], tuple(row["account_ids"]), row["created_at"])

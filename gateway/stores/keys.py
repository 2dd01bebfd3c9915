"""Keys as rows: made, listed and revoked. The secret leaves here once, and only its keyed hash is stored."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

import asyncpg
import msgspec

from catalog.accounts.account import Account
from catalog.accounts.application import Application
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import FieldError, Problem
from gateway.api_key import generate_key, secret_digest, shown_id
from gateway.stores.scopes import ALL_SCOPES, scope_errors

__all__ = ["ALL_SCOPES", "KeyEntry", "create_key", "list_keys", "public_id_of", "revoke_key"]

LABEL_LENGTH_MAX = 80
# What people paste when asked for a key's id: the id, the shown prefix, or the whole secret.
_ID = re.compile(r"(?:og_(?:live|test)_)?([0-9A-Za-z]{12})(?:_[0-9A-Za-z]*)?")


class KeyEntry(msgspec.Struct, frozen=True):
    """A key without its secret. `scopes` are operations (`stock/reserve`), services (`stock/*`) or `*`."""

    public_id: str
    account_id: str
    application_id: str
    environment: Environment
    scopes: tuple[str, ...]
    label: str
    created_at: datetime
    revoked_at: datetime | None

    @property
    def shown(self) -> str:
        """The key's id as people see it: how the key begins."""
        return shown_id(self.environment, self.public_id)


_COLUMNS = "public_id, account_id, application_id, environment, scopes, label, created_at, revoked_at"


async def create_key(
    transaction: Transaction,
    account: Account,
    application: Application,
    environment: Environment,
    scopes: Iterable[str],
    peppers: Mapping[int, bytes],
    *,
    actor: str,
    now: datetime,
    label: str = "",
) -> tuple[KeyEntry, str]:
    """A new key and its secret, which is never shown again; it works within a second of the commit.

    `Problem` invalid-input for scopes that are none, or name what the account's catalogue does not have.
    """
    require_transaction(transaction)
    assert application.account_id == account.id, "a key belongs to an application of its account"
    granted = tuple(dict.fromkeys(scopes))
    errors = await scope_errors(transaction, account, granted)
    if not granted:
        errors.append(FieldError("/scopes", "required", "grant at least one scope; * grants everything"))
    if len(label) > LABEL_LENGTH_MAX or not (label.isprintable()):
        errors.append(
            FieldError("/label", "length", f"a label has at most {LABEL_LENGTH_MAX} visible characters")
        )
    if errors:
        raise Problem(
            "invalid-input", "; ".join(f"{e.pointer}: {e.detail}" for e in errors) + ".", errors=tuple(errors)
        )
    key, version = generate_key(environment), max(peppers)
    row = await transaction.fetchrow(
        f"""
        INSERT INTO gateway.api_key
            (public_id, account_id, application_id, environment, digest, pepper_version, scopes, label, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING {_COLUMNS}
        """,  # noqa: S608 - a constant
        key.public_id,
        account.id,
        application.id,
        environment,
        secret_digest(peppers[version], key),
        version,
        list(granted),
        label,
        now,
    )
    assert row is not None
    detail = {
        "account": account.id,
        "application": application.id,
        "environment": environment,
        "scopes": granted,
    }
    await audit.append(transaction, actor, "key.create", f"key/{key.public_id}", detail, now)
    return _entry(row), key.text.decode()


def public_id_of(key_id: str) -> str | None:
    """The public id in what people give as a key's id: itself, `og_live_<public id>` or the whole key; None in anything else."""
    match = _ID.fullmatch(key_id)
    return None if match is None else match[1]


async def revoke_key(transaction: Transaction, key_id: str, *, actor: str, now: datetime) -> KeyEntry:
    """Revoke a key for ever; workers refuse it within a second. Revoking it again changes nothing.

    `key_id` is the public id, `og_live_<public id>` or the whole key. `Problem` not-found outside the scope.
    """
    require_transaction(transaction)
    public_id = public_id_of(key_id)
    row = None
    if public_id is not None:
        row = await transaction.fetchrow(
            f"SELECT {_COLUMNS} FROM gateway.api_key WHERE public_id = $1 FOR UPDATE",  # noqa: S608 - a constant
            public_id,
        )
    if row is None:
        raise Problem(
            "not-found",
            "There is no such key; `ordergate key list ACCOUNT` shows the ids of an account's keys.",
        )
    if row["revoked_at"] is not None:
        return _entry(row)
    await transaction.execute(
        "UPDATE gateway.api_key SET revoked_at = $2 WHERE public_id = $1", row["public_id"], now
    )
    await audit.append(
        transaction, actor, "key.revoke", f"key/{row['public_id']}", {"account": row["account_id"]}, now
    )
    return msgspec.structs.replace(_entry(row), revoked_at=now)


async def list_keys(transaction: Transaction, account: Account) -> tuple[KeyEntry, ...]:
    """The account's keys, active and revoked, oldest first."""
    rows = await transaction.fetch(
        f"SELECT {_COLUMNS} FROM gateway.api_key WHERE account_id = $1 ORDER BY created_at, public_id",  # noqa: S608 - a constant
        account.id,
    )
    return tuple(_entry(row) for row in rows)


def _entry(row: asyncpg.Record) -> KeyEntry:
    return KeyEntry(
        row["public_id"],
        row["account_id"],
        row["application_id"],
        row["environment"],
        tuple(row["scopes"]),
        row["label"],
        row["created_at"],
        row["revoked_at"],
    )

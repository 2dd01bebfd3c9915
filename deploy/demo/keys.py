"""The secrets of the demo group's keys, kept in a file of this installation so that every start can show one."""

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from catalog.accounts.account import Account, find_account
from catalog.accounts.application import list_applications
from catalog.transaction import Transaction
from deploy.demo.group import Group
from deploy.demo.opening import ACTOR, IssuedKey
from deploy.home import Home
from gateway.api_key import parse_key
from gateway.stores.keys import ALL_SCOPES, create_key


def key_file(home: Home) -> Path:
    """Where the secrets are: a JSON list of `IssuedKey`, readable by this user alone."""
    return home.secrets / "demo-keys.json"


def write_keys(home: Home, keys: Iterable[IssuedKey]) -> None:
    """Replace the file, durably and as a whole. Do it before the keys' transaction commits: see `live_key`."""
    path = key_file(home)
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(tuple(keys))))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def read_keys(home: Home) -> tuple[IssuedKey, ...]:
    """What the file holds, nothing if it is lost."""
    try:
        return msgspec.json.decode(key_file(home).read_bytes(), type=tuple[IssuedKey, ...])
    except (FileNotFoundError, msgspec.DecodeError):
        return ()


async def live_key(
    transaction: Transaction, home: Home, group: Group, peppers: Mapping[int, bytes], now: datetime
) -> str | None:
    """The live key of the group's first member; a new one if its secret is lost or no key of this database.

    None where there is no demo group, and where an operator has revoked the key.
    """
    account = await _first_member(transaction, group)
    if account is None:
        return None
    keys = read_keys(home)
    for kept in keys:
        if (kept.account, kept.environment) == (account.name, "live"):
            active = await transaction.fetchval(
                "SELECT revoked_at IS NULL FROM gateway.api_key WHERE public_id = $1 AND account_id = $2",
                parse_key(kept.key.encode()).public_id,
                account.id,
            )
            if active is not None:
                return kept.key if active else None
    application = (await list_applications(transaction, account))[0]
    _, key = await create_key(
        transaction, account, application, "live", ALL_SCOPES, peppers, actor=ACTOR, now=now
    )
    write_keys(home, (IssuedKey(account.name, application.name, "live", key), *keys))
    return key


async def _first_member(transaction: Transaction, group: Group) -> Account | None:
    name = group.members[0].name
    exists = await transaction.fetchval(
        "SELECT EXISTS (SELECT FROM catalog.account WHERE name = $1 AND demo)", name
    )
    return await find_account(transaction, name) if exists else None

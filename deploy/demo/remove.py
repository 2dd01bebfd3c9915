"""`ordergate demo remove`: the demo group leaves, with its history, and does not come back.

What was made up goes, with the documents that it made. What was really called with a demo key, or reported with it, stays: it
stands in sealed journals and in the books, and both must go on agreeing. Such an account keeps these calls alone and is closed; so is
one that somebody belongs to, or of which a document was contested or credited.
"""

from datetime import datetime

import asyncpg
import msgspec

from billing.store.connection import billing_pool
from billing.store.lane import Lane
from catalog.vocabulary.clock import Clock, from_ns
from deploy.database import Database
from deploy.demo.books import keep_books
from deploy.demo.erase import erase_accounts, erase_books, erase_seller, erase_usage, history_unlocked
from deploy.demo.keys import key_file
from deploy.demo.record import demo_journal, drop_journal
from deploy.demo.state import note, read_state
from deploy.demo.used import LONG_AGO, DemoAccount, demo_accounts
from deploy.home import Home
from deploy.roles import BILLING, OWNER

_SETTINGS = {"ordergate.account": "*", "lock_timeout": "5s"}


class StillServed(Exception):
    """The product runs: its workers hold copies of what would be removed."""


class Removal(msgspec.Struct, frozen=True):
    """How many accounts were removed, and the names under which others stay, closed, for they were really used."""

    removed: int
    kept: tuple[str, ...]


async def preview(home: Home, database: Database, clock: Clock) -> tuple[DemoAccount, ...]:
    """What `remove_demo` would find, account by account; nothing where it was removed. Raises as that does."""
    _refuse_served(home)
    pool = await billing_pool(database.as_role(BILLING))
    owner = await asyncpg.connect(**database.as_role(OWNER, _SETTINGS))
    try:
        await keep_books(pool, home, (), clock)
        state = await read_state(owner)
        return () if state.removed else await demo_accounts(owner, state.opened_at)
    finally:
        await owner.close()
        await pool.close()


def _refuse_served(home: Home) -> None:
    if home.running() is not None:
        raise StillServed(f"{home.path} is being served. Stop it with Ctrl-C, then remove the demo.")


async def remove_demo(home: Home, database: Database, actor: str, clock: Clock) -> Removal:
    """Remove the demo group; doing it again finishes what was interrupted and changes nothing else.

    Raises `StillServed`, and `BooksNotKept` where a journal cannot be shipped first.
    """
    _refuse_served(home)
    pool = await billing_pool(database.as_role(BILLING))
    owner = await asyncpg.connect(**database.as_role(OWNER, _SETTINGS))
    try:
        # Every call that was recorded must be stored first, or it would arrive for an account that is gone.
        await keep_books(pool, home, (), clock)
        async with owner.transaction(isolation="repeatable_read"):
            removal = await _remove(owner, actor, from_ns(clock.now_ns()))
        await keep_books(pool, home, (), clock)
    finally:
        await owner.close()
        await pool.close()
    await forget_files(home, database)
    return removal


async def forget_files(home: Home, database: Database) -> None:
    """Remove the journal and the keys of a demo that is out of the database; nothing where that was done."""
    directory = demo_journal(home)
    journal_id = Lane(directory, None).journal_id() if directory.exists() else None
    drop_journal(home)
    if journal_id is not None:
        # Last: without its offset a journal would be shipped again.
        owner = await asyncpg.connect(**database.as_role(OWNER, _SETTINGS))
        try:
            await owner.execute("DELETE FROM billing.ship_offset WHERE journal_id = $1", journal_id)
        finally:
            await owner.close()
    key_file(home).unlink(missing_ok=True)


async def _remove(owner: asyncpg.Connection, actor: str, now: datetime) -> Removal:
    state = await read_state(owner)
    if state.removed:
        return Removal(0, ())
    found = await demo_accounts(owner, state.opened_at)
    accounts = [one.id for one in found]
    async with history_unlocked(owner):
        await erase_books(owner, accounts)
        called = await erase_usage(owner, accounts, state.opened_at or LONG_AGO)
        kept = sorted({*called, *(one.id for one in found if one.is_used)})
        gone = [account for account in accounts if account not in kept]
        await erase_accounts(owner, gone)
        await erase_seller(owner)
    names = tuple([await _close(owner, account, now) for account in kept])
    await note(owner, "demo.remove", actor, {"removed": len(gone), "kept": kept}, now)
    return Removal(len(gone), names)


async def _close(owner: asyncpg.Connection, account: str, now: datetime) -> str:
    """Nobody calls for the account any more; its name is free for a real one."""
    await owner.execute(
        "UPDATE gateway.api_key SET revoked_at = coalesce(revoked_at, $2) WHERE account_id = $1", account, now
    )
    await owner.execute(
        "UPDATE catalog.subscription SET ends_at = coalesce(ends_at, $2) WHERE account_id = $1", account, now
    )
    name: str = await owner.fetchval(
        "UPDATE catalog.account SET name = name || ' (removed demo)' WHERE id = $1 RETURNING name", account
    )
    return name

"""What a start does about the demo: opens the group and bills its history once, and finds the key that it shows.

A start may be killed anywhere. Accounts, keys and the note that the group is open are one transaction. The journal is
complete or absent. The flow and the closes go on where they stopped, and only then is the history noted as billed.
"""

import asyncpg

from billing.store.connection import billing_pool
from catalog.vocabulary.clock import Clock, from_ns
from deploy.cli.output import working
from deploy.database import Database
from deploy.demo.books import keep_books
from deploy.demo.group import demo_group
from deploy.demo.keys import live_key, write_keys
from deploy.demo.months import closing_time, months_at
from deploy.demo.opening import ACTOR, open_group
from deploy.demo.record import demo_journal, record
from deploy.demo.state import State, note, read_state
from deploy.demo.usage import history, read_callers, read_operations
from deploy.home import Home
from deploy.roles import BILLING, GATEWAY
from gateway.stores.peppers import load_peppers

# Held by the session that looks after the demo, so that two starts on one database never both open it.
_LOCK = 0x4F67_4465


async def ensure_demo(home: Home, database: Database, clock: Clock) -> str | None:
    """The live key to show; None where there is no demo group. Call it before anything serves the installation.

    Only an installation without accounts gets the group, and only once. Raises `BooksNotKept` where the group's
    journal cannot be billed.
    """
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        await gateway.execute("SELECT pg_advisory_lock($1)", _LOCK)
        if await _is_wanted(gateway):
            await _open(gateway, home, clock)
        state = await read_state(gateway)
        if state.opened_at is not None and not state.billed and not state.removed:
            with working("preparing three months of demo data"):
                await _bill(gateway, state, home, database, clock)
        async with gateway.transaction():
            return await live_key(gateway, home, load_peppers(home.path), from_ns(clock.now_ns()))
    finally:
        await gateway.close()


async def _is_wanted(gateway: asyncpg.Connection) -> bool:
    state = await read_state(gateway)
    # The platform's own accounts are no customers.
    used = await gateway.fetchval("SELECT EXISTS (SELECT FROM catalog.account WHERE kind <> 'platform')")
    return state.opened_at is None and not state.removed and not used


async def _open(gateway: asyncpg.Connection, home: Home, clock: Clock) -> None:
    now = from_ns(clock.now_ns())
    since = months_at(now, _timezones()).all[0]
    async with gateway.transaction():
        keys = await open_group(gateway, since, load_peppers(home.path), now)
        await note(gateway, "demo.open", ACTOR, {"since": str(since)}, now)
        write_keys(home, keys)


async def _bill(
    gateway: asyncpg.Connection, state: State, home: Home, database: Database, clock: Clock
) -> None:
    assert state.opened_at is not None, "only an open group has a history"
    months = months_at(state.opened_at, _timezones())
    if not demo_journal(home).exists():
        async with gateway.transaction():
            callers, operations = await read_callers(gateway), await read_operations(gateway)
        await record(home, history(callers, operations, months, state.opened_at), clock)
    closings = [(period, closing_time(period, _timezones(), state.opened_at)) for period in months.closed]
    pool = await billing_pool(database.as_role(BILLING))
    try:
        await keep_books(pool, home, closings, clock)
    finally:
        await pool.close()
    async with gateway.transaction():
        detail = {"closed": [str(period) for period in months.closed]}
        await note(gateway, "demo.bill", ACTOR, detail, from_ns(clock.now_ns()))


def _timezones() -> set[str]:
    return {member.timezone for member in demo_group().members}

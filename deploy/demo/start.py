"""What a start does about the demo: opens the group and bills its history once, and finds the key that it shows.

A start may be killed anywhere. Accounts, keys and the note that the group is open are one transaction. The journal is
complete or absent. The flow and the closes go on where they stopped, and only then is the history noted as billed.
"""

from datetime import datetime

import asyncpg

from billing.store.connection import billing_pool
from catalog.vocabulary.clock import Clock, from_ns
from deploy.cli.output import working
from deploy.database import Database
from deploy.demo.books import keep_books
from deploy.demo.group import Group
from deploy.demo.keys import live_key, write_keys
from deploy.demo.months import closing_time, months_at
from deploy.demo.opening import ACTOR, open_group
from deploy.demo.plan import plan_of
from deploy.demo.record import demo_journal, record
from deploy.demo.remove import forget_files
from deploy.demo.state import note, read_state
from deploy.demo.usage import history, read_callers, read_operations
from deploy.home import Home
from deploy.roles import BILLING, GATEWAY
from gateway.stores.peppers import load_peppers

# Held by the session that looks after the demo, so that two starts on one database never both open it.
_LOCK = 0x4F67_4465


async def ensure_demo(
    home: Home, database: Database, group: Group, clock: Clock, *, wanted: bool = True
) -> str | None:
    """The live key to show; None where there is no demo group. Call it before anything serves the installation.

    Only an installation without accounts gets the group, only where it is `wanted`, and only once. Raises `BooksNotKept` where the group's
    journal cannot be billed.
    """
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        await gateway.execute("SELECT pg_advisory_lock($1)", _LOCK)
        state = await read_state(gateway)
        if state.removed:
            await forget_files(home, database)
            return None
        opened_at = state.opened_at
        if opened_at is None and wanted and not await _is_used(gateway):
            opened_at = await _open(gateway, home, group, from_ns(clock.now_ns()))
        if opened_at is not None and not state.billed:
            with working("preparing three months of demo data"):
                await _bill(gateway, home, database, group, opened_at, clock)
        async with gateway.transaction():
            return await live_key(gateway, home, group, load_peppers(home.path), from_ns(clock.now_ns()))
    finally:
        await gateway.close()


async def _is_used(gateway: asyncpg.Connection) -> bool:
    """Whether somebody has opened accounts; the platform's own are no customers."""
    used: bool = await gateway.fetchval(
        "SELECT EXISTS (SELECT FROM catalog.account WHERE kind <> 'platform')"
    )
    return used


async def _open(gateway: asyncpg.Connection, home: Home, group: Group, now: datetime) -> datetime:
    since = months_at(now, group.timezones).all[0]
    async with gateway.transaction():
        keys = await open_group(gateway, group, since, load_peppers(home.path), now)
        await note(gateway, "demo.open", ACTOR, {"since": str(since)}, now)
        write_keys(home, keys)
    return now


async def _bill(
    gateway: asyncpg.Connection,
    home: Home,
    database: Database,
    group: Group,
    opened_at: datetime,
    clock: Clock,
) -> None:
    months = months_at(opened_at, group.timezones)
    if not demo_journal(home).exists():
        plan = plan_of(group)
        async with gateway.transaction():
            callers, operations = await read_callers(gateway, group), await read_operations(gateway, plan)
        await record(home, history(plan, callers, operations, months, opened_at), clock)
    closings = [(month, closing_time(month, group.timezones, opened_at)) for month in months.closed]
    pool = await billing_pool(database.as_role(BILLING))
    try:
        await keep_books(pool, home, closings, clock)
    finally:
        await pool.close()
    async with gateway.transaction():
        detail = {"closed": [str(month) for month in months.closed]}
        await note(gateway, "demo.bill", ACTOR, detail, from_ns(clock.now_ns()))

"""What every start makes sure of, and what only the first one does."""

import asyncpg
import msgspec

from atomic_services.registry import built_in_passports
from billing.store.partitions import ensure_upcoming
from catalog.registry.publish import publish_built_in
from catalog.vocabulary.clock import Clock, from_ns
from deploy.database import Database
from deploy.demo.group import demo_group
from deploy.demo.start import ensure_demo
from deploy.home import Home
from deploy.migrate import migrate
from deploy.roles import BILLING, GATEWAY

_ACTOR = "ordergate up"


class Welcome(msgspec.Struct, frozen=True):
    """What the greeting shows: a live key of a demo account, or None where the demo was removed."""

    key: str | None


async def prepare(home: Home, database: Database, clock: Clock) -> Welcome:
    """Schema, partitions and built-in passports as this version needs them; on the first start the demo group."""
    await migrate(database)
    now = from_ns(clock.now_ns())
    billing = await asyncpg.connect(**database.as_role(BILLING, {"ordergate.account": "*"}))
    try:
        await ensure_upcoming(billing, now.date())
    finally:
        await billing.close()
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        async with gateway.transaction():
            await publish_built_in(gateway, built_in_passports(), _ACTOR, now)
    finally:
        await gateway.close()
    return Welcome(await ensure_demo(home, database, demo_group(), clock))

"""What every start makes sure of, and what only the first one does."""

from collections.abc import Callable
from datetime import datetime

import asyncpg
import msgspec

from atomic_services.registry import built_in_passports
from billing.store.partitions import ensure_upcoming
from catalog.accounts.user import create_user, list_users
from catalog.registry.publish import publish_built_in
from catalog.vocabulary.clock import Clock, from_ns
from deploy.audit_head import advance_head
from deploy.database import Database
from deploy.demo.group import demo_group
from deploy.demo.start import ensure_demo
from deploy.home import Home
from deploy.migrate import migrate
from deploy.peppers import note_peppers, require_peppers
from deploy.roles import BILLING, GATEWAY
from gateway.stores.sign_in import anybody_signed_in, make_link

_ACTOR = "ordergate up"
FIRST_OPERATOR = "operator@localhost"
# What is left of a removed demo is closed.
_HAS_ACCOUNTS = "SELECT EXISTS (SELECT FROM catalog.account WHERE kind <> 'platform' AND NOT demo)"


class Welcome(msgspec.Struct, frozen=True):
    """What the greeting shows: a live key of a demo account, None without a demo; the path with which the first operator
    signs in, None once somebody has signed in; and whether nobody has an account to call with."""

    key: str | None
    sign_in: str | None
    is_empty: bool


async def prepare(
    home: Home,
    database: Database,
    clock: Clock,
    notice: Callable[[str], object] | None = None,
    *,
    demo: bool = True,
) -> Welcome:
    """Schema, partitions and built-in passports as this version needs them; on the first start the demo group, if wanted.

    `notice` is told when that has to wait. Raises `PeppersMissing` where the database belongs to another home.
    """
    await migrate(database, notice)
    now = from_ns(clock.now_ns())
    billing = await asyncpg.connect(**database.as_role(BILLING, {"ordergate.account": "*"}))
    try:
        await ensure_upcoming(billing, now.date())
    finally:
        await billing.close()
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    try:
        await require_peppers(gateway, home.path)
        async with gateway.transaction():
            await note_peppers(gateway, home.path, _ACTOR, now)
            await publish_built_in(gateway, built_in_passports(), _ACTOR, now)
        await advance_head(gateway, home)
        async with gateway.transaction():
            sign_in = await _first_sign_in(gateway, now)
            has_accounts = await gateway.fetchval(_HAS_ACCOUNTS)
    finally:
        await gateway.close()
    key = await ensure_demo(home, database, demo_group(), clock, wanted=demo)
    return Welcome(key, sign_in, is_empty=key is None and not has_accounts)


async def _first_sign_in(gateway: asyncpg.Connection, now: datetime) -> str | None:
    """A new one-time link at every start until somebody has signed in: what scrolled away is no way to be locked out."""
    if await anybody_signed_in(gateway):
        return None
    operator = next((user for user in await list_users(gateway) if user.email == FIRST_OPERATOR), None)
    if operator is None:
        operator = await create_user(
            gateway, email=FIRST_OPERATOR, role="operator", accounts=(), actor=_ACTOR, now=now
        )
    return f"/sign-in/{await make_link(gateway, operator, actor=_ACTOR, now=now)}"

"""Seeds the demo group."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import asyncpg

from catalog.accounts.open import open_account
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.problem import Text
from gateway.stores.keys import create_key


async def seed(
    gateway: asyncpg.Connection, journals: Path, peppers: Mapping[int, bytes], clock: Clock, now: datetime
) -> str:
    """Create the group; the live key of its first brand."""
    async with gateway.transaction():
        opened = await open_account(
            gateway,
            name="bu-01",
            kind="internal",
            currency="CNY",
            timezone="Asia/Shanghai",
            actor="demo",
            now=now,
            title=Text("Qinyuan Beverages", "沁源饮品"),
            demo=True,
        )
        _, key = await create_key(
            gateway, opened.account, opened.application, "live", ["*"], peppers, actor="demo", now=now
        )
    return key

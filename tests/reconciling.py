"""An installation whose books are compared: a database, journals, the flow, and a clock that moves instead of waiting."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from billing.flow import Flow
from billing.reconcile import Report, reconcile
from catalog.usage_event import USAGE_EVENT_KIND, UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import Environment
from deploy.journal_audit import iter_payloads
from tests.usage_books import add_account, add_price, call

OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)


class Installation:
    """A database, journals and their flow; `sleep` moves the clock instead of waiting."""

    def __init__(self, pool: asyncpg.Pool, root: Path) -> None:
        self.pool = pool
        self.root = root
        self.clock = ManualClock(datetime(2026, 11, 2, tzinfo=UTC))
        self.flow = Flow(pool, root, None, self.clock)

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def drive(self) -> None:
        await self.flow.ship()
        await self.flow.roll_up()
        await self.flow.rate()

    def served(self, until: Mapping[Path, int]) -> Mapping[Environment, int]:
        found: Counter[Environment] = Counter()
        for directory in self.root.iterdir():
            for _, _, payload in iter_payloads(directory, USAGE_EVENT_KIND, until[directory]):
                found[msgspec.msgpack.decode(payload)[2]] += 1
        return found

    async def reconcile(
        self,
        *books: Path,
        served: Callable[[Mapping[Path, int]], Mapping[Environment, int]] | None = None,
        drive: bool = True,
    ) -> tuple[Report, Report]:
        test, live = await reconcile(
            self.pool,
            served or self.served,
            self.root,
            books,
            clock=self.clock,
            sleep=self.sleep,
            drive=self.drive if drive else None,
            patience_s=2,
        )
        return test, live


async def open_installation(admin: asyncpg.Connection, pool: asyncpg.Pool, root: Path) -> Installation:
    """Two payers with a price; `root` is an empty folder for journals."""
    await add_account(admin, "acct_a")
    await add_account(admin, "acct_b", timezone="America/New_York")
    await add_price(admin, "price")
    return Installation(pool, root)


def calls(count: int, start: datetime = OCTOBER_5, **fields: Any) -> list[UsageEvent]:
    """So many calls of acct_a, a second apart."""
    return [call("acct_a", start + timedelta(seconds=second), **fields) for second in range(count)]

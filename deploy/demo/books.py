"""The demo group's books, kept by the product's own steps: shipped, added up, closed month by month, rated."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from billing.desk import close
from billing.flow import Flow
from catalog.vocabulary.clock import Clock, ManualClock
from catalog.vocabulary.period import Period
from deploy.home import Home

_POLL_S = 0.05


class BooksNotKept(Exception):
    """The demo group's calls could not be billed; the message says why and what to do."""


async def keep_books(
    pool: asyncpg.Pool, home: Home, closings: Sequence[tuple[Period, datetime]], clock: Clock
) -> None:
    """Take every journal through the flow and close months, each as of a moment; goes on where it was stopped."""
    flow = Flow(pool, home.journals, None, clock)
    try:
        await ship_all(flow)
        for period, closed_at in closings:
            await close(pool, period, ManualClock(closed_at))
        while (await flow.rate()).more:
            pass
    finally:
        flow.close()


async def ship_all(flow: Flow) -> None:
    """Store and add up all that is recorded; `BooksNotKept` where a journal cannot be shipped."""
    while (await flow.ship()).more:
        pass
    for halt in flow.halted:
        raise BooksNotKept(f"{halt.journal}: {halt.detail}. {halt.remedy}")
    # A transaction that is still open anywhere hides rows from the roll-up; it passes.
    while await flow.roll_up_lag_ms():
        if not (await flow.roll_up()).more:
            await asyncio.sleep(_POLL_S)

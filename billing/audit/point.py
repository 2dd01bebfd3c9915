"""One point at which all books can be compared while calls go on.

Behind the point, every stored call is in the hourly sums, on a rated line, in the ledger and on a document, or in none
of them. For a moment nothing is shipped or rolled up; what is stored by then is rolled up and rated; then a view of the
database is taken and everything moves on. The view itself stands still for as long as the comparison needs it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import msgspec

from billing.cut import Cut
from billing.invoice.rate_pending import rate_pending
from billing.rollup.roll_up import UnknownPayer, roll_up
from billing.standstill import standstill
from billing.transaction import Connection, all_accounts, one_snapshot
from catalog.vocabulary.clock import Clock

# Well below the time for which the shipper waits for a lock.
_HELD_S = 2.0
_POLL_S = 0.02
# Nothing that was shipped and nothing of the cut lies above the watermark, and no month is marked but those that cannot
# be rated.
_BEHIND = """
    SELECT (SELECT count(*) FROM billing.unrated) > $2 OR EXISTS (
        SELECT FROM billing.usage_event
        WHERE stored_xid >= (SELECT xid FROM billing.watermark WHERE step = 'rollup')
          AND (recorded_by = 'journal' OR stored_xid < $1::xid8))
"""
_WATERMARK = "SELECT xid FROM billing.watermark WHERE step = 'rollup'"


class Point(msgspec.Struct, frozen=True):
    """A repeatable view of the database. Stored calls of transactions below `bound` are behind the point; `reached`
    says that all of them are in every book."""

    connection: Connection
    bound: int
    reached: bool


@asynccontextmanager
async def one_point(
    pool: asyncpg.Pool, cut: Cut, *, clock: Clock, sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[Point]:
    """A point behind the whole cut, if the flow has taken that: else one that is not `reached`.

    Holds the flow for 2 s and one rating at most. Raises asyncpg.LockNotAvailableError where the flow does not let go.
    """
    # Most of it while everything still moves.
    await _roll_up_and_rate(pool, clock)
    async with AsyncExitStack() as view:
        async with standstill(pool):
            deadline_ns = clock.monotonic_ns() + int(_HELD_S * 1_000_000_000)
            unratable = await _roll_up_and_rate(pool, clock)
            # A call's transaction that began before the last page was shipped keeps that page above the horizon.
            while await _is_behind(pool, cut, unratable) and clock.monotonic_ns() < deadline_ns:
                await sleep(_POLL_S)
                unratable = await _roll_up_and_rate(pool, clock)
            connection = await view.enter_async_context(one_snapshot(pool))
            reached = not await connection.fetchval(_BEHIND, cut.xid, unratable)
        bound: int = await connection.fetchval(_WATERMARK)
        yield Point(connection, bound if reached else max(bound, cut.xid), reached)


async def _is_behind(pool: asyncpg.Pool, cut: Cut, unratable: int) -> bool:
    async with all_accounts(pool) as connection:
        behind: bool = await connection.fetchval(_BEHIND, cut.xid, unratable)
    return behind


async def _roll_up_and_rate(pool: asyncpg.Pool, clock: Clock) -> int:
    """How many months stay marked because they cannot be rated."""
    # Usage of an account that does not exist stays where it is, and is reported as behind.
    with suppress(UnknownPayer):
        more = True
        while more:
            async with all_accounts(pool) as connection:
                more = (await roll_up(connection)).more
    unratable = 0
    while True:
        report = await rate_pending(pool, clock)
        unratable += len(report.unratable)
        if not report.more:
            return unratable

"""`ordergate reconcile`: what was served, metered, stored, rated, posted and invoiced, against each other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import asyncpg
import msgspec

from billing.audit.client_book import BookComparison, compare_books, read_books
from billing.audit.compare import compare
from billing.audit.journals import count_kept, count_removed, with_removed
from billing.rollup.recompute import recompute
from billing.transaction import Connection, all_accounts, one_snapshot
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain

# Test books first, live last: the last line is the one that counts.
_ORDER: tuple[Environment, ...] = ("test", "live")
_NAMED_MAX = 20
_POLL_S = 0.5


class Report(msgspec.Struct, frozen=True):
    """One environment's books in calls. `diff` and `money_diff` are zero if and only if they agree; `differences`
    names the first twenty disagreements."""

    environment: Environment
    served: int
    metered: int
    stored: int
    rated: int
    posted: int
    invoiced: int
    diff: int
    money_diff: Decimal
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing is lost, doubled or mispriced."""
        return self.diff == 0 and self.money_diff == 0

    @property
    def line(self) -> str:
        """The line that checks rely on."""
        return (
            f"served={self.served} metered={self.metered} stored={self.stored} rated={self.rated} "
            f"posted={self.posted} invoiced={self.invoiced} diff={self.diff} money_diff={_short(self.money_diff)}"
        )


async def reconcile(
    pool: asyncpg.Pool,
    served_by_journal: Callable[[], Mapping[Environment, int]],
    journals_root: Path,
    books: Sequence[Path],
    *,
    clock: Clock,
    sleep: Callable[[float], Awaitable[object]],
    drive: Callable[[], Awaitable[object]] | None = None,
    patience_s: float = 60,
) -> tuple[Report, ...]:
    """Compare the books, test environment first, after waiting up to `patience_s` for the flow to catch up.

    `served_by_journal` counts the usage records of the kept segments with a reader of its own; `drive` runs the
    flow's steps once, where no worker runs. A receipt in a client's book is a served call; without books, served is
    what the journals' second reader counts plus the calls that committed with their effect. While calls keep
    arriving faster than they are rated the books never stand still, and the report shows how far apart they were.
    """
    deadline_ns = clock.monotonic_ns() + int(patience_s * 1_000_000_000)
    while True:
        if drive is not None:
            await drive()
        late = clock.monotonic_ns() >= deadline_ns
        async with all_accounts(pool) as connection:
            caught_up = await _caught_up(connection)
        if caught_up or late:
            reports = await _reports(pool, served_by_journal, journals_root, books)
            if late or all(report.agrees for report in reports):
                return reports
        await sleep(_POLL_S)


async def _caught_up(connection: Connection) -> bool:
    """Whether every stored call is rolled up and every rolled-up one is rated."""
    behind: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.unrated) OR EXISTS ("
        "SELECT FROM billing.usage_event "
        "WHERE stored_xid >= (SELECT xid FROM billing.watermark WHERE step = 'rollup'))"
    )
    return not behind


async def _reports(
    pool: asyncpg.Pool,
    served_by_journal: Callable[[], Mapping[Environment, int]],
    journals_root: Path,
    books: Iterable[Path],
) -> tuple[Report, ...]:
    # The journals first: what they hold now is in the database then, or it is late.
    served = await asyncio.to_thread(served_by_journal)
    kept = await asyncio.to_thread(count_kept, journals_root)
    removed = await asyncio.to_thread(count_removed, journals_root)
    async with one_snapshot(pool) as connection:
        await recompute(connection)
        by_journal = await _stored(connection, journaled=True)
        beside = await _stored(connection, journaled=False)
        book = await compare_books(connection, read_books(books)) if books else BookComparison()
        shipped_served, shipped_metered = (
            with_removed(count, removed, by_journal) for count in (served, kept)
        )
        return tuple(
            [
                await _report(
                    connection,
                    environment,
                    served=shipped_served[environment] + beside[environment],
                    metered=shipped_metered[environment] + beside[environment],
                    stored=by_journal[environment] + beside[environment],
                    book=book,
                )
                for environment in _ORDER
            ]
        )


async def _stored(connection: Connection, *, journaled: bool) -> Mapping[Environment, int]:
    rows = await connection.fetch(
        "SELECT environment, count(*) AS calls FROM billing.usage_event "
        "WHERE (recorded_by = 'journal') = $1 GROUP BY 1",
        journaled,
    )
    return {**dict.fromkeys(_ORDER, 0), **{row["environment"]: row["calls"] for row in rows}}


async def _report(
    connection: Connection,
    environment: Environment,
    *,
    served: int,
    metered: int,
    stored: int,
    book: BookComparison,
) -> Report:
    comparison = await compare(connection, environment)
    calls = comparison.calls
    # A receipt without a stored call has no environment; the live books must answer for it.
    mine = book if environment == "live" else BookComparison(surplus=book.surplus)
    served += mine.missing - mine.surplus.get(environment, 0)
    joints = (abs(served - metered), abs(metered - stored), abs(stored - calls["stored"]))
    return Report(
        environment,
        served,
        metered,
        stored,
        calls["rated"],
        calls["posted"],
        calls["invoiced"],
        sum(joints) + comparison.diff + len(mine.differences),
        comparison.money_diff,
        (*mine.differences, *comparison.differences)[:_NAMED_MAX],
    )


def _short(amount: Decimal) -> str:
    return plain(amount) if amount else "0"

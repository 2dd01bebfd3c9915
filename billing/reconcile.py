"""`ordergate reconcile`: what was served, metered, stored, rated, posted and invoiced, against each other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import asyncpg
import msgspec

from billing.audit.client_book import Booked, ClientBooks
from billing.audit.compare import compare
from billing.audit.journals import count_kept, count_removed, with_removed
from billing.audit.point import Point, one_point
from billing.audit.receipts import BookComparison, compare_receipts
from billing.audit.resembling import resembling
from billing.cut import PATIENCE_S, Cut, Lag, shipped_to, take_cut, wait_until_taken
from billing.transaction import Connection
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain

# Test books first, live last: the last line is the one that counts.
_ORDER: tuple[Environment, ...] = ("test", "live")
_NAMED_MAX = 20
# Between two attempts at a point the flow gets as long as it was held.
_PAUSE_S = 2.0


class Report(msgspec.Struct, frozen=True):
    """One environment's books in calls. `diff` and `money_diff` are zero if and only if they agree; a call on which a
    client's book and ours disagree is one in `diff`, however it shows in the other figures; a charge, by which its receipt
    is off in `money_diff` too. `differences` names the
    first twenty disagreements, `lag` what had not arrived in time, of both environments together. `notices` are no
    disagreements: reported usage that a person should look at before it is billed, lines that say nothing."""

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
    lag: str = ""
    notices: tuple[str, ...] = ()

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
    served_by_journal: Callable[[Mapping[Path, int]], Mapping[Environment, int]],
    journals_root: Path,
    books: Sequence[Path],
    *,
    clock: Clock,
    sleep: Callable[[float], Awaitable[object]],
    drive: Callable[[], Awaitable[object]] | None = None,
    notice: Callable[[str], object] | None = None,
    patience_s: float = PATIENCE_S,
) -> tuple[Report, ...]:
    """Compare the books at one point behind everything that was recorded when this began, test environment first.

    Calls may go on: what comes behind the point is in no book. Waits up to `patience_s` for the flow to take what was
    recorded at the start; what is late then is named and is a difference. `served_by_journal` counts the usage
    records of the kept segments, up to a sequence number by journal directory, with a reader of its own; `drive` runs
    the flow's steps once, where no worker runs; `notice` is told what is waited for. A receipt in a client's book is
    a served call; without books, served is what the journals' second reader counts plus the calls that committed with
    their effect. Raises what `take_cut` does, and asyncpg.LockNotAvailableError where the flow hangs.
    """
    deadline_ns = clock.monotonic_ns() + int(patience_s * 1_000_000_000)
    client_books, booked = ClientBooks(books), Booked()
    # The books first: whatever has a receipt by now was recorded before, and lies inside the cut.
    booked.add(client_books.read_on())
    cut = await take_cut(pool, journals_root)
    lag = await wait_until_taken(
        pool, journals_root, cut, clock=clock, sleep=sleep, patience_s=patience_s, drive=drive, notice=notice
    )
    while True:
        async with one_point(pool, cut, clock=clock, sleep=sleep) as point:
            if point.reached or lag or clock.monotonic_ns() >= deadline_ns:
                receipts = BookComparison()
                if client_books:
                    receipts = await compare_receipts(
                        point.connection, client_books, booked, point.bound, clock=clock, sleep=sleep
                    )
                return await _reports(point, cut, lag, served_by_journal, journals_root, receipts)
        await sleep(_PAUSE_S)


async def _reports(
    point: Point,
    cut: Cut,
    lag: Lag,
    served_by_journal: Callable[[Mapping[Path, int]], Mapping[Environment, int]],
    journals_root: Path,
    receipts: BookComparison,
) -> tuple[Report, ...]:
    connection = point.connection
    shipped = await shipped_to(connection, journals_root)
    until = {directory: max(seq, cut.journals.get(directory, 0)) for directory, seq in shipped.items()}
    served = await asyncio.to_thread(served_by_journal, until)
    kept = await asyncio.to_thread(count_kept, journals_root, until)
    removed = await asyncio.to_thread(count_removed, journals_root)
    by_journal = await _stored(connection, point.bound, journaled=True)
    beside = await _stored(connection, point.bound, journaled=False)
    shipped_served, shipped_metered = (with_removed(count, removed, by_journal) for count in (served, kept))
    in_journals = sum(
        max(0, shipped_metered[environment] - by_journal[environment]) for environment in _ORDER
    )
    return tuple(
        [
            await _report(
                connection,
                environment,
                served=shipped_served[environment] + beside[environment],
                metered=shipped_metered[environment] + beside[environment],
                stored=by_journal[environment] + beside[environment],
                lag=lag,
                receipts=receipts,
                in_journals=in_journals,
                notices=await resembling(connection, environment, point.bound),
            )
            for environment in _ORDER
        ]
    )


async def _stored(connection: Connection, bound: int, *, journaled: bool) -> Mapping[Environment, int]:
    rows = await connection.fetch(
        "SELECT environment, count(*) FILTER (WHERE amends IS NULL) AS calls FROM billing.usage_event "
        "WHERE (recorded_by = 'journal') = $1 AND stored_xid < $2::xid8 GROUP BY 1",
        journaled,
        bound,
    )
    return {**dict.fromkeys(_ORDER, 0), **{row["environment"]: row["calls"] for row in rows}}


async def _report(
    connection: Connection,
    environment: Environment,
    *,
    served: int,
    metered: int,
    stored: int,
    lag: Lag,
    receipts: BookComparison,
    in_journals: int,
    notices: tuple[str, ...],
) -> Report:
    comparison = await compare(connection, environment)
    calls = comparison.calls
    # Before clients' books correct what was served: what they say is a difference of its own.
    joints = (abs(served - metered), abs(metered - stored), abs(stored - calls["stored"]))
    live = environment == "live"
    lost = receipts.lost(in_journals) if live else 0
    return Report(
        environment,
        served + lost - receipts.surplus.get(environment, 0),
        metered,
        stored,
        calls["rated"],
        calls["posted"],
        calls["invoiced"],
        sum(joints) + comparison.diff + receipts.diff(environment, in_journals),
        comparison.money_diff + receipts.money.get(environment, Decimal(0)),
        (*receipts.differences.get(environment, ()), *comparison.differences)[:_NAMED_MAX],
        str(lag),
        (*(receipts.notices if live else ()), *notices),
    )


def _short(amount: Decimal) -> str:
    return plain(amount) if amount else "0"

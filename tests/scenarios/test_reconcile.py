"""Three books after every scenario: the client's, the journals', the database's; what is wrong is named."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from billing.audit.compare import compare
from billing.audit.journals import journaled_events
from billing.desk import close
from billing.flow import Flow
from billing.rebuild import verify
from billing.reconcile import Report, reconcile
from billing.transaction import one_snapshot
from catalog.usage_event import USAGE_EVENT_KIND, UsageEvent
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.ids import CALL_PREFIX, Environment
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from deploy.journal_audit import iter_payloads
from tests.usage_books import add_account, add_price, call, store
from tests.usage_calls import write_journal

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


@pytest.fixture
async def installation(admin: asyncpg.Connection, billing_pool: asyncpg.Pool, tmp_path: Path) -> Installation:
    await add_account(admin, "acct_a")
    await add_account(admin, "acct_b", timezone="America/New_York")
    await add_price(admin, "price")
    root = tmp_path / "journals"
    root.mkdir()
    return Installation(billing_pool, root)


def _calls(count: int, start: datetime = OCTOBER_5, **fields: object) -> list[UsageEvent]:
    return [call("acct_a", start + timedelta(seconds=second), **fields) for second in range(count)]  # type: ignore[arg-type]


def _book(path: Path, events: Sequence[UsageEvent], **fields: object) -> Path:
    entries = [
        {
            "call_id": CALL_PREFIX + one.id,
            "operation": one.operation,
            "account": one.account_id,
            "status": 200,
        }
        | {"class": one.class_, "charge": "0.055 CNY"}
        | fields
        for one in events
    ]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


async def test_books_that_agree_end_in_the_line_that_checks_rely_on(
    installation: Installation, tmp_path: Path
) -> None:
    journaled = _calls(30) + _calls(5, environment="test") + [call("acct_b", OCTOBER_5)]
    transactional = _calls(7, operation="stock/reserve")
    await write_journal(installation.root / "worker-0", journaled)
    await store(installation.pool, transactional)
    test, live = await installation.reconcile()
    assert test.line == "served=5 metered=5 stored=5 rated=5 posted=5 invoiced=5 diff=0 money_diff=0"
    assert live.line == "served=38 metered=38 stored=38 rated=38 posted=38 invoiced=38 diff=0 money_diff=0"
    await close(installation.pool, Period(2026, 10), installation.clock)
    await store(installation.pool, _calls(2, operation="stock/reserve"))
    _, live = await installation.reconcile()
    assert live.line == "served=40 metered=40 stored=40 rated=40 posted=40 invoiced=40 diff=0 money_diff=0"
    assert live.agrees
    assert await verify(installation.pool, journaled_events(installation.root)) == []


async def test_it_waits_for_lag_and_reports_what_is_still_behind(installation: Installation) -> None:
    await write_journal(installation.root / "worker-0", _calls(3))
    started_ns = installation.clock.monotonic_ns()
    _, live = await installation.reconcile(drive=False)
    assert installation.clock.monotonic_ns() - started_ns >= 2_000_000_000
    assert live.line == "served=3 metered=3 stored=0 rated=0 posted=0 invoiced=0 diff=3 money_diff=0"
    assert not live.agrees
    assert (await installation.reconcile())[1].agrees


async def test_a_call_that_the_second_reader_counts_and_the_product_does_not_is_a_difference(
    installation: Installation,
) -> None:
    await write_journal(installation.root / "worker-0", _calls(3))
    _, live = await installation.reconcile(served=lambda _until: {"live": 4})
    assert (live.served, live.metered, live.diff) == (4, 3, 1)


async def test_money_that_moved_without_usage_is_found_and_named(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    await store(installation.pool, _calls(10))
    await installation.reconcile()
    await close(installation.pool, Period(2026, 10), installation.clock)
    await admin.execute("ALTER TABLE billing.invoice_line DISABLE TRIGGER append_only")
    await admin.execute("UPDATE billing.invoice_line SET amount = amount + 0.01")
    _, live = await installation.reconcile()
    assert live.diff == 0
    assert live.money_diff > 0
    assert any(
        "acct_a 2026-10 address/validate price: money stored 0.55" in text for text in live.differences
    )
    assert any("S-2026-000001: total 0.55, lines 0.56, posted 0.55" in text for text in live.differences)
    found = await verify(installation.pool, ())
    assert found == ["live S-2026-000001: its lines are not what was rated onto it"]


async def test_a_month_that_cannot_be_rated_is_a_named_difference_and_hides_no_other(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    await add_price(admin, "broken", model="capacity", price={"tiers": [{"max": None, "price": "10"}]})
    await store(installation.pool, [*_calls(3), call("acct_b", OCTOBER_5)])
    _, live = await installation.reconcile()
    assert live.agrees
    await store(installation.pool, _calls(2, price_version="broken"))
    _, live = await installation.reconcile()
    # The month was rated before the price that cannot be; what it comes to now nobody can say.
    assert live.line == "served=6 metered=6 stored=6 rated=4 posted=4 invoiced=4 diff=5 money_diff=0"
    assert live.differences[0] == (
        "live acct_a 2026-10: 5 calls cannot be rated: address/validate: "
        "capacity is stated per unit, an object of unit names and decimal strings"
    )
    assert not live.agrees
    assert await verify(installation.pool, ()) == [live.differences[0]]
    # A neighbour's lost line is found beside it.
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM billing.rated_line WHERE account_id = 'acct_b'")
    _, live = await installation.reconcile()
    assert (live.rated, live.diff) == (3, 6)
    differences = await verify(installation.pool, ())
    assert any("acct_b" in sentence and "rated nothing" in sentence for sentence in differences)


async def test_an_hour_that_was_changed_is_found_although_the_totals_follow_it(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    await store(installation.pool, _calls(10))
    await installation.drive()
    await admin.execute("UPDATE billing.usage_hour SET calls = calls + 1, units = units + 1")
    await admin.execute("INSERT INTO billing.unrated VALUES ('acct_a', 'live', '2026-10-01')")
    _, live = await installation.reconcile()
    assert (live.stored, live.rated, live.invoiced, live.diff) == (10, 11, 11, 1)
    assert any("calls stored 10, rated 11" in text for text in live.differences)
    hour, line = await verify(installation.pool, ())
    assert hour.startswith("hour ")
    assert "rated 11 calls" in line


async def test_a_posting_that_is_missing_is_found(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    await store(installation.pool, _calls(10))
    await installation.reconcile()
    await admin.execute("ALTER TABLE billing.posting DISABLE TRIGGER append_only")
    await admin.execute("DELETE FROM billing.posting")
    _, live = await installation.reconcile()
    assert (live.rated, live.posted, live.invoiced) == (10, 0, 10)
    assert live.diff == 10
    line = await admin.fetchval("SELECT id FROM billing.rated_line")
    assert await verify(installation.pool, ()) == [
        f"live rated_line:{line}: acct_a accrued 0.55 CNY is due and not posted",
        f"live rated_line:{line}: house earnings:address -0.55 CNY is due and not posted",
    ]


async def test_a_clients_receipts_are_all_stored_and_nothing_else(
    installation: Installation, tmp_path: Path
) -> None:
    events = _calls(30)
    await write_journal(installation.root / "worker-0", events)
    _, live = await installation.reconcile(_book(tmp_path / "book.jsonl", events))
    assert live.line == "served=30 metered=30 stored=30 rated=30 posted=30 invoiced=30 diff=0 money_diff=0"


async def test_receipts_without_a_call_and_calls_without_a_receipt_are_named(
    installation: Installation, tmp_path: Path
) -> None:
    events = _calls(30)
    lost, unbooked, refused, other = events[5], events[10], events[15], events[20]
    await write_journal(installation.root / "worker-0", [one for one in events if one is not lost])
    book = _book(tmp_path / "book.jsonl", [one for one in events if one not in (unbooked, refused, other)])
    refusal = _book(tmp_path / "refused.jsonl", [refused], status=429, charge=None, **{"class": None})
    wrong = _book(tmp_path / "wrong.jsonl", [other], **{"class": "declined"})
    _, live = await installation.reconcile(book, refusal, wrong)
    assert live.diff > 0
    assert sorted(live.differences) == sorted(
        [
            f"call_{lost.id} address/validate: has a receipt and is not stored",
            f"call_{unbooked.id} address/validate: is stored and has no receipt",
            f"call_{refused.id} address/validate: is stored, and the client was refused",
            f"call_{other.id} address/validate: the receipt says address/validate declined acct_a, "
            "stored is address/validate ok acct_a",
        ]
    )
    assert (live.served, live.stored) == (29, 29)


async def test_a_receipt_that_is_on_its_way_is_waited_for_and_one_that_never_comes_is_named(
    installation: Installation, tmp_path: Path
) -> None:
    events = _calls(10, start=datetime(2026, 11, 1, 23, 59, 50, tzinfo=UTC))
    slow, never = events[3], events[6]
    await write_journal(installation.root / "worker-0", events)
    book = _book(tmp_path / "book.jsonl", [one for one in events if one not in (slow, never)])
    line = _book(tmp_path / "line.jsonl", [slow]).read_text()
    # The client is at its next line.
    with book.open("a") as growing:
        growing.write(line[:20])
    pause = installation.sleep

    async def sleep_while_the_client_writes(seconds: float) -> None:
        await pause(seconds)
        if line not in book.read_text():
            with book.open("a") as growing:
                growing.write(line[20:])

    installation.sleep = sleep_while_the_client_writes  # type: ignore[method-assign]
    started_ns = installation.clock.now_ns()
    _, live = await installation.reconcile(book)
    assert live.differences == (f"call_{never.id} address/validate: is stored and has no receipt",)
    assert (live.served, live.stored) == (9, 10)
    assert installation.clock.now_ns() - started_ns < 35_000_000_000


async def test_a_time_out_resolves_to_metered_or_to_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    events = _calls(10)
    await write_journal(installation.root / "worker-0", events)
    book = _book(tmp_path / "book.jsonl", events[:4] + events[5:])
    timeouts = tmp_path / "timeouts.jsonl"
    # Two calls were never answered: one of them was metered.
    timeouts.write_text('{"operation": "address/validate", "status": null}\n' * 2)
    _, live = await installation.reconcile(book, timeouts)
    assert (live.served, live.diff, live.differences) == (10, 0, ())


async def test_a_line_that_is_no_book_entry_is_refused_by_file_and_number(
    installation: Installation, tmp_path: Path
) -> None:
    book = tmp_path / "book.jsonl"
    book.write_text(
        '{"operation": "address/validate"}\n{"operation": "address/validate", "call_id": "nonsense"}\n'
    )
    with pytest.raises(Problem, match=r"book\.jsonl, line 2"):
        await installation.reconcile(book)


async def test_an_event_of_a_journal_that_is_stored_otherwise_is_named(
    installation: Installation, admin: asyncpg.Connection
) -> None:
    events = _calls(4)
    await write_journal(installation.root / "worker-0", events)
    await installation.drive()
    await admin.execute("UPDATE billing.usage_event SET status = 500 WHERE id = $1", events[2].uuid)
    found = await verify(installation.pool, journaled_events(installation.root))
    assert found == [f"call_{events[2].id}: is in a journal and not stored as it is there"]


async def test_comparing_only_reads_so_that_usage_moves_on_meanwhile(installation: Installation) -> None:
    await store(installation.pool, _calls(3))
    _, live = await installation.reconcile()
    assert live.agrees
    async with one_snapshot(installation.pool) as connection:
        comparison = await compare(connection, "live")
        assert comparison.calls["stored"] == 3
        # No roll-up passes the id of a transaction that is still under way: this one has none.
        assert await connection.fetchval("SELECT pg_current_xact_id_if_assigned()") is None

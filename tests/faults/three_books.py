"""The load generator's book against the database, with queries of its own: what `ordergate reconcile` cannot know."""

import asyncio
from collections import Counter
from pathlib import Path

import asyncpg
import msgspec

from catalog.vocabulary.ids import call_id_text
from deploy.database import Database
from deploy.home import Home
from tests.load.book import Entry, read_book
from tests.stock_calls import unexplained

_STORED = "SELECT id, operation, account_id, class, environment FROM billing.usage_event"
_STOCK = "SELECT sku, sum(on_hand)::bigint AS on_hand FROM stock.level GROUP BY sku HAVING sum(on_hand) <> 0"


class Ambiguous(msgspec.Struct, frozen=True):
    """Attempts that were never answered: how many are recorded, and how many left nothing behind."""

    recorded: int
    absent: int


def compare_with_book(home: Home, book: Path) -> Ambiguous:
    """AssertionError unless receipts, stored calls and stock agree; the product runs and is caught up.

    Every receipt is a stored call and the other way round, but for attempts without an answer. Of those, one with an
    effect may only have left a failure behind: had it had its effect, the repetition under its key would have
    brought the receipt.
    """
    running = home.running()
    assert running is not None
    return asyncio.run(_compare(Database(socket_dir=Path(running.socket_dir)), list(read_book(book))))


async def _compare(database: Database, entries: list[Entry]) -> Ambiguous:
    connection = await asyncpg.connect(**database.admin())
    try:
        stored = {call_id_text(row["id"]): row for row in await connection.fetch(_STORED)}
        on_hand = {row["sku"]: row["on_hand"] for row in await connection.fetch(_STOCK)}
        assert await unexplained(connection) == []
    finally:
        await connection.close()
    receipts = {entry.call_id: entry for entry in entries if entry.has_receipt}
    for call_id, entry in receipts.items():
        assert call_id in stored, f"{call_id} {entry.operation} has a receipt and is not stored"
        found = stored[call_id]
        assert (entry.operation, entry.account, entry.class_) == tuple(found[1:4]), call_id
    booked: Counter[str] = Counter()
    for entry in receipts.values():
        booked.update(entry.change)
    assert {sku: units for sku, units in booked.items() if units} == on_hand
    return _without_receipt(entries, [row for call_id, row in stored.items() if call_id not in receipts])


def _without_receipt(entries: list[Entry], stored: list[asyncpg.Record]) -> Ambiguous:
    unanswered = Counter(entry.operation for entry in entries if entry.status is None)
    keyed = {entry.operation for entry in entries if entry.idempotency_key is not None}
    recorded = Counter(row["operation"] for row in stored)
    for row in stored:
        known = row["operation"] not in keyed or row["class"] == "provider_error"
        assert known, f"{row['id']} {row['operation']} {row['class']} has no receipt"
    for operation, calls in recorded.items():
        assert calls <= unanswered[operation], (
            f"{operation}: {calls} recorded, {unanswered[operation]} unanswered"
        )
    return Ambiguous(recorded.total(), unanswered.total() - recorded.total())

"""The load generator's book against the database, with queries of its own: what `ordergate reconcile` cannot know."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from catalog.vocabulary.ids import call_id_text, parse_call_id
from deploy.database import Database
from deploy.home import Home
from tests.load.book import Entry, read_book
from tests.stock_calls import unexplained

_STORED = "SELECT id, operation, account_id, class, environment FROM billing.usage_event"
_STOCK = "SELECT sku, sum(on_hand)::bigint AS on_hand FROM stock.level GROUP BY sku HAVING sum(on_hand) <> 0"


_AT_ONCE = 10_000


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
    return asyncio.run(_compare(Database(socket_dir=Path(running.socket_dir)), _Book(read_book(book))))


class _Said(msgspec.Struct, frozen=True):
    operation: str
    account: str
    class_: str | None


class _Book:
    """What is kept of a book of any length: of a call with a receipt its id and what it says, of the rest numbers."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.receipts: dict[bytes, _Said] = {}
        self.on_hand: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()
        self.keyed: set[str] = set()
        said: dict[_Said, _Said] = {}
        for entry in entries:
            self.unanswered[entry.operation] += entry.status is None
            if entry.idempotency_key is not None:
                self.keyed.add(entry.operation)
            if entry.has_receipt and entry.call_id is not None:
                call_id = parse_call_id(entry.call_id).bytes
                # A replay repeats the receipt of the first reply.
                if call_id not in self.receipts:
                    self.on_hand.update(entry.change)
                one = _Said(entry.operation, entry.account, entry.class_)
                self.receipts[call_id] = said.setdefault(one, one)


async def _compare(database: Database, book: _Book) -> Ambiguous:
    connection = await asyncpg.connect(**database.admin())
    try:
        without = []
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            async for row in connection.cursor(_STORED, prefetch=_AT_ONCE):
                said = book.receipts.pop(row["id"].bytes, None)
                if said is None:
                    without.append(row)
                else:
                    assert said == _Said(*row[1:4]), call_id_text(row["id"])
        on_hand = {row["sku"]: row["on_hand"] for row in await connection.fetch(_STOCK)}
        assert await unexplained(connection) == []
    finally:
        await connection.close()
    for call_id, said in book.receipts.items():
        name = call_id_text(UUID(bytes=call_id))
        raise AssertionError(f"{name} {said.operation} has a receipt and is not stored")
    assert {sku: units for sku, units in book.on_hand.items() if units} == on_hand
    return _without_receipt(book, without)


def _without_receipt(book: _Book, stored: list[asyncpg.Record]) -> Ambiguous:
    recorded = Counter(row["operation"] for row in stored)
    for row in stored:
        known = row["operation"] not in book.keyed or row["class"] == "provider_error"
        assert known, f"{row['id']} {row['operation']} {row['class']} has no receipt"
    for operation, calls in recorded.items():
        assert calls <= book.unanswered[operation], (
            f"{operation}: {calls} recorded, {book.unanswered[operation]} unanswered"
        )
    return Ambiguous(recorded.total(), book.unanswered.total() - recorded.total())

"""Clients' receipts against the stored calls, in one view of the database that does not move."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from uuid import UUID

import asyncpg
import msgspec

from billing.audit.client_book import Booked, BookEntry, ClientBooks
from billing.transaction import Connection
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.ids import ENVIRONMENTS, Environment, call_id_text

# Longer than the longest deadline of a call: an older one has its reply, and its client has written it down.
_ANSWERED_AFTER = timedelta(seconds=30)
_POLL_S = 0.25
_LOOKED_UP_AT_ONCE = 10_000


class BookComparison(msgspec.Struct, frozen=True):
    """`missing` receipts are not stored (their environment is unknown); `surplus` calls by environment are stored in
    the books' time and accounts without a receipt. `differences` names each of them and every contradiction."""

    missing: int = 0
    surplus: Mapping[Environment, int] = {}
    differences: tuple[str, ...] = ()


_FOUND = "SELECT id, operation, class, account_id FROM billing.usage_event WHERE id = ANY($1)"
# The children of a composed call are stored, but their caller is not told of them.
_IN_THE_BOOKS_TIME = """
    SELECT id, operation, class, account_id, environment, occurred_at FROM billing.usage_event
    WHERE account_id = ANY($1) AND id BETWEEN $2 AND $3 AND stored_xid < $4::xid8 AND parent_call_id IS NULL
    ORDER BY id
"""


async def compare_receipts(
    connection: Connection,
    books: ClientBooks,
    booked: Booked,
    bound: int,
    *,
    clock: Clock,
    sleep: Callable[[float], Awaitable[object]],
) -> BookComparison:
    """Look every entry up among the stored calls, and every stored call up to `bound` among the entries.

    `booked` was read before the cut was taken, so each of its receipts is inside. A stored call without one may still
    be on its way to the client: the books are read on until it is there, or the call is too old for that. What is
    left is accounted for by an unanswered entry of the same operation, if there is one: that call was metered. Reads
    only, so that nothing waits for the transaction while this one waits for clients.
    """
    differences: list[str] = []
    missing = 0
    accounts: set[str] = set()
    found = {row["id"]: row async for row in _look_up(connection, list(booked.answered))}
    for call_id, entry in sorted(booked.answered.items()):
        row = found.get(call_id)
        if row is not None:
            differences += _contradictions(row, entry)
        elif entry.metered:
            missing += 1
            differences.append(f"{call_id_text(call_id)} {entry.operation}: has a receipt and is not stored")
        if entry.metered:
            accounts |= {row["account_id"]} if row is not None else {entry.account or ""}
    unbooked: list[asyncpg.Record] = []
    if receipts := booked.receipts:
        rows = await connection.fetch(_IN_THE_BOOKS_TIME, list(accounts), receipts[0], receipts[-1], bound)
        unbooked = [row for row in rows if row["id"] not in booked.answered]
    late, without = Booked(), unbooked
    while without:
        late.add(books.read_on())
        without = _without_entry(unbooked, booked, late)
        if not any(row["occurred_at"] + _ANSWERED_AFTER > from_ns(clock.now_ns()) for row in without):
            break
        await sleep(_POLL_S)
    for row in unbooked:
        if row["id"] in late.answered:
            differences += _contradictions(row, late.answered[row["id"]])
    surplus = dict.fromkeys(ENVIRONMENTS, 0)
    for row in without:
        surplus[row["environment"]] += 1
        differences.append(f"{call_id_text(row['id'])} {row['operation']}: is stored and has no receipt")
    return BookComparison(missing, surplus, tuple(differences))


async def _look_up(connection: Connection, ids: Sequence[UUID]) -> AsyncIterator[asyncpg.Record]:
    remaining = iter(ids)
    while some := list(islice(remaining, _LOOKED_UP_AT_ONCE)):
        for row in await connection.fetch(_FOUND, some):
            yield row


def _without_entry(unbooked: Sequence[asyncpg.Record], booked: Booked, late: Booked) -> list[asyncpg.Record]:
    unanswered = booked.unanswered + late.unanswered
    without = []
    for row in unbooked:
        if row["id"] in late.answered:
            continue
        if unanswered[row["operation"]] > 0:
            unanswered[row["operation"]] -= 1
            continue
        without.append(row)
    return without


def _contradictions(row: asyncpg.Record, entry: BookEntry) -> list[str]:
    name = f"{call_id_text(row['id'])} {entry.operation}"
    if not entry.metered:
        return [f"{name}: is stored, and the client was refused"]
    said = (entry.operation, entry.class_, entry.account)
    stored = (row["operation"], row["class"], row["account_id"])
    if all(one is None or one == other for one, other in zip(said, stored, strict=True)):
        return []
    return [f"{name}: the receipt says {_words(said)}, stored is {_words(stored)}"]


def _words(values: tuple[object, ...]) -> str:
    return " ".join(str(value) for value in values if value is not None)

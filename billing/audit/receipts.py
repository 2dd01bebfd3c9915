"""Clients' receipts against the stored calls, in one view of the database that does not move."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from uuid import UUID

import asyncpg
import msgspec

from billing.audit.client_book import Booked, ClientBooks, Said
from billing.audit.told_charge import ToldCharges, said_charge
from billing.transaction import Connection
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.ids import ENVIRONMENTS, Environment, call_id_text

# Longer than the longest deadline of a call: an older one has its reply, and its client has written it down.
_ANSWERED_AFTER = timedelta(seconds=30)
_POLL_S = 0.25
_AT_ONCE = 10_000


class BookComparison(msgspec.Struct, frozen=True):
    """Calls on which clients' books and the stored calls disagree, each counted once.

    `missing` receipts are not stored; `surplus` calls by environment are stored in the books' time and accounts without
    a receipt; `contradicted` calls are stored otherwise than the client says, or charged otherwise: `money` is by how
    much, in all currencies added up; `nameless` lines say that a call was served and not which. `differences` names them
    all, save that lines are named up to twenty; where the environment is unknown, the live books answer for it. `notices`
    are no disagreements.
    """

    missing: int = 0
    surplus: Mapping[Environment, int] = {}
    contradicted: Mapping[Environment, int] = {}
    money: Mapping[Environment, Decimal] = {}
    nameless: int = 0
    differences: Mapping[Environment, tuple[str, ...]] = {}
    notices: tuple[str, ...] = ()

    def diff(self, environment: Environment, in_journals: int) -> int:
        """Calls of an environment on which the books disagree, beside `in_journals`: calls that are journaled and not
        stored. A missing receipt may be one of those, and is then counted as such."""
        counted = self.surplus.get(environment, 0) + self.contradicted.get(environment, 0)
        return counted + (self.lost(in_journals) + self.nameless if environment == "live" else 0)

    def lost(self, in_journals: int) -> int:
        """Receipts of calls that are neither stored nor among the `in_journals` that are still to be."""
        return max(0, self.missing - in_journals)


_CALL = "id, operation, class, account_id, environment, occurred_at, billable, units, price_version, dimension_names, dimension_values"
_FOUND = f"SELECT {_CALL} FROM billing.usage_event WHERE id = ANY($1)"  # noqa: S608 - a constant
# The children of a composed call are stored, but their caller is not told of them; amending rows are no calls.
_IN_THE_BOOKS_TIME = f"""
    SELECT {_CALL} FROM billing.usage_event
    WHERE account_id = ANY($1) AND id BETWEEN $2 AND $3 AND stored_xid < $4::xid8 AND parent_call_id IS NULL AND amends IS NULL
    ORDER BY id
"""  # noqa: S608 - a constant


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
    differences: dict[Environment, list[str]] = {environment: [] for environment in ENVIRONMENTS}
    surplus, contradicted = (dict.fromkeys(ENVIRONMENTS, 0) for _ in range(2))
    money = dict.fromkeys(ENVIRONMENTS, Decimal(0))
    missing, charges = 0, ToldCharges(connection)

    async def contradict(row: asyncpg.Record, said: Said) -> None:
        environment: Environment = row["environment"]
        sentences, apart = await _contradictions(row, said, charges)
        contradicted[environment] += bool(sentences)
        money[environment] += apart
        differences[environment] += sentences

    accounts: set[str] = set()
    async for call_id, row in _look_up(connection, booked):
        said = booked.answered[call_id]
        if row is not None:
            await contradict(row, said)
        elif said.metered:
            missing += 1
            name = call_id_text(UUID(bytes=call_id))
            differences["live"].append(f"{name} {said.operation}: has a receipt and is not stored")
        if said.metered:
            accounts |= {row["account_id"]} if row is not None else {said.account or ""}
    unbooked: list[asyncpg.Record] = []
    if span := booked.span:
        stored = connection.cursor(_IN_THE_BOOKS_TIME, list(accounts), *span, bound, prefetch=_AT_ONCE)
        unbooked = [row async for row in stored if row["id"].bytes not in booked.answered]
    late, without = Booked(), unbooked
    while without:
        late.add(books.read_on())
        without = _without_entry(unbooked, booked, late)
        if not any(row["occurred_at"] + _ANSWERED_AFTER > from_ns(clock.now_ns()) for row in without):
            break
        await sleep(_POLL_S)
    for row in unbooked:
        if (late_said := late.answered.get(row["id"].bytes)) is not None:
            await contradict(row, late_said)
    for row in without:
        surplus[row["environment"]] += 1
        sentence = f"{call_id_text(row['id'])} {row['operation']}: is stored and has no receipt"
        differences[row["environment"]].append(sentence)
    differences["live"] += (*booked.nameless_named, *late.nameless_named)
    return BookComparison(
        missing,
        surplus,
        contradicted,
        money,
        booked.nameless + late.nameless,
        {environment: tuple(sentences) for environment, sentences in differences.items()},
        _notices(booked.refused + late.refused, booked.unreadable + late.unreadable),
    )


async def _look_up(
    connection: Connection, booked: Booked
) -> AsyncIterator[tuple[bytes, asyncpg.Record | None]]:
    """Every call that the books name, in the order of their ids, and its stored row if there is one."""
    remaining = iter(sorted(booked.answered))
    while some := list(islice(remaining, _AT_ONCE)):
        rows = await connection.fetch(_FOUND, [UUID(bytes=call_id) for call_id in some])
        found = {row["id"].bytes: row for row in rows}
        for call_id in some:
            yield call_id, found.get(call_id)


def _without_entry(unbooked: Sequence[asyncpg.Record], booked: Booked, late: Booked) -> list[asyncpg.Record]:
    unanswered = booked.unanswered + late.unanswered
    without = []
    for row in unbooked:
        if row["id"].bytes in late.answered:
            continue
        if unanswered[row["operation"]] > 0:
            unanswered[row["operation"]] -= 1
            continue
        without.append(row)
    return without


async def _contradictions(row: asyncpg.Record, said: Said, charges: ToldCharges) -> tuple[list[str], Decimal]:
    """Where a stored call is not what an entry says of it, and how far its charge is from what the receipt says."""
    name = f"{call_id_text(row['id'])} {said.operation}"
    if not said.metered:
        return [f"{name}: is stored, and the client was refused"], Decimal(0)
    found, apart = [], Decimal(0)
    booked = (said.operation, said.class_, said.account)
    stored = (row["operation"], row["class"], row["account_id"])
    if any(one is not None and one != other for one, other in zip(booked, stored, strict=True)):
        found.append(f"{name}: the receipt says {_words(booked)}, stored is {_words(stored)}")
    told = await charges.of(row)
    if said.charge is not None and told is not None and (apart := said_charge(said.charge).apart(told)):
        found.append(
            f"{name}: the receipt says {said.charge}, its price {row['price_version']} charges {told}"
        )
    return found, apart


def _notices(refused: int, unreadable: int) -> tuple[str, ...]:
    notices = []
    if refused:
        notices.append(
            f"{refused} lines of clients' books have neither `call_id` nor `charge` and say that the call failed: "
            "taken as refused by the gateway, which meters nothing, and compared with nothing"
        )
    if unreadable:
        notices.append(
            f"{unreadable} charges of clients' books are not written as in `Ordergate-Charge` (0.055 CNY): "
            "their receipts were compared without them"
        )
    return tuple(notices)


def _words(values: tuple[object, ...]) -> str:
    return " ".join(str(value) for value in values if value is not None)

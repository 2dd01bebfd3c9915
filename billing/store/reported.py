"""Usage that is reported from elsewhere becomes rows exactly once, however often it is sent.

What an account's source has called by one id is remembered for ever: sent again with the same content it is a duplicate,
with other content a conflict. Neither changes anything, and both are told.
"""

from collections.abc import Iterable, Sequence, Set
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from billing.store.insert import insert_rows
from billing.store.partitions import ensure_days
from billing.store.usage_row import partition_day
from billing.transaction import Connection
from catalog.limit import Quota
from catalog.usage_event import UsageEvent
from catalog.vocabulary.ids import Environment

Reception = Literal["accepted", "duplicate", "conflict"]


class Report(msgspec.Struct, frozen=True):
    """A usage event under the name that its sender gave it: `id` is unique within `source`; `content_hash` (SHA-256)
    is of everything that it says. What it takes of limits: `charge` at list price, and a unit of each of `quotas`."""

    source: str
    id: str
    content_hash: bytes
    event: UsageEvent
    charge: Decimal
    quotas: tuple[Quota, ...]

    @property
    def name(self) -> tuple[str, str]:
        """What the sender calls it."""
        return (self.source, self.id)


class Received(msgspec.Struct, frozen=True):
    """What became of a report; `event_id` is the stored event's: of an earlier report unless it was accepted."""

    reception: Reception
    event_id: UUID


class _Seen(msgspec.Struct, frozen=True):
    content_hash: bytes
    event_id: UUID


async def store_reports(
    connection: Connection, account_id: str, environment: Environment, reports: Sequence[Report]
) -> list[Received]:
    """Store what is new, in the caller's transaction and the scope of the account; answers in the order of `reports`.

    Two transactions with the same names wait for each other; the names are taken in one order, so they never deadlock.
    """
    assert connection.is_in_transaction(), "names and usage rows are stored together"
    first = {report.name: report for report in reversed(reports)}
    # Day partitions before the names: making one takes a lock that must not be waited for with names in hand.
    await ensure_days(connection, {partition_day(report.event.uuid) for report in first.values()})
    taken = await _take(connection, account_id, environment, first.values())
    seen = {name: _Seen(first[name].content_hash, first[name].event.uuid) for name in taken}
    if others := first.keys() - taken:
        seen |= await _seen(connection, account_id, environment, others)
    if taken:
        await insert_rows(connection, (first[name].event for name in taken), "import")
    return [_received(report, seen[report.name], is_first=first[report.name] is report) for report in reports]


def _received(report: Report, seen: _Seen, *, is_first: bool) -> Received:
    if seen.event_id == report.event.uuid and is_first:
        return Received("accepted", seen.event_id)
    same = seen.content_hash == report.content_hash
    return Received("duplicate" if same else "conflict", seen.event_id)


async def _take(
    connection: Connection, account_id: str, environment: Environment, reports: Iterable[Report]
) -> set[tuple[str, str]]:
    ordered = sorted(reports, key=lambda report: report.name)
    rows = await connection.fetch(
        """
        INSERT INTO billing.seen (account_id, environment, source, id, content_hash, event_id)
        SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bytea[], $6::uuid[])
        ON CONFLICT DO NOTHING RETURNING source, id
        """,
        account_id,
        environment,
        [report.source for report in ordered],
        [report.id for report in ordered],
        [report.content_hash for report in ordered],
        [report.event.uuid for report in ordered],
    )
    return {(row["source"], row["id"]) for row in rows}


async def _seen(
    connection: Connection, account_id: str, environment: Environment, names: Set[tuple[str, str]]
) -> dict[tuple[str, str], _Seen]:
    ordered = sorted(names)
    rows = await connection.fetch(
        """
        SELECT source, id, content_hash, event_id FROM billing.seen
        JOIN unnest($3::text[], $4::text[]) AS asked (source, id) USING (source, id)
        WHERE account_id = $1 AND environment = $2
        """,
        account_id,
        environment,
        [source for source, _ in ordered],
        [id_ for _, id_ in ordered],
    )
    return {(row["source"], row["id"]): _Seen(row["content_hash"], row["event_id"]) for row in rows}

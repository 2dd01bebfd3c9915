"""Usage that is reported from elsewhere becomes rows exactly once, however often it is sent.

What an account's source has called by one id is remembered for ever: sent again with the same content it is a duplicate,
with other content a conflict. Neither changes anything, and both are told.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from billing.store.insert import insert_rows
from billing.store.names import Name, Seen, seen_names, take_names
from billing.store.partitions import ensure_days
from billing.store.said import Said, in_conflict, said_before
from billing.store.usage_row import partition_day
from billing.transaction import Connection
from catalog.limit import Quota
from catalog.meter import Dimensions, given
from catalog.usage_event import CallClass, UsageEvent
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import FieldError

Reception = Literal["accepted", "duplicate", "conflict", "refused"]


class Report(msgspec.Struct, frozen=True):
    """A usage event under the name that its sender gave it: `id` is unique within `source`; `content_hash` (SHA-256)
    is of everything that it says. What it takes of limits: `charge` at list price, and a unit of each of `quotas`.

    A correction counts as one of the event that it corrects: `charge` is what that costs more than before, below zero where
    it is less, and there are no quotas, for it is no call.
    """

    source: str
    id: str
    content_hash: bytes
    event: UsageEvent
    charge: Decimal
    quotas: tuple[Quota, ...]

    @property
    def name(self) -> Name:
        """What the sender calls it."""
        return (self.source, self.id)

    @property
    def said(self) -> Said:
        """What it says, as far as it is stored."""
        event = self.event
        return Said(
            event.operation,
            from_ns(event.occurred_at_ns),
            event.class_,
            given(event.dimensions),
            event.quantity if event.billable else None,
        )


class Correction(msgspec.Struct, frozen=True):
    """The whole quantity of an event anew: `units`, zero for nothing, of the event that `corrects` names within `source`.
    All else that it says repeats the event. `key_id` is the key that sent it."""

    source: str
    id: str
    content_hash: bytes
    corrects: str
    operation: str
    occurred_at_ns: int
    class_: CallClass
    dimensions: Dimensions
    units: Decimal
    key_id: str

    @property
    def name(self) -> Name:
        """What the sender calls it."""
        return (self.source, self.id)

    @property
    def said(self) -> Said:
        """What it says."""
        moment = from_ns(self.occurred_at_ns)
        return Said(self.operation, moment, self.class_, given(self.dimensions), self.units, self.corrects)


class Received(msgspec.Struct, frozen=True):
    """What became of a report or correction. `event_id` is the stored event's: of an earlier report unless it was accepted,
    of the one that is corrected, None where it was refused. `errors` say why that was, or in what a conflict differs."""

    reception: Reception
    event_id: UUID | None
    errors: tuple[FieldError, ...] = ()


class Stored(msgspec.Struct, frozen=True):
    """What became of each, in the order in which they were sent; `counted` are those that take something of limits."""

    received: list[Received]
    counted: list[Report]


async def store_reports(
    connection: Connection, account_id: str, environment: Environment, reports: Sequence[Report]
) -> Stored:
    """Store what is new, in the caller's transaction and the scope of the account."""
    assert connection.is_in_transaction(), "names and usage rows are stored together"
    first = {report.name: report for report in reversed(reports)}
    # Day partitions before the names: making one takes a lock that must not be waited for with names in hand.
    await ensure_days(connection, {partition_day(report.event.uuid) for report in first.values()})
    seen = {name: Seen(report.content_hash, report.event.uuid) for name, report in first.items()}
    taken = await take_names(connection, account_id, environment, seen)
    if others := first.keys() - taken:
        seen |= await seen_names(connection, account_id, environment, others)
    if taken:
        await insert_rows(connection, (first[name].event for name in taken), "import")
    received = [
        Received("accepted", report.event.uuid)
        if report.name in taken and first[report.name] is report
        else known_already(report, seen[report.name])
        for report in reports
    ]
    counted = [report for report, one in zip(reports, received, strict=True) if one.reception == "accepted"]
    return Stored(await explained(connection, account_id, environment, reports, received), counted)


def known_already(report: Report | Correction, seen: Seen) -> Received:
    """What becomes of an event whose name was taken before."""
    same = seen.content_hash == report.content_hash
    return Received("duplicate" if same else "conflict", seen.event_id)


async def explained(
    connection: Connection,
    account_id: str,
    environment: Environment,
    reports: Sequence[Report | Correction],
    received: Sequence[Received],
) -> list[Received]:
    """The same, with the fields in which conflicts differ from what is stored under their names by now."""
    names: Mapping[Name, UUID] = {
        report.name: one.event_id
        for report, one in zip(reports, received, strict=True)
        if one.reception == "conflict" and one.event_id is not None
    }
    if not names:
        return list(received)
    before = await said_before(connection, account_id, environment, names)
    return [
        msgspec.structs.replace(one, errors=in_conflict(before[report.name], report.said))
        if one.reception == "conflict"
        else one
        for report, one in zip(reports, received, strict=True)
    ]

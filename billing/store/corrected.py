"""Reported usage is corrected: the whole quantity of an event is said anew, and what is more or less is stored beside it.

An event and its corrections are a chain, each naming the one before, so that of two which name the same one only the first
counts: the other has not seen what it corrects. The last one's quantity is the event's; zero leaves nothing of it to bill.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from billing.store.amend import Amendment, amend
from billing.store.insert import insert_rows
from billing.store.names import Name, Seen, seen_names, take_names
from billing.store.partitions import ensure_days
from billing.store.reported import Correction, Received, Report, Stored, explained, known_already
from billing.store.said import Said, not_repeated
from billing.store.usage_row import COLUMNS, event_of, partition_day
from billing.transaction import Connection
from catalog.load import AppliedPrice, applied
from catalog.meter import given
from catalog.registry.published import price_versions
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import EXACT
from catalog.vocabulary.problem import FieldError

_CHAINS = f"""
    SELECT {", ".join(f"event.{name}" for name in COLUMNS)}, latest.id AS latest, latest.units_after
    FROM billing.usage_event AS event
    LEFT JOIN billing.correction AS latest ON latest.event_id = event.id AND NOT EXISTS (
        SELECT FROM billing.correction AS later
        WHERE (later.account_id, later.environment, later.source, later.corrects_id)
            = (latest.account_id, latest.environment, latest.source, latest.id))
    WHERE event.id = ANY($1)
"""  # noqa: S608 - constants of this package
_RECORD = """
    INSERT INTO billing.correction (account_id, environment, source, id, corrects_id, event_id, units_after, amendment_id,
                                    corrected_by, corrected_at)
    SELECT $1, $2, made.*, $10
    FROM unnest($3::text[], $4::text[], $5::text[], $6::uuid[], $7::numeric[], $8::uuid[], $9::text[]) AS made
"""


class _Chain(msgspec.Struct):
    """An event, the id that the next correction of it has to name, and its quantity by now."""

    event: UsageEvent
    latest: str
    units: Decimal


class _Step(msgspec.Struct, frozen=True):
    """An accepted correction of an event, whose quantity was `before`."""

    correction: Correction
    event: UsageEvent
    before: Decimal


class _Batch:
    """What becomes of a batch, event by event, each of which knows those before it."""

    def __init__(self, seen: dict[Name, Seen], chains: dict[Name, _Chain]) -> None:
        self._seen = seen
        self._chains = chains
        self.taken: dict[Name, Seen] = {}
        self.events: list[Report] = []
        self.steps: list[_Step] = []

    def take(self, one: Report | Correction) -> Received:
        """What becomes of the next one."""
        if (known := self._seen.get(one.name)) is not None:
            return known_already(one, known)
        if isinstance(one, Report):
            self.events.append(one)
            chain = _Chain(one.event, one.id, one.event.quantity)
        else:
            found = self._chains.get((one.source, one.corrects))
            if found is None or (errors := _refusal(found, one)):
                return Received("refused", None, (_unknown(one),) if found is None else errors)
            chain = found
            self.steps.append(_Step(one, chain.event, before=chain.units))
            chain.latest, chain.units = one.id, one.units
        self._chains[one.name] = chain
        self._seen[one.name] = self.taken[one.name] = Seen(one.content_hash, chain.event.uuid)
        return Received("accepted", chain.event.uuid)


async def store_corrected(
    connection: Connection,
    account_id: str,
    environment: Environment,
    reports: Sequence[Report | Correction],
    now: datetime,
) -> Stored:
    """Store what is new of a batch with corrections, in the caller's transaction and the scope of the account.

    The transaction holds `begin_alone`: whatever was reported of the account is committed, and nothing else is meanwhile.
    """
    assert connection.is_in_transaction(), "names and usage rows are stored together"
    await ensure_days(
        connection, {partition_day(one.event.uuid) for one in reports if isinstance(one, Report)}
    )
    corrected = {(one.source, one.corrects) for one in reports if isinstance(one, Correction)}
    seen = await seen_names(connection, account_id, environment, corrected | {one.name for one in reports})
    chains = await _chains(connection, {name: seen[name].event_id for name in corrected & seen.keys()})
    batch = _Batch(seen, chains)
    received = [batch.take(one) for one in reports]
    taken = await take_names(connection, account_id, environment, batch.taken)
    assert taken == batch.taken.keys(), "nobody else reports usage of the account meanwhile"
    counted = list(batch.events)
    if batch.events:
        await insert_rows(connection, (one.event for one in batch.events), "import")
    if batch.steps:
        await _record(connection, account_id, environment, batch.steps, now)
        counted += await _differences(connection, batch.steps)
    return Stored(await explained(connection, account_id, environment, reports, received), counted)


def _unknown(correction: Correction) -> FieldError:
    detail = (
        f"no event {correction.corrects!r} of source {correction.source!r} was accepted before this one; name the id of the "
        "event that was reported, or of its last correction"
    )
    return FieldError("/corrects", "reference", detail)


def _refusal(chain: _Chain, correction: Correction) -> tuple[FieldError, ...]:
    """Why an event cannot be corrected so; empty where it can."""
    if chain.latest != correction.corrects:
        detail = (
            f"{correction.corrects!r} was corrected already; name the last correction of it, {chain.latest!r}"
        )
        return (FieldError("/corrects", "superseded", detail),)
    event = chain.event
    original = Said(
        event.operation, from_ns(event.occurred_at_ns), event.class_, given(event.dimensions), units=None
    )
    return not_repeated(original, correction.said)


async def _chains(connection: Connection, events: Mapping[Name, UUID]) -> dict[Name, _Chain]:
    """The chains that stored names belong to; of an event without a correction, its own name is the latest."""
    rows = await connection.fetch(_CHAINS, list(events.values()))
    by_event = {row["id"]: row for row in rows}
    chains: dict[UUID, _Chain] = {}
    for (_, id_), event_id in events.items():
        if event_id not in chains:
            row = by_event[event_id]
            units = row["units"] if row["latest"] is None else row["units_after"]
            chains[event_id] = _Chain(event_of(row), row["latest"] or id_, units)
    return {name: chains[event_id] for name, event_id in events.items()}


async def _record(
    connection: Connection, account_id: str, environment: Environment, steps: Sequence[_Step], now: datetime
) -> None:
    """Remember what was corrected, and store what is more or less of what is billed."""
    amending = [step for step in steps if step.event.billable and step.correction.units != step.before]
    amendments = [
        Amendment(step.event.uuid, EXACT.subtract(step.correction.units, step.before)) for step in amending
    ]
    ids = await amend(connection, amendments) if amendments else []
    amendment_of = {step.correction.name: id_ for step, id_ in zip(amending, ids, strict=True)}
    await connection.execute(
        _RECORD,
        account_id,
        environment,
        [step.correction.source for step in steps],
        [step.correction.id for step in steps],
        [step.correction.corrects for step in steps],
        [step.event.uuid for step in steps],
        [step.correction.units for step in steps],
        [amendment_of.get(step.correction.name) for step in steps],
        [f"key/{step.correction.key_id}" for step in steps],
        now,
    )


async def _differences(connection: Connection, steps: Iterable[_Step]) -> list[Report]:
    """What corrections take of limits or give back, at the list price that the event was reported at."""
    billed = [step for step in steps if step.event.billable]
    versions = await price_versions(connection, {step.event.price_version for step in billed})
    prices = {version.id: applied(version) for version in versions}
    found: list[Report] = []
    for step in billed:
        price = prices[step.event.price_version].of(step.event.dimensions)
        assert price is not None, "a combination without a price was not reported"
        correction = step.correction
        if charge := EXACT.subtract(_charge(price, correction.units), _charge(price, step.before)):
            found.append(
                Report(correction.source, correction.id, correction.content_hash, step.event, charge, ())
            )
    return found


def _charge(price: AppliedPrice, units: Decimal) -> Decimal:
    """The list amount of a quantity; an event of which nothing is left has not even the fee of one."""
    return price.amount(units) if units else Decimal(0)

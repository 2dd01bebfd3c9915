"""What a sender says of a thing that happened elsewhere, and in which fields two such sayings differ."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import asyncpg
import msgspec

from billing.store.names import Name
from billing.store.usage_row import dimensions_of
from billing.transaction import Connection
from catalog.meter import Dimensions, given
from catalog.usage_event import CallClass
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain
from catalog.vocabulary.problem import FieldError

_SAID = """
    SELECT asked.source, asked.id, operation, occurred_at, class, dimension_names, dimension_values,
           coalesce(units_after, CASE WHEN billable THEN units END) AS units, corrects_id
    FROM unnest($3::text[], $4::text[], $5::uuid[]) AS asked (source, id, event_id)
    JOIN billing.usage_event AS event ON event.id = asked.event_id AND event.id = ANY($5)
    LEFT JOIN billing.correction
           ON (correction.account_id, correction.environment, correction.source, correction.id) = ($1, $2, asked.source, asked.id)
"""
# What a correction says of the event itself.
_REPEATED = {
    "operation": "/subject",
    "occurred_at": "/time",
    "class_": "/data/class",
    "dimensions": "/data/dimensions",
}
_UNITS = "/data/units"


class Said(msgspec.Struct, frozen=True):
    """`dimensions` are those that have a value, by name. `units` is None where they were not kept, for nothing is billed by
    them; `corrects` is the id of the event whose quantity is said anew."""

    operation: str
    occurred_at: datetime
    class_: CallClass
    dimensions: Dimensions
    units: Decimal | None
    corrects: str | None = None


async def said_before(
    connection: Connection, account_id: str, environment: Environment, names: Mapping[Name, UUID]
) -> Mapping[Name, Said]:
    """What was said under names that stand for stored events."""
    rows = await connection.fetch(
        _SAID,
        account_id,
        environment,
        [source for source, _ in names],
        [id_ for _, id_ in names],
        list(names.values()),
    )
    return {(row["source"], row["id"]): _said(row) for row in rows}


def _said(row: asyncpg.Record) -> Said:
    return Said(
        row["operation"],
        row["occurred_at"],
        row["class"],
        given(dimensions_of(row)),
        row["units"],
        row["corrects_id"],
    )


def not_repeated(original: Said, correction: Said) -> tuple[FieldError, ...]:
    """Where a correction says another thing than the event that it corrects."""
    return tuple(
        FieldError(_REPEATED[name], "differs", f"repeat what the event that is corrected says: {shown}")
        for name, shown in _differing(original, correction, _REPEATED)
    )


def in_conflict(before: Said, now: Said) -> tuple[FieldError, ...]:
    """Where an event says another thing than the one that was accepted under its name, whose content is another."""
    pointers = {**_REPEATED, "corrects": "/corrects"}
    found = [
        FieldError(
            pointers[name], "differs", f"it was accepted with {shown}; report another event under another id"
        )
        for name, shown in _differing(before, now, pointers)
    ]
    # Units that nothing is billed by are not kept: where all else is the same, it is they that differ.
    are_known = before.units is not None and now.units is not None
    if (are_known and before.units != now.units) or not (are_known or found):
        shown = "others" if before.units is None else plain(before.units)
        detail = f"it was accepted with {shown}; correct it by an event with an id of its own and `corrects`"
        found.append(FieldError(_UNITS, "differs", detail))
    return tuple(found)


def _differing(before: Said, now: Said, fields: Collection[str]) -> Iterator[tuple[str, str]]:
    """The fields that are not the same, each with what stood there before."""
    for name in fields:
        was = getattr(before, name)
        if was != getattr(now, name):
            yield name, _shown(was)


def _shown(value: object) -> str:
    match value:
        case datetime():
            return rfc3339(value)
        case str():
            return repr(value)
        case tuple():
            return ", ".join(f"{name} {text!r}" for name, text in value) or "none"
        case _:
            return "none"

"""A usage event as a row of `billing.usage_event`: one mapping for both ways in, journal and transaction, and back."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from uuid import UUID

import asyncpg

from catalog.meter import Dimensions
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import from_ns, to_ns
from catalog.vocabulary.ids import Environment, event_id_floor
from catalog.vocabulary.money import plain

RecordedBy = Literal["journal", "transaction", "import", "amendment"]
Value = UUID | datetime | str | bool | Decimal | int | list[int] | list[Decimal] | list[str] | None

# `stored_at` and `stored_xid` are the storing transaction's own: the database fills them in.
COLUMNS = (
    "id",
    "occurred_at",
    "environment",
    "account_id",
    "application_id",
    "key_id",
    "cost_centre_id",
    "subscription_id",
    "operation",
    "passport_version",
    "class",
    "outcome",
    "fault",
    "billable",
    "units",
    "price_version",
    "parent_call_id",
    "payer",
    "status",
    "latency_us",
    "recorded_by",
    "lease_ids",
    "lease_amounts",
    "dimension_names",
    "dimension_values",
)

_EPOCH = date(1970, 1, 1)
_DAY_MS = 86_400_000
# A call has its id from the arrival of its request, a little before it is admitted; and a clock may be set back.
_APART = timedelta(minutes=5)
_ANY_ID = (UUID(int=0), UUID(int=(1 << 128) - 1))


def usage_row(event: UsageEvent, recorded_by: RecordedBy) -> tuple[Value, ...]:
    """The values of COLUMNS; ValueError or decimal.InvalidOperation where an id, moment or quantity is none."""
    return (
        UUID(hex=event.id),
        from_ns(event.occurred_at_ns),
        event.environment,
        event.account_id,
        event.application_id,
        event.key_id,
        event.cost_centre_id,
        event.subscription_id,
        event.operation,
        event.passport_version,
        event.class_,
        event.outcome,
        event.fault,
        event.billable,
        Decimal(event.units),
        event.price_version,
        None if event.parent_call_id is None else UUID(hex=event.parent_call_id),
        event.payer,
        event.status,
        event.latency_us,
        recorded_by,
        [lease_id for lease_id, _ in event.taken] or None,
        [Decimal(amount) for _, amount in event.taken] or None,
        [name for name, _ in event.dimensions] or None,
        [value for _, value in event.dimensions] or None,
    )


def event_of(row: asyncpg.Record) -> UsageEvent:
    """The event of a stored row, of which COLUMNS were read; its moment to the microsecond, as it is stored."""
    return UsageEvent(
        id=row["id"].hex,
        occurred_at_ns=to_ns(row["occurred_at"]),
        environment=row["environment"],
        account_id=row["account_id"],
        application_id=row["application_id"],
        key_id=row["key_id"],
        cost_centre_id=row["cost_centre_id"],
        subscription_id=row["subscription_id"],
        operation=row["operation"],
        passport_version=row["passport_version"],
        class_=row["class"],
        outcome=row["outcome"],
        fault=row["fault"],
        billable=row["billable"],
        units=plain(row["units"]),
        price_version=row["price_version"],
        payer=row["payer"],
        status=row["status"],
        latency_us=row["latency_us"],
        parent_call_id=None if row["parent_call_id"] is None else row["parent_call_id"].hex,
        taken=tuple(zip(row["lease_ids"] or (), map(plain, row["lease_amounts"] or ()), strict=True)),
        dimensions=dimensions_of(row),
    )


def dimensions_of(row: asyncpg.Record) -> Dimensions:
    """The dimensions of a stored row, in the meter's order."""
    return tuple(zip(row["dimension_names"] or (), row["dimension_values"] or (), strict=True))


def partition_day(event_id: UUID) -> date:
    """The UTC day whose partition holds an event: that of its UUIDv7's milliseconds; OverflowError after year 9999."""
    return _EPOCH + timedelta(days=(event_id.int >> 80) // _DAY_MS)


def ids_between(environment: Environment, first: datetime, end: datetime | None = None) -> tuple[UUID, UUID]:
    """Bounds of the ids, end-exclusive, of all that occurred from a moment on, or before `end` as well; ids of others are
    among them. A sandbox has a clock of its own, which ids do not follow."""
    if environment == "test":
        return _ANY_ID
    return event_id_floor(first - _APART), _ANY_ID[1] if end is None else event_id_floor(end + _APART)

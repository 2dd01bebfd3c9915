"""A usage event as a row of `billing.usage_event`: one mapping for both ways in, journal and transaction."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from uuid import UUID

from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import from_ns

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


def partition_day(event_id: UUID) -> date:
    """The UTC day whose partition holds an event: that of its UUIDv7's milliseconds; OverflowError after year 9999."""
    return _EPOCH + timedelta(days=(event_id.int >> 80) // _DAY_MS)

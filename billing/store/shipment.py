"""Journal records -> what one shipping transaction writes."""

from collections import Counter
from collections.abc import Sequence
from datetime import date

import msgspec

from billing.journal import Record
from billing.store.halt import ShippingHalted
from billing.store.usage_row import Value, partition_day, usage_row
from catalog.usage_event import (
    REFUSALS_KIND,
    USAGE_EVENT_KIND,
    Refusal,
    decode_event,
    decode_refusals,
)


class RefusalKey(msgspec.Struct, frozen=True, order=True):
    """The key of `billing.refusal_count`."""

    account_id: str
    environment: str
    operation: str
    day: date
    reason: str


class Shipment(msgspec.Struct, frozen=True):
    """Usage rows (see `usage_row.COLUMNS`), the partitions they need, and refusals added up, ordered by key.

    `last_occurred_ns` is the moment of the last event, 0 without events.
    """

    rows: list[tuple[Value, ...]]
    days: set[date]
    refusals: dict[RefusalKey, int]
    last_occurred_ns: int


def shipment_of(records: Sequence[Record]) -> Shipment:
    """Decode records of one journal; raises `ShippingHalted` at the first that this version cannot read whole."""
    rows: list[tuple[Value, ...]] = []
    days: set[date] = set()
    refusals: Counter[RefusalKey] = Counter()
    last_occurred_ns = 0
    for record in records:
        try:
            if record.kind == USAGE_EVENT_KIND:
                event = decode_event(record.payload)
                rows.append(usage_row(event, "journal"))
                days.add(partition_day(event.uuid))
                last_occurred_ns = event.occurred_at_ns
            elif record.kind == REFUSALS_KIND:
                for refusal in decode_refusals(record.payload):
                    refusals[_key(refusal)] += refusal.calls
            else:
                raise ShippingHalted("unknown-record-kind", f"record {record.seq} is of kind {record.kind}")
        except (msgspec.MsgspecError, ValueError, ArithmeticError) as error:
            raise ShippingHalted("unreadable-record", f"record {record.seq}: {error}") from error
    return Shipment(rows, days, dict(sorted(refusals.items())), last_occurred_ns)


def _key(refusal: Refusal) -> RefusalKey:
    day = date.fromisoformat(refusal.day)
    return RefusalKey(refusal.account_id, refusal.environment, refusal.operation, day, refusal.reason)

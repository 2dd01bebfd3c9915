"""The one record that crosses from gateway to billing: what a call was, frozen when it was metered."""

from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec

from catalog.vocabulary.ids import Environment

CallClass = Literal["ok", "declined", "caller_error", "provider_error"]
Outcome = Literal["success", "business_refusal", "failure"]
Fault = Literal["none", "caller", "provider", "upstream"]
BillableOn = Literal["success", "accepted", "outcome"]

# The kinds of journal records. A number once used keeps its meaning for ever.
USAGE_EVENT_KIND = 1
REFUSALS_KIND = 2


class UsageEvent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One call of one operation, ended.

    `occurred_at_ns` is the moment of admission (UTC nanoseconds); `id` is the call's UUIDv7, as hex digits;
    `billable` and `price_version` are chosen by that moment and never change; `units` is what the meter counted;
    `taken` says which leases of quota, budget or credit the call was charged to, and with how much; `dimensions` are the
    values by which a matrix may price it.
    Fields are only ever appended, each with a default: journals of earlier versions stay readable. A record of a newer
    version is refused as a whole: without its new fields it would be lost in part.
    """

    id: str
    occurred_at_ns: int
    environment: Environment
    account_id: str
    application_id: str
    key_id: str
    cost_centre_id: str
    subscription_id: str
    operation: str
    passport_version: str
    class_: CallClass
    outcome: Outcome
    fault: Fault
    billable: bool
    units: str
    price_version: str
    payer: str
    status: int
    latency_us: int
    parent_call_id: str | None = None
    taken: tuple[tuple[int, str], ...] = ()
    dimensions: tuple[tuple[str, str], ...] = ()

    @property
    def uuid(self) -> UUID:
        """The event's id."""
        return UUID(hex=self.id)

    @property
    def quantity(self) -> Decimal:
        """The metered units."""
        return Decimal(self.units)


class Refusal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """How many calls of one account and operation the gateway turned away or replayed, for one reason, in one flush."""

    account_id: str
    environment: Environment
    operation: str
    day: str
    reason: str
    calls: int


_encoder = msgspec.msgpack.Encoder()
_event_decoder = msgspec.msgpack.Decoder(UsageEvent)
_refusals_decoder = msgspec.msgpack.Decoder(list[Refusal])


def encode_record(record: Any) -> bytes:
    """The journal payload of a usage event or of a list of refusals."""
    return _encoder.encode(record)


def decode_event(payload: bytes) -> UsageEvent:
    """A usage event from its journal payload; msgspec.ValidationError if it is none."""
    return _event_decoder.decode(payload)


def decode_refusals(payload: bytes) -> list[Refusal]:
    """Refusal counts from their journal payload; msgspec.ValidationError if they are none."""
    return _refusals_decoder.decode(payload)


def is_billable(billable_on: BillableOn, class_: CallClass) -> bool:
    """Whether a call of this class counts for a price: see `billable_on` in the passport.

    A proven outcome is billed by the record that proves it, so under `outcome` the call itself never is.
    """
    if billable_on == "success":
        return class_ == "ok"
    return billable_on == "accepted" and class_ in ("ok", "declined")

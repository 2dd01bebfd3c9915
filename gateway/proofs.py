"""What each stage of a call hands to the next: a stage can only be reached with the proof of the one before.

The tests hold that each of these is constructed in one file, its own stage, and nowhere else.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol
from uuid import UUID

import msgspec

from catalog.load import AppliedPrice, PublishedOperation
from catalog.meter import Dimensions
from catalog.usage_event import CallClass, Fault
from catalog.usage_event import Outcome as CallOutcome
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import Problem
from gateway.directory import AllowancesRecord, SubscriptionRecord


class Caller(msgspec.Struct, frozen=True, gc=False):
    """authenticate.py: whose credential this is. `test_clock_ns` is when a test call occurs whose account set its clock."""

    key_id: str
    account_id: str
    application_id: str
    environment: Environment
    cost_centre_id: str
    currency: str
    timezone: str
    is_external: bool
    scopes: frozenset[str]
    subscriptions: Mapping[str, tuple[SubscriptionRecord, ...]]
    allowances: AllowancesRecord | None
    test_clock_ns: int | None

    def is_offered(self, operation: PublishedOperation) -> bool:
        """Whether the account finds the service in its catalogue, or was ever subscribed to it; to others it does not exist."""
        return (
            operation.visibility == "public"
            or (operation.visibility == "group" and not self.is_external)
            or operation.service in self.subscriptions
        )

    def subscription_to(self, service: str, now_ns: int) -> SubscriptionRecord | None:
        """The subscription in force at a moment."""
        for terms in self.subscriptions.get(service, ()):
            if terms.starts_at_ns <= now_ns and (terms.ends_at_ns is None or now_ns < terms.ends_at_ns):
                return terms
        return None


class Permit(msgspec.Struct, frozen=True, gc=False):
    """authorise.py: the caller may call this operation, under this subscription."""

    caller: Caller
    operation: PublishedOperation
    subscription: SubscriptionRecord


class Hold(Protocol):
    """What an admitted call reserves of quotas, budgets and credit, settled once: captured, or given back."""

    @property
    def is_open(self) -> bool:
        """Whether it is not settled yet."""

    def reserve(self, charge: Decimal | None) -> bool:
        """Set aside what the call takes at most; False where `acquire` has to ask for it."""

    async def acquire(self) -> None:
        """Ask for what is lacking; `Problem` quota-exhausted, budget-exhausted, credit-exhausted or unavailable."""

    def capture(self, counts: bool, charge: Decimal) -> tuple[tuple[int, str], ...]:
        """What the call took of which lease, for its record."""

    def confirm(self) -> None:
        """The record is durable."""

    def void(self) -> None:
        """There will be no record. Without effect once it is settled."""

    def doubt(self) -> None:
        """Nobody knows whether there is a record: the stored calls will tell."""


class Admission(msgspec.Struct, frozen=True, gc=False):
    """limit.py: the call is within its rates; the moment of admission is when it occurred.

    `hold` is for the limits that count units or money, None where the call falls under none.
    """

    permit: Permit
    call_id: UUID
    occurred_at_ns: int
    admitted_ns: int
    rate_headers: tuple[tuple[bytes, bytes], ...]
    hold: Hold | None


class ValidCall(msgspec.Struct, frozen=True, gc=False):
    """validate.py: the body is an acceptable request of the operation."""

    admission: Admission
    request: msgspec.Struct
    idempotency_key: str | None
    body_hash: bytes


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """dispatch.py: how the call ended, before anybody was told.

    `reply` is the encoded body of a call that is `ok`, empty where `problem` is set; `units` is what its meter counted,
    `dimensions` what of it a matrix may price it by.
    """

    call: ValidCall
    class_: CallClass
    outcome: CallOutcome
    fault: Fault
    status: int
    units: Decimal
    reply: bytes
    problem: Problem | None
    dimensions: Dimensions = ()


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """meter.py: the call is durably recorded. Only a receipt can be turned into a reply of a metered call."""

    outcome: Outcome
    units: Decimal
    price: AppliedPrice
    billable: bool

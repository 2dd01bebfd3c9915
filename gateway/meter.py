"""Outcome -> Receipt: the call is recorded durably, in the journal or in the transaction of its effect."""

from asyncio import Future
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

from atomic_services.contract import Transaction
from billing.journal import JournalUnavailable
from catalog import meter
from catalog.load import AppliedPrice
from catalog.plan.price import Matrix
from catalog.usage_event import USAGE_EVENT_KIND, UsageEvent, encode_record, is_billable
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.money import plain
from catalog.vocabulary.problem import Problem
from gateway.proofs import Admission, Outcome, Permit, Receipt, ValidCall

_NOTHING = Decimal(0)
# Invalid input spends rate and no quota, and what we fail gives its unit back.
_COUNTED = ("ok", "declined")


class Record(Protocol):
    """`billing.record`: writes usage rows in a caller's transaction."""

    async def __call__(self, transaction: Any, /, *events: UsageEvent) -> None:
        """One statement for all of them."""


class Journal(Protocol):
    """Where events without an effect become durable."""

    def append(self, kind: int, payload: bytes) -> "Future[int]":
        """A future that is done when the record is on disk."""


def price_of(permit: Permit, occurred_at_ns: int) -> AppliedPrice:
    """The price version in force, chosen by `occurred_at` and frozen on the event; `Problem` not-priced before the first."""
    caller, subscription = permit.caller, permit.subscription
    price = permit.operation.price_at(
        subscription.plan_id, caller.currency, caller.timezone, occurred_at_ns, subscription.prices_as_of_ns
    )
    if price is None:
        raise Problem(
            "not-priced",
            f"Plan {subscription.plan_id} has no price for {permit.operation.id} in {caller.currency} yet.",
        )
    return price


def price_of_combination(call: ValidCall, price: AppliedPrice) -> AppliedPrice:
    """The price of the call itself, where a matrix prices it by its request alone; else the price as it is.

    `Problem` not-priced for a combination that the plan does not sell: then nothing was done.
    """
    if not isinstance(price.price, Matrix):
        return price
    operation = call.admission.permit.operation
    metered = operation.entry.meter
    if any(metered.in_reply(name) for name in price.price.dimensions):
        return price
    dimensions = meter.dimensions(metered, call.request, None)
    if (found := price.of(dimensions)) is None:
        named = ", ".join(f"{name} {value!r}" for name, value in dimensions if name in price.price.dimensions)
        plan_id = call.admission.permit.subscription.plan_id
        raise Problem("not-priced", f"Plan {plan_id} has no price for {operation.id} with {named}.")
    return found


class Meter:
    """Records calls."""

    def __init__(self, journal: Journal, record: Record, clock: Clock) -> None:
        """Calls without an effect go to `journal`, the others to `record`."""
        self._journal = journal
        self._record = record
        self._clock = clock

    async def in_journal(self, outcome: Outcome, price: AppliedPrice) -> Receipt:
        """Return once the event is on disk (fdatasync); `Problem` unavailable when it cannot be."""
        receipt, event = self._receipt(outcome, price)
        hold = outcome.call.admission.hold
        try:
            await self._journal.append(USAGE_EVENT_KIND, encode_record(event))
        except JournalUnavailable as error:
            if hold is not None and error.reason == "io-error":
                hold.doubt()
            # Without a receipt there is no metered reply. A record that was on its way when the disk failed may have
            # reached it all the same: only recovery will tell.
            detail = (
                "The disk failed while the call was recorded: whether it counts is seen later under its call id."
                if error.reason == "io-error"
                else "The call cannot be recorded just now, so it does not count."
            )
            raise Problem("unavailable", detail, retry_after_s=2) from None
        if hold is not None:
            hold.confirm()
        return receipt

    async def in_transaction(
        self, outcomes: Sequence[Outcome], prices: Sequence[AppliedPrice], transaction: Transaction
    ) -> list[Receipt]:
        """Write the usage rows beside the effects; they become durable with the pipeline's commit."""
        made = [self._receipt(outcome, price) for outcome, price in zip(outcomes, prices, strict=True)]
        await self._record(transaction, *(event for _, event in made))
        return [receipt for receipt, _ in made]

    def _receipt(self, outcome: Outcome, price: AppliedPrice) -> tuple[Receipt, UsageEvent]:
        call = outcome.call
        admission = call.admission
        permit = admission.permit
        caller, operation = permit.caller, permit.operation
        # What a matrix prices by the reply has a price for every combination: it was not published without.
        price = price.of(outcome.dimensions) or price
        billable = is_billable(price.billable_on, outcome.class_)
        units = outcome.units if billable else _NOTHING
        taken: tuple[tuple[int, str], ...] = ()
        if admission.hold is not None:
            charge = price.amount(units) if billable else _NOTHING
            taken = admission.hold.capture(outcome.class_ in _COUNTED, charge)
        event = UsageEvent(
            admission.call_id.hex,
            admission.occurred_at_ns,
            caller.environment,
            caller.account_id,
            caller.application_id,
            caller.key_id,
            caller.cost_centre_id,
            permit.subscription.id,
            operation.id,
            operation.passport_version,
            outcome.class_,
            outcome.outcome,
            outcome.fault,
            billable,
            plain(units),
            price.id,
            caller.account_id,
            outcome.status,
            _latency_us(admission, self._clock),
            None,
            taken,
            outcome.dimensions,
        )
        return Receipt(outcome, units, price, billable), event


def _latency_us(admission: Admission, clock: Clock) -> int:
    return (clock.monotonic_ns() - admission.admitted_ns) // 1_000

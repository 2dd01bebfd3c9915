"""Permit -> Admission: the call fits the limits of its application and account, counted over all workers.

Rates are spent here, by whatever is asked. Quotas, budgets and credit are reserved once the input is known to be valid
(`reserve`), and settled with the record of the call.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Protocol
from uuid import UUID

import msgspec

from catalog import meter
from catalog.accounts.test_clock import sandbox_time_ns
from catalog.limit import Rate
from catalog.load import AppliedPrice
from catalog.plan import most_for_one_call
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.problem import Problem
from gateway.proofs import Admission, Hold, Permit, ValidCall

Header = tuple[bytes, bytes]


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Whether a call fits; `remaining` calls fit now, `reset_s` until all of them do, `retry_s` until the next one does."""

    allowed: bool
    remaining: int
    reset_s: int
    retry_s: int


class Counters(Protocol):
    """Where limits are counted."""

    def take(self, key: bytes, quantity: int, window_s: int, now_ns: int) -> Decision:
        """Count one call against `quantity` a window, if it fits."""


class RateLimited(Problem):
    """A call over the limit, with the arithmetic; `headers` tell the policy and when it fits again."""

    def __init__(self, rate: Rate, decision: Decision) -> None:
        super().__init__(
            "rate-limited",
            f"The burst of {rate.q} calls for each {rate.per} and operation is used up; "
            f"it refills evenly at {rate.q} calls in {rate.w} s. The next call fits in {decision.retry_s} s.",
            retry_after_s=decision.retry_s,
            extra={
                "limit": {
                    "per": rate.per,
                    "calls": rate.q,
                    "window_s": rate.w,
                    "remaining": 0,
                    "needs": 1,
                    "retry_after_s": decision.retry_s,
                    "resets_in_s": decision.reset_s,
                }
            },
        )
        self.headers = _headers(rate, decision)


class Allowances(Protocol):
    """Where units and money are promised to this worker."""

    def hold(self, permit: Permit, occurred_at_ns: int, admitted_ns: int) -> Hold | None:
        """For the limits that a call falls under; None where there are none."""


class Limiter:
    """Holds the rates of the passport, and begins what holds the call to its quotas, budgets and credit."""

    def __init__(self, counters: Counters, allowances: Allowances, clock: Clock) -> None:
        """Counts in `counters`, by the monotonic reading of `clock`."""
        self._counters = counters
        self._allowances = allowances
        self._clock = clock

    def __call__(self, permit: Permit, call_id: UUID) -> Admission:
        """Admit the call or raise `RateLimited`. The call occurs now, or when the sandbox's own clock says."""
        now_ns = self._clock.monotonic_ns()
        caller, operation = permit.caller, permit.operation
        headers: tuple[Header, ...] = ()
        # The application first: one that knocks in vain must not use up what the account has for the others.
        if operation.rate is not None:
            key = f"{caller.environment}:{caller.application_id}:{operation.id}"
            headers = _headers(operation.rate, self._take(operation.rate, key, now_ns))
        if operation.account_rate is not None:
            key = f"{caller.environment}:{caller.account_id}:{operation.id}"
            self._take(operation.account_rate, key, now_ns)
        occurred_at_ns = self._clock.now_ns()
        if caller.test_clock_ns is not None:
            occurred_at_ns = sandbox_time_ns(caller.test_clock_ns, occurred_at_ns)
        hold = None
        if operation.quotas or caller.allowances is not None:
            hold = self._allowances.hold(permit, occurred_at_ns, now_ns)
        return Admission(permit, call_id, occurred_at_ns, now_ns, headers, hold)

    def _take(self, rate: Rate, key: str, now_ns: int) -> Decision:
        decision = self._counters.take(key.encode(), rate.q, rate.w, now_ns)
        if not decision.allowed:
            raise RateLimited(rate, decision)
        return decision


def charge_at_most(call: ValidCall, price: AppliedPrice) -> Decimal | None:
    """What a call can cost by the list, which is reserved: what it measures is in its request, or bounded by the price.

    None where the measure is in the reply and the price has no upper bound. What a period makes of the list price
    (tiers, packages, minimums) is settled when the month's document is issued.
    """
    if price.billable_on == "outcome":
        return Decimal(0)
    entry = call.admission.permit.operation.entry
    if entry.meter.unit is not None:
        return price.one_amount
    if entry.meter.value is not None:
        return most_for_one_call(price.price)
    return price.amount(meter.units(entry.meter, call.request, None))


@lru_cache(maxsize=1024)
def _policy(rate: Rate) -> Header:
    return b"ratelimit-policy", rate.policy.encode()


def _headers(rate: Rate, decision: Decision) -> tuple[Header, ...]:
    return (
        _policy(rate),
        (b"ratelimit", b'"default";r=%d;t=%d' % (decision.remaining, decision.reset_s)),
    )

"""Permit -> Admission: the call fits the limits of its application and account, counted over all workers."""

from functools import lru_cache
from uuid import UUID

from catalog.limit import Rate
from catalog.vocabulary.clock import Clock
from catalog.vocabulary.problem import Problem
from gateway.proofs import Admission, Permit
from gateway.stores.counters import Counters, Decision

Header = tuple[bytes, bytes]


class RateLimited(Problem):
    """A call over the limit; `headers` tell the policy and when it fits again."""

    def __init__(self, rate: Rate, decision: Decision) -> None:
        super().__init__(
            "rate-limited",
            f"The limit of {rate.q} calls in {rate.w} s for each {rate.per} and operation is reached.",
            retry_after_s=decision.retry_s,
            extra={
                "limit": {
                    "per": rate.per,
                    "calls": rate.q,
                    "window_s": rate.w,
                    "retry_after_s": decision.retry_s,
                }
            },
        )
        self.headers = _headers(rate, decision)


class Limiter:
    """Holds the rates of the passport."""

    def __init__(self, counters: Counters, clock: Clock) -> None:
        """Counts in `counters`, by the monotonic reading of `clock`."""
        self._counters = counters
        self._clock = clock

    def __call__(self, permit: Permit, call_id: UUID) -> Admission:
        """Admit the call or raise `RateLimited`. The call occurs now."""
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
        return Admission(permit, call_id, self._clock.now_ns(), now_ns, headers)

    def _take(self, rate: Rate, key: str, now_ns: int) -> Decision:
        decision = self._counters.take(key.encode(), rate.q, rate.w, now_ns)
        if not decision.allowed:
            raise RateLimited(rate, decision)
        return decision


@lru_cache(maxsize=1024)
def _policy(rate: Rate) -> Header:
    return b"ratelimit-policy", rate.policy.encode()


def _headers(rate: Rate, decision: Decision) -> tuple[Header, ...]:
    return (
        _policy(rate),
        (b"ratelimit", b'"default";r=%d;t=%d' % (decision.remaining, decision.reset_s)),
    )

"""The four limits of a call, and what happens when their store is down.

| limit | of | stated in | counted in | while that is away |
|---|---|---|---|---|
| rate | an application or account, and an operation | the passport | a file that all workers map | it never is |
| quota | an application or account, a day or month | the passport | leases from PostgreSQL | a lease is used up, then 503 |
| budget | an account, application or cost centre, a month | `ordergate budget set` | hard: leases; soft: by rating | hard: a lease is used up, then 503 |
| credit floor | an account that pays in advance | `ordergate grant` | leases from PostgreSQL | a lease is used up, then 503 |
"""

from typing import Literal

import msgspec

# Arrival times are counted in nanoseconds: the shares of a rate must stay far above one.
_CALLS_PER_SECOND_MAX = 1_000_000


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="rate"):
    """At most `q` calls at once, refilled evenly over `w` seconds (GCRA), for each application and operation."""

    per: Literal["application", "account"]
    q: int
    w: int

    @property
    def policy(self) -> str:
        """The `RateLimit-Policy` of replies (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"default";q={self.q};w={self.w}'


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="quota"):
    """`q` admitted calls a day or month of the account's own calendar, of each operation or of the service as a whole.

    Calls that end `ok` or `declined` count; invalid input and what we fail ourselves give their unit back. A hard
    quota is never exceeded, over all workers; a soft one (`hard: false`) is stated in the passport and refuses nothing.
    """

    per: Literal["application", "account"]
    period: Literal["day", "month"]
    q: int
    hard: bool
    counts: Literal["operation", "service"] = "operation"

    def subject(self, counted: str, application_id: str | None) -> str:
        """The name under which it is counted, for an operation or service and, where it is one's own, an application."""
        return " ".join((counted, self.period, *([application_id] if application_id else ())))


Limit = Rate | Quota


def key_of(limit: Limit) -> tuple[object, ...]:
    """What a passport may have one limit of."""
    if isinstance(limit, Quota):
        return Quota, limit.per, limit.period, limit.counts, limit.hard
    return Rate, limit.per


def rule_broken(limit: Limit) -> tuple[str, str] | None:
    """The field and the rule that a limit of a passport breaks, or None."""
    if not 1 <= limit.q <= 10**12:
        return "q", "a limit is between 1 and 1,000,000,000,000"
    if isinstance(limit, Rate) and not 1 <= limit.w <= 86_400:
        return "w", "the window is between 1 and 86,400 seconds"
    if isinstance(limit, Rate) and limit.q > limit.w * _CALLS_PER_SECOND_MAX:
        return "q", "a rate is at most 1,000,000 calls a second"
    return None

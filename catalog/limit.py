"""Limits of a passport: rates that the gateway holds exactly, quotas per period."""

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
    """`q` billable calls a period. A soft quota (`hard: false`) is stated in the passport and refuses nothing."""

    per: Literal["application", "account"]
    period: Literal["month"]
    q: int
    hard: bool


Limit = Rate | Quota


def rule_broken(limit: Limit) -> tuple[str, str] | None:
    """The field and the rule that a limit of a passport breaks, or None."""
    if not 1 <= limit.q <= 10**12:
        return "q", "a limit is between 1 and 1,000,000,000,000"
    if isinstance(limit, Rate) and not 1 <= limit.w <= 86_400:
        return "w", "the window is between 1 and 86,400 seconds"
    if isinstance(limit, Rate) and limit.q > limit.w * _CALLS_PER_SECOND_MAX:
        return "q", "a rate is at most 1,000,000 calls a second"
    if isinstance(limit, Quota) and limit.hard:
        return "hard", "this version does not refuse by quota; write hard: false, or a rate limit"
    return None

"""What one worker holds of one limit, in memory: leases, and the calls that reserve, take and give back parts of them."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.allowance import Granted, Kind, Standing
from catalog.vocabulary.clock import from_ns, to_ns
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import day_bounds, month_bounds
from gateway.stores.lease import Bundle, Lease, Part

_ZERO = Decimal(0)
# Near the end of a limit nothing is taken before a call needs it.
_AHEAD_CALLS_MIN = 20


class LimitTerms(msgspec.Struct, frozen=True):
    """Whose limit this is and what it counts; see `billing.allowance.Wanted`.

    `limit` is how much it is as far as this worker has read; of credit, 0: there the grants say it.
    """

    kind: Kind
    account_id: str
    environment: Environment
    subject: str
    period: Literal["day", "month"]
    timezone: str
    unit: str
    limit: Decimal
    counts: str = ""
    application_id: str | None = None


class _Refused(msgspec.Struct, frozen=True):
    """What nobody could spare, how the limit stood then, and until when that is not asked again (monotonic)."""

    need: Decimal
    standing: Standing
    until_ns: int


class LimitPool:
    """One limit in its present period. Used from one event loop; nothing here waits."""

    def __init__(self, terms: LimitTerms, ask_ahead: Callable[["LimitPool", Decimal], None]) -> None:
        """Without a lease yet, and in no period. `ask_ahead` gets another lease for calls of a need."""
        self.terms = terms
        self._ask_ahead = ask_ahead
        self.is_quota = terms.kind == "quota"
        self.leases: list[Lease] = []
        self.starts_ns = self.ends_ns = 0
        # Of which period and terms it is: what was asked for in an earlier generation is of no use in this one.
        self.generation = 0
        # One question at a time: whoever waits for it finds a lease, or why there is none.
        self.asking = asyncio.Lock()
        self._refused: _Refused | None = None
        self._bundles: list[Bundle] = []

    def change(self, terms: LimitTerms) -> None:
        """Be the same limit by other terms: what was granted by the old ones serves nobody any more."""
        if terms != self.terms:
            self.terms = terms
            self._turn_to(self.starts_ns)

    def reserve(self, need: Decimal, occurred_at_ns: int, now_ns: int, parts: list[Part]) -> bool:
        """Set `need` aside, from the oldest leases first, and say of which; False, with nothing changed, if it lacks."""
        lease = self.covering(need, occurred_at_ns, now_ns)
        if lease is None:
            return self._reserve_of_several(need, occurred_at_ns, now_ns, parts)
        self._set_aside(lease, need, need, now_ns)
        parts.append((lease, need))
        return True

    def covering(self, need: Decimal, occurred_at_ns: int, now_ns: int) -> Lease | None:
        """The oldest lease that has all of a need left; None where no single one has."""
        if not self.starts_ns <= occurred_at_ns < self.ends_ns:
            self._turn_to(occurred_at_ns)
        leases = self.leases
        if leases and not leases[0].left:
            self.gather()
            if not leases[0].left:
                # Used up: what calls in flight may give back of it is returned with it.
                leases.pop(0).retired = True
        for lease in leases:
            if lease.left >= need and lease.expires_ns > now_ns and lease.until_ns > occurred_at_ns:
                return lease
        return None

    def bundle(self, bundle: Bundle, lease: Lease, need: Decimal, now_ns: int) -> None:
        """Set aside what the calls of a bundle need of a lease."""
        self._set_aside(lease, need * bundle.left, need, now_ns)
        self._bundles.append(bundle)

    def gather(self) -> None:
        """Dissolve the bundles: what they have of the leases and no call has reserved is left again."""
        for bundle in self._bundles:
            bundle.dissolve()
        self._bundles.clear()

    def lacks(self, need: Decimal, occurred_at_ns: int, now_ns: int) -> Decimal:
        """How much more a call of that moment needs than it could reserve; 0 where it could."""
        if not self.starts_ns <= occurred_at_ns < self.ends_ns:
            self._turn_to(occurred_at_ns)
        self.gather()
        usable = (lease.left for lease in self._usable(occurred_at_ns, now_ns))
        return max(need - sum(usable, _ZERO), _ZERO)

    def refuse(self, need: Decimal, standing: Standing, until_ns: int) -> None:
        """Nobody can spare so much, and until then nobody is asked again."""
        self._refused = _Refused(need, standing, until_ns)

    def refused(self, need: Decimal, now_ns: int) -> Standing | None:
        """How the limit stood when so much or less was refused a moment ago; None where it was not."""
        known = self._refused
        return (
            known.standing if known is not None and now_ns < known.until_ns and need >= known.need else None
        )

    def add(self, granted: Granted, generation: int, expires_ns: int, now_ns: int) -> Lease:
        """Hold one more lease, which was asked for in a generation; if that is over by now it serves nobody."""
        lease = Lease(granted, self, expires_ns, now_ns)
        if generation == self.generation:
            self.leases.append(lease)
        else:
            lease.retired = True
        return lease

    def drop(self, lease: Lease) -> None:
        """Hold a lease no longer."""
        if lease in self.leases:
            self.leases.remove(lease)

    def _set_aside(self, lease: Lease, amount: Decimal, need: Decimal, now_ns: int) -> None:
        lease.left = left = lease.left - amount
        lease.last_ns = now_ns
        if left < lease.low:
            lease.low = _ZERO
            if left > need * _AHEAD_CALLS_MIN:
                self._ask_ahead(self, need)

    def _reserve_of_several(self, need: Decimal, occurred_at_ns: int, now_ns: int, parts: list[Part]) -> bool:
        if self.lacks(need, occurred_at_ns, now_ns):
            return False
        for lease in self._usable(occurred_at_ns, now_ns):
            part = min(need, lease.left)
            lease.left -= part
            lease.last_ns = now_ns
            parts.append((lease, part))
            need -= part
            if not need:
                break
        return True

    def _usable(self, occurred_at_ns: int, now_ns: int) -> list[Lease]:
        return [
            lease
            for lease in self.leases
            if lease.left and lease.expires_ns > now_ns and lease.until_ns > occurred_at_ns
        ]

    def _turn_to(self, occurred_at_ns: int) -> None:
        """Be in the period of a call; leases of another one serve nobody any more."""
        bounds = day_bounds if self.terms.period == "day" else month_bounds
        start, end = bounds(from_ns(occurred_at_ns), ZoneInfo(self.terms.timezone))
        self.starts_ns, self.ends_ns = to_ns(start), to_ns(end)
        self.generation += 1
        self.gather()
        for lease in self.leases:
            lease.retired = True
        self.leases = []
        self._refused = None

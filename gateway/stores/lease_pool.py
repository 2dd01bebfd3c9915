"""What one worker holds of one limit, in memory: leases, and the calls that reserve, take and give back parts of them."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from billing.allowance import Kind
from catalog.vocabulary.clock import from_ns, to_ns
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import day_bounds, month_bounds
from catalog.vocabulary.problem import Problem

_ZERO = Decimal(0)
_TEXTS_MAX = 256
# Near the end of a limit nothing is taken before a call needs it.
_AHEAD_CALLS_MIN = 20
_FOR_EVER = 1 << 62


class LimitTerms(msgspec.Struct, frozen=True):
    """Whose limit this is and what it counts; see `billing.allowance.Wanted`."""

    kind: Kind
    account_id: str
    environment: Environment
    subject: str
    period: Literal["day", "month"]
    timezone: str
    unit: str
    limit: Decimal = _ZERO
    counts: str = ""
    application_id: str | None = None


class Lease:
    """A lease of this worker: `left` can be reserved, `held` is reserved by calls in flight, `used` is taken.

    What it is worth in the database is never less than the three together. `doubtful`: what became of one of its calls is
    not known. Below `low` the next lease is asked for ahead of need. `is_given_up`: no call may be charged to it any more.
    """

    __slots__ = (
        "doubtful",
        "expires_ns",
        "held",
        "id",
        "is_given_up",
        "last_ns",
        "left",
        "low",
        "pool",
        "retired",
        "until_ns",
        "used",
    )

    def __init__(
        self, id_: int, pool: "LimitPool", amount: Decimal, expires_ns: int, until_ns: int, now_ns: int
    ) -> None:
        """`expires_ns` and `now_ns` are monotonic, `until_ns` bounds the moment at which a call may occur."""
        self.id = id_
        self.pool = pool
        self.left = amount
        self.low = amount / 4
        self.held = _ZERO
        self.used = _ZERO
        self.expires_ns = expires_ns
        self.until_ns = until_ns
        self.last_ns = now_ns
        self.doubtful = False
        self.is_given_up = False
        self.retired = False


Parts = Sequence[tuple[Lease, Decimal]]


class LimitPool:
    """One limit in its present period. Used from one event loop; nothing here waits."""

    def __init__(self, terms: LimitTerms, ask_ahead: Callable[["LimitPool", Decimal, int], None]) -> None:
        """Without a lease yet, and in no period. `ask_ahead` gets another lease for calls of a need and moment."""
        self.terms = terms
        self._ask_ahead = ask_ahead
        self.is_quota = terms.kind == "quota"
        self.leases: list[Lease] = []
        self.starts_ns = self.ends_ns = 0
        # One question at a time: whoever waits for it finds a lease, or why there is none.
        self.asking = asyncio.Lock()
        self.refusal: tuple[int, Decimal, Problem] | None = None
        self._texts: dict[int, tuple[Decimal, str]] = {}

    def text_of(self, amount: Decimal) -> str:
        """An amount in digits. Most calls cost what others cost, by the same price: its amount is written once."""
        known = self._texts.get(id(amount))
        if known is not None and known[0] is amount:
            return known[1]
        if len(self._texts) >= _TEXTS_MAX:
            self._texts.clear()
        text = plain(amount)
        self._texts[id(amount)] = amount, text
        return text

    def turn_to(self, occurred_at_ns: int) -> None:
        """Be in the period of a call; leases of another one serve nobody any more."""
        bounds = day_bounds if self.terms.period == "day" else month_bounds
        start, end = bounds(from_ns(occurred_at_ns), ZoneInfo(self.terms.timezone))
        self.starts_ns, self.ends_ns = to_ns(start), to_ns(end)
        for lease in self.leases:
            lease.retired = True
        self.leases = []
        self.refusal = None

    def usable(self, occurred_at_ns: int, now_ns: int) -> Decimal:
        """What a call of that moment could reserve."""
        return sum(
            (one.left for one in self.leases if one.expires_ns > now_ns and one.until_ns > occurred_at_ns),
            _ZERO,
        )

    def reserve(self, need: Decimal, occurred_at_ns: int, now_ns: int) -> Parts | None:
        """Set `need` aside, from the oldest leases first; None, with nothing changed, if there is not so much."""
        if not self.starts_ns <= occurred_at_ns < self.ends_ns:
            self.turn_to(occurred_at_ns)
        leases = self.leases
        if leases and not leases[0].left:
            # Used up: what calls in flight may give back of it is returned with it.
            leases.pop(0).retired = True
        for lease in leases:
            if lease.left >= need and lease.expires_ns > now_ns and lease.until_ns > occurred_at_ns:
                lease.left -= need
                lease.held += need
                lease.last_ns = now_ns
                if lease.left < lease.low:
                    lease.low = _ZERO
                    if lease.left > need * _AHEAD_CALLS_MIN:
                        self._ask_ahead(self, need, occurred_at_ns)
                return ((lease, need),)
        if self.usable(occurred_at_ns, now_ns) < need:
            return None
        parts: list[tuple[Lease, Decimal]] = []
        for lease in self.leases:
            if lease.left and lease.expires_ns > now_ns and lease.until_ns > occurred_at_ns:
                part = min(need, lease.left)
                lease.left -= part
                lease.held += part
                lease.last_ns = now_ns
                parts.append((lease, part))
                if not (need := need - part):
                    break
        return parts

    def add(self, id_: int, amount: Decimal, expires_ns: int, until_ns: int | None, now_ns: int) -> Lease:
        """Hold one more lease."""
        lease = Lease(id_, self, amount, expires_ns, _FOR_EVER if until_ns is None else until_ns, now_ns)
        self.leases.append(lease)
        return lease

    def drop(self, lease: Lease) -> None:
        """Hold a lease no longer."""
        if lease in self.leases:
            self.leases.remove(lease)

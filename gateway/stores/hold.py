"""What a call in flight has reserved: captured or given back exactly once, or given up where nobody can know."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec

from catalog.vocabulary.problem import Problem
from gateway.stores.lease_pool import Lease, LimitPool, Parts

_ZERO = Decimal(0)
_ONE = Decimal(1)

Ask = Callable[[LimitPool, Decimal, int], Awaitable[Parts]]


class LeaseHold(msgspec.Struct, gc=False):
    """The reservations of one call, of every limit that it falls under.

    `ask` reserves with a lease that is asked for, where this worker holds too little; `admitted_ns` is monotonic.
    """

    pools: tuple[LimitPool, ...]
    ask: Ask
    occurred_at_ns: int
    admitted_ns: int
    _charge: Decimal | None = None
    _parts: list[tuple[LimitPool, Parts]] = []
    _captured: list[tuple[Lease, Decimal, Decimal]] = []
    _is_open: bool = True

    def reserve(self, charge: Decimal | None) -> bool:
        """Set aside a unit of each quota and the charge of each budget and credit; False where a lease is asked for first.

        `charge` is the most that the call can cost by the list, None where nothing bounds it: `Problem` then, unless it
        falls under quotas only.
        """
        self._charge = charge
        for pool in self.pools[len(self._parts) :]:
            need = _ONE if pool.is_quota else charge
            if need is None:
                self.void()
                raise _unbounded(pool)
            parts = pool.reserve(need, self.occurred_at_ns, self.admitted_ns) if need else ()
            if parts is None:
                return False
            self._parts.append((pool, parts))
        return True

    async def acquire(self) -> None:
        """What `reserve` began, with leases that are asked for; `Problem` where too little is left, with nothing kept."""
        try:
            while not self.reserve(self._charge):
                pool = self.pools[len(self._parts)]
                need = _ONE if pool.is_quota else self._charge
                assert need is not None, "what nothing bounds is never asked for"
                self._parts.append((pool, await self.ask(pool, need, self.occurred_at_ns)))
        except BaseException:
            self.void()
            raise

    def capture(self, counts: bool, charge: Decimal) -> tuple[tuple[int, str], ...]:
        """What the call takes of which lease, for its record: a unit of each quota if it `counts`, and its charge.

        Nothing is settled before the record is known to be durable. May be asked again for another ending of the call.
        """
        captured = self._captured = []
        # Most calls cost what was reserved, by the same price.
        is_whole = counts and charge is self._charge
        for pool, parts in self._parts:
            amount = (_ONE if counts else _ZERO) if pool.is_quota else charge
            for lease, held in parts:
                if lease.is_given_up:
                    raise Problem(
                        "unavailable",
                        "The call took too long to be charged; nothing was changed.",
                        retry_after_s=1,
                    )
                part = held if is_whole or amount > held else amount
                captured.append((lease, held, part))
                if not is_whole:
                    amount -= part
            assert is_whole or not amount, "a call never takes more than it has reserved"
        return tuple([(lease.id, lease.pool.text_of(part)) for lease, _, part in captured if part])

    def confirm(self) -> None:
        """The record is durable: what it says is taken, the rest is free again."""
        if self._is_open:
            self._is_open = False
            for lease, held, taken in self._captured:
                lease.held -= held
                lease.used += taken
                if taken is not held:
                    lease.left += held - taken

    def void(self) -> None:
        """There is no record and there will be none: all is free again. Without effect once it is settled."""
        if self._is_open:
            self._is_open = False
            for _, parts in self._parts:
                for lease, held in parts:
                    lease.held -= held
                    lease.left += held

    def doubt(self) -> None:
        """Whether there is a record is not known: its leases are given up, and the recorded calls will tell."""
        if self._is_open:
            self._is_open = False
            for _, parts in self._parts:
                for lease, held in parts:
                    lease.held -= held
                    lease.doubtful = True


def _unbounded(pool: LimitPool) -> Problem:
    name = "credit-exhausted" if pool.terms.kind == "credit" else "budget-exhausted"
    return Problem(
        name,
        "What this operation costs is known only afterwards and its price has no upper bound, so it cannot be paid from "
        "prepaid credit or a hard budget.",
    )

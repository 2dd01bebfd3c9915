"""What a call in flight has reserved: captured or given back exactly once, or given up where nobody can know."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec

from catalog.vocabulary.problem import Problem
from gateway.stores.lease_pool import Lease, LimitPool, Parts

_ZERO = Decimal(0)
_ONE = Decimal(1)

Acquire = Callable[[LimitPool, Decimal, int], Awaitable[Parts]]


class LeaseHold(msgspec.Struct, gc=False):
    """The reservations of one call, of every limit that it falls under.

    `acquire` asks for a lease where this worker holds too little; `admitted_ns` is monotonic.
    """

    pools: tuple[LimitPool, ...]
    acquire: Acquire
    occurred_at_ns: int
    admitted_ns: int
    _parts: list[tuple[LimitPool, Parts]] = []
    _captured: list[tuple[Lease, Decimal, Decimal]] = []
    _is_open: bool = True

    async def reserve(self, charge: Decimal | None) -> None:
        """Set aside a unit of each quota and the charge of each budget and credit; `Problem` where one has too little.

        `charge` is the most that the call can cost by the list, None where nothing bounds it.
        """
        try:
            for pool in self.pools:
                need = _ONE if pool.is_quota else charge
                if need is None:
                    raise _unbounded(pool)
                if need:
                    parts = pool.reserve(need, self.occurred_at_ns, self.admitted_ns)
                    if parts is None:
                        parts = await self.acquire(pool, need, self.occurred_at_ns)
                    self._parts.append((pool, parts))
        except BaseException:
            self.void()
            raise

    def capture(self, counts: bool, charge: Decimal) -> tuple[tuple[int, str], ...]:
        """What the call takes of which lease, for its record: a unit of each quota if it `counts`, and its charge.

        Nothing is settled before the record is known to be durable. May be asked again for another ending of the call.
        """
        captured = self._captured = []
        taken: list[tuple[int, str]] = []
        for pool, parts in self._parts:
            amount = (_ONE if counts else _ZERO) if pool.is_quota else charge
            for lease, held in parts:
                if lease.is_given_up:
                    raise Problem(
                        "unavailable",
                        "The call took too long to be charged; nothing was changed.",
                        retry_after_s=1,
                    )
                part = amount if amount <= held else held
                amount -= part
                captured.append((lease, held, part))
                if part:
                    taken.append((lease.id, pool.text_of(part)))
            assert not amount, "a call never takes more than it has reserved"
        return tuple(taken)

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

"""What a call in flight has reserved: captured with its record or given back, exactly once."""

from decimal import Decimal
from typing import Protocol

import msgspec

from gateway.stores.exhausted import unbounded
from gateway.stores.lease_pool import LimitPool, Part

_ZERO = Decimal(0)
_ONE = Decimal(1)
_WHOLE: tuple[Decimal, ...] = ()


class Supplier(Protocol):
    """Where a hold finds what its worker lacks."""

    async def supply(self, limit: LimitPool, need: Decimal, occurred_at_ns: int) -> None:
        """Return once this worker has what a call needs of a limit; `Problem` where nobody can spare it."""


class LeaseHold(msgspec.Struct, gc=False):
    """The reservations of one call, of every limit that it falls under.

    `admitted_ns` is monotonic. A call ends by its operation's deadline, whatever happens, and its hold with it; one that is
    cancelled lets go of its hold, which then settles itself.
    """

    pools: tuple[LimitPool, ...]
    supplier: Supplier
    occurred_at_ns: int
    admitted_ns: int
    _charge: Decimal | None = None
    _parts: list[Part] = []
    _pools_done: int = 0
    # What the record says of each part: `_WHOLE` where that is what was reserved, None while there is no record.
    _taken: tuple[Decimal, ...] | None = None
    _is_open: bool = True

    def reserve(self, charge: Decimal | None) -> bool:
        """Set aside a unit of each quota and the charge of each budget and credit; False where `acquire` has to ask first.

        `charge` is the most that the call can cost by the list, None where nothing bounds it: `Problem` charge-unbounded
        then, unless it falls under quotas only.
        """
        self._charge = charge
        done = self._pools_done
        for pool in self.pools[done:] if done else self.pools:
            need = _ONE if pool.is_quota else charge
            if need is None:
                self.void()
                raise unbounded(pool.terms)
            if need and not pool.reserve(need, self.occurred_at_ns, self.admitted_ns, self._parts):
                self._pools_done = done
                return False
            done += 1
        return True

    async def acquire(self) -> None:
        """What `reserve` began, with leases that are asked for; `Problem` where too little is left, with nothing kept."""
        try:
            while not self.reserve(self._charge):
                pool = self.pools[self._pools_done]
                need = _ONE if pool.is_quota else self._charge
                assert need is not None, "what nothing bounds is never asked for"
                await self.supplier.supply(pool, need, self.occurred_at_ns)
        except BaseException:
            self.void()
            raise

    def capture(self, counts: bool, charge: Decimal) -> tuple[tuple[int, str], ...]:
        """What the call takes of which lease, for its record: a unit of each quota if it `counts`, and its charge.

        Nothing is settled before the record is known to be durable. May be asked again for another ending of the call.
        """
        # Most calls cost what was reserved, by the same price.
        if counts and charge is self._charge:
            self._taken = _WHOLE
            whole = []
            for lease, held in self._parts:
                whole.append((lease.id, lease.pool.text_of(held)))
            return tuple(whole)
        unit = _ONE if counts else _ZERO
        owed = {pool: unit if pool.is_quota else charge for pool in self.pools}
        taken = []
        for lease, held in self._parts:
            taken.append(min(owed[lease.pool], held))
            owed[lease.pool] -= taken[-1]
        assert not any(owed.values()), "a call never takes more than it has reserved"
        self._taken = tuple(taken)
        return tuple(
            (lease.id, lease.pool.text_of(part))
            for (lease, _), part in zip(self._parts, taken, strict=True)
            if part
        )

    def confirm(self) -> None:
        """The record is durable: what it says is taken, the rest is free again."""
        if not self._is_open:
            return
        self._is_open = False
        assert self._taken is not None, "only what was captured is on record"
        if self._taken is _WHOLE:
            for lease, held in self._parts:
                lease.used += held
        else:
            for (lease, held), taken in zip(self._parts, self._taken, strict=True):
                lease.used += taken
                lease.left += held - taken

    def void(self) -> None:
        """There is no record and there will be none: all is free again. Without effect once it is settled."""
        if self._is_open:
            self._is_open = False
            for lease, held in self._parts:
                lease.left += held

    def doubt(self) -> None:
        """Whether there is a record is not known: its leases are given up, and the recorded calls will tell."""
        if self._is_open:
            self._is_open = False
            for lease, held in self._parts:
                # Not free, whatever became of it.
                lease.used += held
                lease.is_doubtful = True

    def __del__(self) -> None:
        """Nobody knows this hold any more: its call was cancelled, before or after its record was on its way."""
        if self._is_open:
            if self._taken is None:
                self.void()
            else:
                self.doubt()

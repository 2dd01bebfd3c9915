"""What a call in flight has reserved: captured with its record or given back, exactly once."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from catalog.load import PublishedOperation
from catalog.vocabulary.money import plain
from gateway.proofs import Caller
from gateway.stores.exhausted import unbounded
from gateway.stores.lease import NO_BUNDLE, Bundle, Part
from gateway.stores.lease_pool import LimitPool

_ZERO = Decimal(0)
_ONE = Decimal(1)
_WHOLE: tuple[Decimal, ...] = ()
_BUNDLE_CALLS_MAX = 256
# Of what a lease has left a bundle gets an eighth, so that calls of other prices seldom have to dissolve it.
_BUNDLE_SHARE = 8


class Supplier(Protocol):
    """Where a hold finds what its worker lacks."""

    async def supply(self, limit: LimitPool, need: Decimal, occurred_at_ns: int) -> None:
        """Return once this worker has what a call needs of a limit; `Problem` where nobody can spare it."""


class Limits:
    """The limits that calls by one key of one operation fall under, and the bundle that the next ones are taken of."""

    __slots__ = ("_usual", "bundle", "caller", "operation", "pools", "supplier")

    def __init__(
        self,
        caller: Caller,
        operation: PublishedOperation,
        pools: tuple[LimitPool, ...],
        supplier: Supplier,
    ) -> None:
        """As `caller` and `operation` are now; whoever finds others there asks for the limits anew."""
        self.caller = caller
        self.operation = operation
        self.pools = pools
        self.supplier = supplier
        self.bundle = NO_BUNDLE
        self._usual: Decimal | None = None

    def bundled(self, charge: Decimal | None, occurred_at_ns: int, now_ns: int) -> bool:
        """Whether there is a new bundle now, for calls of that charge.

        The second call in a row that costs the same, by the same price, gets one if each limit has a lease with enough left.
        """
        if charge is None or charge is not self._usual or not self.bundle.is_open:
            self._usual, self.bundle = charge, NO_BUNDLE
            return False
        calls = _BUNDLE_CALLS_MAX
        parts: list[Part] = []
        for pool in self.pools:
            if need := _ONE if pool.is_quota else charge:
                lease = pool.covering(need, occurred_at_ns, now_ns)
                if lease is None:
                    return False
                calls = int(min(lease.left, need * calls * _BUNDLE_SHARE) // need) // _BUNDLE_SHARE
                parts.append((lease, need))
        if not parts or calls < 2:
            return False
        self.bundle = bundle = Bundle(charge, tuple(parts), calls)
        for lease, need in parts:
            lease.pool.bundle(bundle, lease, need, now_ns)
        return True


class LeaseHold(msgspec.Struct, gc=False):
    """The reservations of one call, of every limit that it falls under.

    `admitted_ns` is monotonic. A call ends by its operation's deadline, whatever happens, and its hold with it; one that is
    cancelled lets go of its hold, which then settles itself.
    """

    limits: Limits
    occurred_at_ns: int
    admitted_ns: int
    is_open: bool = True
    # Either one call of a bundle, or parts of leases that are this call's alone, for as many limits as are done.
    _bundle: Bundle | None = None
    _charge: Decimal | None = None
    _parts: list[Part] | None = None
    _pools_done: int = 0
    # What the record says of each part: `_WHOLE` where that is what was reserved, None while there is no record.
    _taken: tuple[Decimal, ...] | None = None

    def reserve(self, charge: Decimal | None) -> bool:
        """Set aside a unit of each quota and the charge of each budget and credit; False where `acquire` has to ask first.

        `charge` is the most that the call can cost by the list, None where nothing bounds it: `Problem` charge-unbounded
        then, unless it falls under quotas only.
        """
        bundle = self.limits.bundle
        if (
            charge is not bundle.charge
            or not bundle.left
            or not bundle.starts_ns <= self.occurred_at_ns < bundle.until_ns
            or self.admitted_ns >= bundle.expires_ns
        ):
            if not self.limits.bundled(charge, self.occurred_at_ns, self.admitted_ns):
                self._charge = charge
                return self._reserve_each()
            bundle = self.limits.bundle
        bundle.left -= 1
        self._bundle = bundle
        return True

    def _reserve_each(self) -> bool:
        """The same of the limits that are not done yet, one by one."""
        if self._parts is None:
            self._parts = []
        pools = self.limits.pools
        for pool in pools[self._pools_done :]:
            need = _ONE if pool.is_quota else self._charge
            if need is None:
                self.void()
                raise unbounded(pool.terms)
            if need and not pool.reserve(need, self.occurred_at_ns, self.admitted_ns, self._parts):
                return False
            self._pools_done += 1
        return True

    async def acquire(self) -> None:
        """What `reserve` began, with leases that are asked for; `Problem` where too little is left, with nothing kept."""
        try:
            while not self._reserve_each():
                pool = self.limits.pools[self._pools_done]
                need = _ONE if pool.is_quota else self._charge
                assert need is not None, "what nothing bounds is never asked for"
                await self.limits.supplier.supply(pool, need, self.occurred_at_ns)
        except BaseException:
            self.void()
            raise

    def capture(self, counts: bool, charge: Decimal) -> tuple[tuple[int, str], ...]:
        """What the call takes of which lease, for its record: a unit of each quota if it `counts`, and its charge.

        Nothing is settled before the record is known to be durable. May be asked again for another ending of the call.
        """
        # Most calls cost what was reserved, by the same price.
        bundle = self._bundle
        if counts and bundle is not None and charge is bundle.charge:
            self._taken = _WHOLE
            return bundle.taken
        if counts and bundle is None and charge is self._charge:
            self._taken = _WHOLE
            return tuple((lease.id, plain(held)) for lease, held in self._held)
        unit = _ONE if counts else _ZERO
        owed = {pool: unit if pool.is_quota else charge for pool in self.limits.pools}
        taken = []
        for lease, held in self._held:
            taken.append(min(owed[lease.pool], held))
            owed[lease.pool] -= taken[-1]
        assert not any(owed.values()), "a call never takes more than it has reserved"
        self._taken = tuple(taken)
        return tuple(
            (lease.id, plain(part)) for (lease, _), part in zip(self._held, taken, strict=True) if part
        )

    def confirm(self) -> None:
        """The record is durable: what it says is taken, the rest is free again."""
        if not self.is_open:
            return
        self.is_open = False
        taken, bundle = self._taken, self._bundle
        assert taken is not None, "only what was captured is on record"
        if taken is not _WHOLE:
            for (lease, held), part in zip(self._held, taken, strict=True):
                lease.used += part
                lease.left += held - part
        elif bundle is not None and bundle.is_open:
            bundle.used += 1
        else:
            for lease, held in self._held:
                lease.used += held

    def void(self) -> None:
        """There is no record and there will be none: all is free again. Without effect once it is settled."""
        if self.is_open:
            self.is_open = False
            for lease, held in self._held:
                lease.left += held

    def doubt(self) -> None:
        """Whether there is a record is not known: its leases are given up, and the recorded calls will tell."""
        if self.is_open:
            self.is_open = False
            for lease, held in self._held:
                # Not free, whatever became of it.
                lease.used += held
                lease.is_doubtful = True

    @property
    def _held(self) -> Sequence[Part]:
        return self._parts or () if self._bundle is None else self._bundle.parts

    def __del__(self) -> None:
        """Nobody knows this hold any more: its call was cancelled, before or after its record was on its way."""
        if self.is_open:
            if self._taken is None:
                self.void()
            else:
                self.doubt()

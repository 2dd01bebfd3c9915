"""What a worker has been granted of one limit, and bundles: like calls that are set aside of their leases together."""

from decimal import Decimal
from typing import TYPE_CHECKING

from billing.allowance import Granted
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.money import plain

if TYPE_CHECKING:
    from gateway.stores.lease_pool import LimitPool

_ZERO = Decimal(0)
_FOR_EVER = 1 << 62


class Lease:
    """A lease of this worker: of its `worth`, `left` can be reserved and `used` is taken; calls in flight and bundles hold
    the rest.

    In the database it is never worth less. Below `low` the next lease is asked for ahead of need. A `retired` lease serves
    nobody any more and is returned; of one that `is_doubtful` what became of one of its calls is not known.
    """

    __slots__ = (
        "expires_ns",
        "id",
        "is_doubtful",
        "last_ns",
        "left",
        "low",
        "pool",
        "retired",
        "until_ns",
        "used",
        "worth",
    )

    def __init__(self, granted: Granted, pool: "LimitPool", expires_ns: int, now_ns: int) -> None:
        """`expires_ns` and `now_ns` are monotonic, `until_ns` bounds the moment at which a call may occur."""
        self.id = granted.id
        self.pool = pool
        self.worth = self.left = granted.amount
        self.low = granted.amount / 4
        self.used = _ZERO
        self.expires_ns = expires_ns
        self.until_ns = _FOR_EVER if granted.valid_until is None else to_ns(granted.valid_until)
        self.last_ns = now_ns
        self.is_doubtful = False
        self.retired = False

    @property
    def is_held(self) -> bool:
        """Whether calls in flight, or bundles, have a part of it."""
        return self.left + self.used != self.worth


Part = tuple[Lease, Decimal]


class Bundle:
    """So many calls of one `charge`, each with the same part of the same leases: to reserve one is to count down `left`.

    Plain endings are counted too: `used` calls are on record as `taken` says. Whatever else becomes of a call of the bundle,
    and of all of them once it is dissolved, is booked in the leases themselves.
    """

    __slots__ = (
        "charge",
        "expires_ns",
        "is_open",
        "left",
        "parts",
        "starts_ns",
        "taken",
        "until_ns",
        "used",
    )

    def __init__(self, charge: Decimal | None, parts: tuple[Part, ...], calls: int) -> None:
        """Of `calls` calls, whose parts are no longer left in their leases."""
        self.charge = charge
        self.parts = parts
        self.taken = tuple((lease.id, plain(need)) for lease, need in parts)
        self.left = calls
        self.used = 0
        self.is_open = True
        # Of a moment in every lease's period; `expires_ns` is monotonic.
        self.starts_ns = max((lease.pool.starts_ns for lease, _ in parts), default=0)
        self.until_ns = min((min(lease.pool.ends_ns, lease.until_ns) for lease, _ in parts), default=0)
        self.expires_ns = min((lease.expires_ns for lease, _ in parts), default=0)

    def dissolve(self) -> None:
        """Give back to the leases what no call has reserved, and book there what was used. Without effect a second time."""
        if self.is_open:
            self.is_open = False
            for lease, need in self.parts:
                lease.left += need * self.left
                lease.used += need * self.used
            self.left = 0


NO_BUNDLE = Bundle(None, (), 0)

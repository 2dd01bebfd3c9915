"""What counts against limits after it has happened: usage that is reported from elsewhere, and results that are accepted."""

from decimal import Decimal
from typing import Protocol

from catalog.limit import Quota


class Placed(Protocol):
    """Whose usage it was, and when."""

    @property
    def operation(self) -> str:
        """`stock/adjust`."""

    @property
    def application_id(self) -> str:
        """The application of the call."""

    @property
    def cost_centre_id(self) -> str:
        """The cost centre that bears it."""

    @property
    def occurred_at_ns(self) -> int:
        """When it was used, in nanoseconds since the epoch."""


class Counting(Protocol):
    """Usage and what it takes of limits: `charge` at list price, less than nothing where it gives back, and a unit of each of
    `quotas`."""

    @property
    def event(self) -> Placed:
        """What was used."""

    @property
    def charge(self) -> Decimal:
        """Of budgets and prepaid credit."""

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """None for what is no call of its own."""

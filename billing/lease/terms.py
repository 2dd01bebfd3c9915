"""What a worker asks for, and what it is answered."""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from catalog.vocabulary.ids import Environment

Kind = Literal["quota", "budget", "credit"]


class Holder(msgspec.Struct, frozen=True):
    """A gateway worker, for as long as it lives: an id of its own, and the journal that it writes."""

    worker_id: UUID
    journal_id: UUID


class Wanted(msgspec.Struct, frozen=True):
    """A part of one allowance, for calls of one day or month of the account's calendar.

    `subject` names the limit among those of its kind: a quota's terms, a budget's id, nothing for credit, which is
    taken from the account's grants in their order. `starts_on` is the first day of the limit's period and
    `starts_at` that moment; `month` is the first day of the calls' month. `need` is what the waiting call takes at
    most. A quota brings its `limit` and what it counts: `counts` is an operation or a service.
    """

    account_id: str
    environment: Environment
    kind: Kind
    subject: str
    starts_on: date
    starts_at: datetime
    month: date
    need: Decimal
    limit: Decimal = Decimal(0)
    counts: str = ""
    application_id: str | None = None


class Granted(msgspec.Struct, frozen=True):
    """A lease: so much of an allowance is this worker's alone. For calls before `valid_until`, if there is one."""

    id: int
    amount: Decimal
    valid_until: datetime | None


class Standing(msgspec.Struct, frozen=True):
    """A limit at one moment: the whole, what calls have taken, and what is promised to workers."""

    limit: Decimal
    used: Decimal
    reserved: Decimal

    @property
    def remaining(self) -> Decimal:
        """What nobody has taken and nobody holds; below zero where reported usage, or a lower limit, left less than that."""
        return self.limit - self.used - self.reserved

    @property
    def overdrawn(self) -> Decimal:
        """By how much more was used than the limit: metered calls never do that."""
        return max(self.used - self.limit, Decimal(0))


class Taken(msgspec.Struct, frozen=True):
    """The leases that were granted, none where not enough is left, and how the limit stands then."""

    leases: tuple[Granted, ...]
    standing: Standing

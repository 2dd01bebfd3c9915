"""Which grants reported usage takes of, and which get back what a correction takes away: no database."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from billing.lease.counting import Counting
from catalog.vocabulary.clock import from_ns

Shares = Mapping[tuple[int, date], Decimal]
"""Amounts above zero by the allowance of a grant and the first day of a month."""


class Room(msgspec.Struct):
    """What is free of a grant, and when calls may take of it."""

    id: int
    left: Decimal
    valid_from: datetime
    valid_until: datetime | None

    def is_valid(self, moment: datetime) -> bool:
        """Whether calls of a moment may take of it."""
        return self.valid_from <= moment and (self.valid_until is None or moment < self.valid_until)


class Charged(msgspec.Struct, frozen=True):
    """What events of one month come to that may take of the same grants; `moment` is that of one of them."""

    month: date
    moment: datetime
    amount: Decimal


def charged(usage: Iterable[Counting], rooms: Sequence[Room], zone: ZoneInfo) -> list[Charged]:
    """What events take, the earliest first. Between two moments at which a grant begins or ends all are alike."""
    edges = sorted(
        {room.valid_from for room in rooms} | {room.valid_until for room in rooms if room.valid_until}
    )
    found: dict[tuple[date, int], Charged] = {}
    for one in usage:
        if one.charge > 0:
            moment = from_ns(one.event.occurred_at_ns)
            month = moment.astimezone(zone).date().replace(day=1)
            key = month, bisect_right(edges, moment)
            before = found[key].amount if key in found else Decimal(0)
            found[key] = Charged(month, moment, before + one.charge)
    return [found[key] for key in sorted(found)]


def taken_away(usage: Iterable[Counting], zone: ZoneInfo) -> Mapping[date, Decimal]:
    """What corrections take away, by the first day of their events' month: amounts above zero."""
    found: dict[date, Decimal] = {}
    for one in usage:
        if one.charge < 0:
            month = from_ns(one.event.occurred_at_ns).astimezone(zone).date().replace(day=1)
            found[month] = found.get(month, Decimal(0)) - one.charge
    return found


def share_out(rooms: Sequence[Room], charges: Iterable[Charged], now: datetime) -> Shares:
    """What is taken of which grant for which month; `rooms`, in the order of consumption, are less by it.

    First of the grants that were valid when it happened, then of those that are valid now. The last one of the latter bears
    what is too much, or of the former where none is valid now; nobody where there never was one.
    """
    taken: dict[tuple[int, date], Decimal] = {}

    def take(room: Room, month: date, amount: Decimal) -> None:
        room.left -= amount
        taken[room.id, month] = taken.get((room.id, month), Decimal(0)) + amount

    for one in charges:
        then = [room for room in rooms if room.is_valid(one.moment)]
        present = [room for room in rooms if room.is_valid(now)]
        missing = one.amount
        for room in (*then, *present):
            part = min(missing, max(room.left, Decimal(0)))
            if part:
                take(room, one.month, part)
                missing -= part
        if missing and (bearers := present or then):
            take(bearers[-1], one.month, missing)
    return taken


def share_back(
    rooms: Sequence[Room], taken: Shares, amounts: Mapping[date, Decimal], now: datetime
) -> Shares:
    """What comes back to which grant for which month; `rooms`, in the order of consumption, are more by it.

    `taken` is what reported usage has taken of them, and no more than that comes back. The grant that is taken of last
    gets its part first, as far as it is valid now; those whose time is over come after these.
    """
    last_first = [
        *(room for room in reversed(rooms) if room.is_valid(now)),
        *(room for room in reversed(rooms) if not room.is_valid(now)),
    ]
    back: dict[tuple[int, date], Decimal] = {}
    for month, amount in amounts.items():
        missing = amount
        for room in last_first:
            part = min(missing, taken.get((room.id, month), Decimal(0)))
            if part > 0:
                back[room.id, month] = part
                room.left += part
                missing -= part
    return back

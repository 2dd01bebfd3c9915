"""What reported usage takes of prepaid credit: leases that are closed as soon as they are made, and that nobody held.

So all that asks what was taken of a grant for a month (the month's document, its expiry, `ordergate reconcile`) finds it among
its leases. What no grant covers is taken of one nevertheless, which is then overdrawn: the next grant has to make up for it
before a call is served, and the document leaves as receivable what no credit has paid in the end.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from billing.lease.begin import CONSUMED_FIRST
from billing.store.reported import Report
from billing.transaction import Connection
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import Environment

_GRANTS = f"""
    SELECT allowance.id, amount, used, leased, valid_from, valid_until
    FROM billing.credit_grant
    JOIN billing.allowance ON kind = 'credit' AND subject = credit_grant.id AND allowance.account_id = credit_grant.account_id
    WHERE credit_grant.account_id = $1 AND credit_grant.environment = $2
      AND NOT EXISTS (SELECT FROM billing.credit_expiry WHERE grant_id = credit_grant.id)
    ORDER BY {CONSUMED_FIRST}
"""  # noqa: S608 - constants of this package
# The month whose document will carry usage: its own; once that is issued, of the earliest open one, or of the running month.
_DOCUMENTS = """
    SELECT asked.month, CASE WHEN NOT EXISTS (
        SELECT FROM billing.invoice AS own
        WHERE own.account_id = $1 AND own.environment = $2 AND own.period = asked.month AND state = 'issued') THEN asked.month
    ELSE coalesce(
        (SELECT min(open.period) FROM billing.invoice AS open
         WHERE open.account_id = $1 AND open.environment = $2 AND open.period > asked.month AND state = 'draft'),
        (SELECT date_trunc('month', coalesce(CASE $2 WHEN 'test' THEN test_clock END, $4) AT TIME ZONE timezone)::date
         FROM catalog.account WHERE id = $1)) END AS carried_by
    FROM unnest($3::date[]) AS asked (month)
"""
_RECORD = """
    INSERT INTO billing.lease
        (allowance_id, account_id, period, granted, used, granted_at, expires_at, state, closed_at)
    SELECT taken.id, $1, taken.period, taken.amount, taken.amount, $5, $5, 'closed', $5
    FROM unnest($2::bigint[], $3::date[], $4::numeric[]) AS taken (id, period, amount)
"""


class Room(msgspec.Struct):
    """What is free of a grant, and when calls may take of it."""

    id: int
    left: Decimal
    valid_from: datetime
    valid_until: datetime | None

    def is_valid(self, moment: datetime) -> bool:
        """Whether calls of a moment may take of it."""
        return self.valid_from <= moment and (self.valid_until is None or moment < self.valid_until)


class OfCredit(msgspec.Struct, frozen=True):
    """What was taken of which allowance, be it nothing of one that workers hold too much of (`wanted`)."""

    taken: Mapping[int, Decimal]
    wanted: frozenset[int]


async def take_of_credit(
    connection: Connection,
    account_id: str,
    environment: Environment,
    timezone: str,
    reports: Sequence[Report],
    now: datetime,
) -> OfCredit:
    """Write down what events take of the account's grants, whose allowances the caller's transaction has locked and counts
    it in."""
    rows = await connection.fetch(_GRANTS, account_id, environment)
    rooms = [
        Room(row["id"], row["amount"] - row["used"] - row["leased"], row["valid_from"], row["valid_until"])
        for row in rows
    ]
    taken = share_out(rooms, charged(reports, rooms, ZoneInfo(timezone)), now)
    if taken:
        months = sorted({month for _, month in taken})
        found = await connection.fetch(_DOCUMENTS, account_id, environment, months, now)
        carried_by = {row["month"]: row["carried_by"] for row in found}
        await connection.execute(
            _RECORD,
            account_id,
            [one for one, _ in taken],
            [carried_by[month] for _, month in taken],
            list(taken.values()),
            now,
        )
    left = sum((room.left for room in rooms if room.is_valid(now)), Decimal(0))
    wanted = frozenset(row["id"] for row in rows if row["leased"] and left < 0)
    by_id = dict.fromkeys(wanted, Decimal(0))
    for (one, _), amount in taken.items():
        by_id[one] = by_id.get(one, Decimal(0)) + amount
    return OfCredit(by_id, wanted)


class Charged(msgspec.Struct, frozen=True):
    """What events of one month come to that may take of the same grants; `moment` is that of one of them."""

    month: date
    moment: datetime
    amount: Decimal


def charged(reports: Iterable[Report], rooms: Sequence[Room], zone: ZoneInfo) -> list[Charged]:
    """The charges of events, the earliest first. Between two moments at which a grant begins or ends all are alike."""
    edges = sorted(
        {room.valid_from for room in rooms} | {room.valid_until for room in rooms if room.valid_until}
    )
    found: dict[tuple[date, int], Charged] = {}
    for report in reports:
        if report.charge:
            moment = from_ns(report.event.occurred_at_ns)
            month = moment.astimezone(zone).date().replace(day=1)
            key = month, bisect_right(edges, moment)
            before = found[key].amount if key in found else Decimal(0)
            found[key] = Charged(month, moment, before + report.charge)
    return [found[key] for key in sorted(found)]


def share_out(
    rooms: Sequence[Room], charges: Iterable[Charged], now: datetime
) -> Mapping[tuple[int, date], Decimal]:
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

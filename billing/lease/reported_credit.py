"""What reported usage takes of prepaid credit: leases that are closed as soon as they are made, and that nobody held.

So all that asks what was taken of a grant for a month (the month's document, its expiry, `ordergate reconcile`) finds it among
its leases. What no grant covers is taken of one nevertheless, which is then overdrawn: the next grant has to make up for it
before a call is served, and the document leaves as receivable what no credit has paid in the end.

What a correction takes away comes back at once by such a lease of less than nothing, at most what they took for the document
that will carry the correction. The rest had paid a document that is issued: it comes back with the one that corrects it.
A document puts what it comes to in the place of all that was taken for it, so nothing comes back by both.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from billing.lease.begin import CONSUMED_FIRST
from billing.lease.counting import Counting
from billing.lease.credit_shares import Room, Shares, charged, share_back, share_out, taken_away
from billing.transaction import Connection
from catalog.accounts.test_clock import books_time
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period

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
        $4) END AS carried_by
    FROM unnest($3::date[]) AS asked (month)
"""
_RECORD = """
    INSERT INTO billing.lease
        (allowance_id, account_id, period, granted, used, granted_at, expires_at, state, closed_at)
    SELECT taken.id, $1, taken.period, taken.amount, taken.amount, $5, $5, 'closed', $5
    FROM unnest($2::bigint[], $3::date[], $4::numeric[]) AS taken (id, period, amount)
"""
_TAKEN = """
    SELECT allowance_id, period, sum(used) AS used FROM billing.lease
    WHERE allowance_id = ANY($1) AND period = ANY($2) AND worker_id IS NULL GROUP BY 1, 2
"""
_Key = TypeVar("_Key", bound=Hashable)


class OfCredit(msgspec.Struct, frozen=True):
    """What was taken of which allowance, less than nothing where more came back, and nothing of one that workers hold too
    much of (`wanted`)."""

    taken: Mapping[int, Decimal]
    wanted: frozenset[int]


async def move_credit(
    connection: Connection,
    account_id: str,
    environment: Environment,
    timezone: str,
    usage: Sequence[Counting],
    now: datetime,
) -> OfCredit:
    """Write down what events take of the account's grants, and what corrections give back to them; the caller's transaction
    has locked their allowances and counts it in."""
    rows = await connection.fetch(_GRANTS, account_id, environment)
    rooms = [
        Room(row["id"], row["amount"] - row["used"] - row["leased"], row["valid_from"], row["valid_until"])
        for row in rows
    ]
    zone = ZoneInfo(timezone)
    taken: Shares = share_out(rooms, charged(usage, rooms, zone), now)
    moved: dict[int, Decimal] = {}
    away = taken_away(usage, zone)
    if taken or away:
        months = {month for _, month in taken} | away.keys()
        carried_by = await _documents(connection, account_id, environment, timezone, months, now)
        shares = [((one, carried_by[month]), amount) for (one, month), amount in taken.items()]
        await _record(connection, account_id, shares, now)
        if away:
            amounts = _summed((carried_by[month], amount) for month, amount in away.items())
            back = share_back(rooms, await _taken_before(connection, rooms, amounts), amounts, now)
            given = [(key, -amount) for key, amount in back.items()]
            await _record(connection, account_id, given, now)
            shares += given
        moved = _summed((one, amount) for (one, _), amount in shares)
    left = sum((room.left for room in rooms if room.is_valid(now)), Decimal(0))
    wanted = frozenset(row["id"] for row in rows if row["leased"] and left < 0)
    return OfCredit(dict.fromkeys(wanted, Decimal(0)) | moved, wanted)


async def _documents(
    connection: Connection,
    account_id: str,
    environment: Environment,
    timezone: str,
    months: Collection[date],
    now: datetime,
) -> Mapping[date, date]:
    """The month of the document that will carry what becomes known of each month now."""
    running = Period.of(await books_time(connection, account_id, environment, now), timezone).first_day
    rows = await connection.fetch(_DOCUMENTS, account_id, environment, sorted(months), running)
    return {row["month"]: row["carried_by"] for row in rows}


async def _taken_before(connection: Connection, rooms: Iterable[Room], months: Collection[date]) -> Shares:
    """What reported usage has taken of grants for documents by now, less what came back."""
    rows = await connection.fetch(_TAKEN, [room.id for room in rooms], list(months))
    return {(row["allowance_id"], row["period"]): row["used"] for row in rows}


async def _record(
    connection: Connection, account_id: str, shares: Sequence[tuple[tuple[int, date], Decimal]], now: datetime
) -> None:
    if shares:
        ids, months = [one for (one, _), _ in shares], [month for (_, month), _ in shares]
        await connection.execute(_RECORD, account_id, ids, months, [amount for _, amount in shares], now)


def _summed(amounts: Iterable[tuple[_Key, Decimal]]) -> dict[_Key, Decimal]:
    found: dict[_Key, Decimal] = {}
    for key, amount in amounts:
        found[key] = found.get(key, Decimal(0)) + amount
    return found

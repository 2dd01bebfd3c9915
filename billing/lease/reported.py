"""Usage that has happened, reported from elsewhere or accepted as a result, counts against the limits that exist: one update
for a whole batch, under the locks on their rows.

A limit that does not exist yet starts from the stored calls when it is first asked for, these among them. What is left may
become less than nothing: then what workers hold is wanted back, and no more is lent. A correction is a report of its difference,
with no quotas: it is no call. Where it takes usage away, what that had taken is given back.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from billing.lease.counting import Counting
from billing.lease.reported_credit import move_credit
from billing.transaction import Connection
from catalog.limit import Quota
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.ids import Environment

# Found first and locked by their ids alone: a query that joins and locks passes over what others have just changed.
_LIMITS = """
    SELECT id, kind, subject, starts_on, NULL AS scope_id, NULL::numeric AS amount
    FROM billing.allowance JOIN unnest($3::text[], $4::date[]) AS counted (subject, starts_on) USING (subject, starts_on)
    WHERE account_id = $1 AND environment = $2 AND kind = 'quota'
    UNION ALL
    SELECT allowance.id, kind, subject, starts_on, scope_id, amount
    FROM billing.budget JOIN billing.allowance ON kind = 'budget' AND subject = budget.id
     AND (allowance.account_id, allowance.environment) = (budget.account_id, budget.environment)
    WHERE budget.account_id = $1 AND budget.environment = $2 AND scope_id = ANY($5) AND starts_on = ANY($6)
    UNION ALL
    SELECT id, kind, subject, starts_on, NULL, NULL FROM billing.allowance
    WHERE account_id = $1 AND environment = $2 AND kind = 'credit'
      AND EXISTS (SELECT FROM billing.credit_grant WHERE account_id = $1 AND environment = $2 AND category = 'paid')
"""
_LOCK = "SELECT id, used - returned AS used, leased FROM billing.allowance WHERE id = ANY($1) ORDER BY id FOR UPDATE"
_COUNT = """
    UPDATE billing.allowance SET used = used + counted.amount, wanted_at = CASE WHEN is_wanted THEN $4 ELSE wanted_at END
    FROM unnest($1::bigint[], $2::numeric[], $3::boolean[]) AS counted (id, amount, is_wanted)
    WHERE allowance.id = counted.id
"""
# What was used of a budget never becomes less. A price by the package rounds each event and a budget that began later the
# sum of them, so the last of them may come back by 0.000000000001 more than was used.
_RETURN = """
    UPDATE billing.allowance SET returned = least(returned + given.amount, used)
    FROM unnest($1::bigint[], $2::numeric[]) AS given (id, amount)
    WHERE allowance.id = given.id
"""


class _Place(msgspec.Struct, frozen=True):
    """What is counted together: whose, and on which day of the account's calendar."""

    operation: str
    application_id: str
    cost_centre_id: str
    day: date

    @property
    def month(self) -> date:
        """The first day of the month."""
        return self.day.replace(day=1)


class _Sum(msgspec.Struct):
    """The events of one place, and what they and their corrections come to at list price."""

    calls: int = 0
    charge: Decimal = Decimal(0)


class _Counted(msgspec.Struct, frozen=True):
    """The calls of a quota's period, and how many it allows."""

    calls: int
    limit: int


_Sums = Mapping[_Place, _Sum]
_Calls = Mapping[tuple[str, date], _Counted]
_Charges = Mapping[tuple[str, date], Decimal]


async def count_reports(
    connection: Connection,
    account_id: str,
    environment: Environment,
    timezone: str,
    usage: Sequence[Counting],
    now: datetime,
) -> None:
    """Count events that are stored in the caller's transaction, each where a metered call of its moment would count.

    The transaction holds `keep_limits`. A quota counts events, a hard budget and prepaid credit their list prices; what is
    less than nothing comes back to both.
    """
    sums = _sums(usage, ZoneInfo(timezone))
    calls = _calls(sums, {one.event.operation: one.quotas for one in usage if one.quotas})
    charges = _charges(sums, account_id)
    limits = await connection.fetch(
        _LIMITS,
        account_id,
        environment,
        [subject for subject, _ in calls],
        [starts_on for _, starts_on in calls],
        [scope_id for scope_id, _ in charges],
        [month for _, month in charges],
    )
    if not limits:
        return
    locked = {row["id"]: row for row in await connection.fetch(_LOCK, [one["id"] for one in limits])}
    counted: dict[int, Decimal] = {}
    returned: dict[int, Decimal] = {}
    wanted: set[int] = set()
    for one in limits:
        amount, limit = _taken_of(one, calls, charges)
        if amount < 0:
            returned[one["id"]] = -amount
        elif amount and one["id"] in locked:
            counted[one["id"]] = amount
            if _holds_too_much(locked[one["id"]], limit - amount):
                wanted.add(one["id"])
    if any(one["kind"] == "credit" for one in limits):
        of_credit = await move_credit(connection, account_id, environment, timezone, usage, now)
        counted |= of_credit.taken
        wanted |= of_credit.wanted
    await connection.execute(
        _COUNT, list(counted), list(counted.values()), [one in wanted for one in counted], now
    )
    if returned:
        await connection.execute(_RETURN, list(returned), list(returned.values()))


def _taken_of(one: asyncpg.Record, calls: _Calls, charges: _Charges) -> tuple[Decimal, Decimal]:
    """What is taken of a quota or budget, and how much it is; of credit nothing here."""
    if one["kind"] == "quota":
        quota = calls[one["subject"], one["starts_on"]]
        return Decimal(quota.calls), Decimal(quota.limit)
    if one["kind"] == "budget":
        return charges.get((one["scope_id"], one["starts_on"]), Decimal(0)), one["amount"]
    return Decimal(0), Decimal(0)


def _holds_too_much(row: asyncpg.Record, limit: Decimal) -> bool:
    """Whether workers hold more than a limit leaves them."""
    return bool(row["leased"] > max(limit - row["used"], 0))


def _sums(usage: Iterable[Counting], zone: ZoneInfo) -> _Sums:
    sums: dict[_Place, _Sum] = {}
    for one in usage:
        event = one.event
        day = from_ns(event.occurred_at_ns).astimezone(zone).date()
        place = _Place(event.operation, event.application_id, event.cost_centre_id, day)
        found = sums.get(place)
        if found is None:
            found = sums[place] = _Sum()
        found.calls += bool(one.quotas)
        found.charge += one.charge
    return sums


def _calls(sums: _Sums, quotas: Mapping[str, tuple[Quota, ...]]) -> _Calls:
    """The calls of each quota, by the name and the first day under which it is counted."""
    calls: dict[tuple[str, date], _Counted] = {}
    for place, one in sums.items():
        for quota in quotas.get(place.operation, ()):
            counts = place.operation if quota.counts == "operation" else place.operation.partition("/")[0]
            subject = quota.subject(counts, place.application_id if quota.per == "application" else None)
            key = subject, place.day if quota.period == "day" else place.month
            before = calls[key].calls if key in calls else 0
            calls[key] = _Counted(before + one.calls, quota.q)
    return calls


def _charges(sums: _Sums, account_id: str) -> _Charges:
    """What each budget's scope comes to in each month, by the scope's id."""
    charges: dict[tuple[str, date], Decimal] = {}
    for place, one in sums.items():
        for scope_id in {account_id, place.application_id, place.cost_centre_id}:
            key = scope_id, place.month
            charges[key] = charges.get(key, Decimal(0)) + one.charge
    return charges

"""The service-wide figures that pages and accounts read, and the alarms: made from the sums again and again.

Nobody but billing sees all accounts, so what all of them came to is written down here, as percentages. A row of a month or
day that has ended everywhere is final and not made again. Days and the months of availability are UTC's.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import asyncpg

from billing.sla import store
from billing.sla.attainment import Share, budget_left_pct, shown_pct, state_of
from billing.sla.availability import Window
from billing.sla.burn import RULES, WINDOWS, burning
from billing.sla.measure import Measured, errors, measure_availability, measure_day, measure_month, scope_of
from billing.transaction import Connection, all_accounts
from catalog.outbox import announce
from catalog.passport import Passport
from catalog.registry.published import current
from catalog.sla import Objective
from catalog.vocabulary.clock import Clock, from_ns
from catalog.vocabulary.ids import new_id
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period

DAYS = 30
MONTHS = 12
# A month of the payers' own clocks is over everywhere half a day after it is over in UTC, a day sooner or later than that.
_SETTLED = timedelta(hours=13)


async def refresh(pool: asyncpg.Pool, provider_id: str, clock: Clock) -> int:
    """Bring the figures and alarms of all services up to date, one transaction a service; returns the rows written.

    An alarm is announced to the account `provider_id`.
    """
    now = from_ns(clock.now_ns())
    async with all_accounts(pool) as connection:
        passports = [one.passport for one in (await current(connection)).values()]
    written = 0
    for passport in passports:
        if passport.callable and passport.sla.objectives:
            async with all_accounts(pool) as connection:
                written += await _figures(connection, passport, now)
                await _alarms(connection, passport, provider_id, now)
    return written


async def _figures(connection: Connection, passport: Passport, now: datetime) -> int:
    kept = await _final(connection, passport.service)
    written = 0
    for objective in passport.sla.objectives:
        scope = scope_of(passport, objective)
        for month in _months(now):
            if (objective.id, "month", month.first_day) not in kept:
                measured = await measure_month(connection, scope, objective, month, "UTC")
                final = now >= month.bounds("UTC")[1] + _SETTLED
                await _write(connection, passport, objective, "month", month.first_day, measured, final, now)
                written += 1
        for day in _days(now):
            if (objective.id, "day", day) not in kept:
                starts_at = datetime.combine(day, time.min, UTC)
                window = Window(starts_at, starts_at + timedelta(days=1))
                found = await measure_day(connection, scope, objective, day, window)
                if found is not None:
                    final = now >= window.ends_at + _SETTLED
                    await _write(connection, passport, objective, "day", day, found, final, now)
                    written += 1
    return written


def _months(now: datetime) -> Sequence[Period]:
    months = [Period.of(now, "UTC")]
    while len(months) < MONTHS:
        months.append(months[-1].previous())
    return months


def _days(now: datetime) -> Sequence[date]:
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=ago) for ago in range(DAYS)]


async def _final(connection: Connection, service: str) -> frozenset[tuple[str, str, date]]:
    rows = await connection.fetch(
        "SELECT objective, span, starts_on FROM billing.sla_figure WHERE service = $1 AND final", service
    )
    return frozenset((row["objective"], row["span"], row["starts_on"]) for row in rows)


async def _write(
    connection: Connection,
    passport: Passport,
    objective: Objective,
    span: str,
    starts_on: date,
    measured: Measured,
    final: bool,
    now: datetime,
) -> None:
    # The running day and month are about what has passed of them: time that has not come yet is neither good nor bad,
    # and counts as good until it is.
    await connection.execute(
        "INSERT INTO billing.sla_figure (service, objective, span, starts_on, state, attained_pct, target_pct, "
        "budget_left_pct, measured, final, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
        "ON CONFLICT (service, objective, span, starts_on) DO UPDATE SET state = excluded.state, "
        "attained_pct = excluded.attained_pct, target_pct = excluded.target_pct, budget_left_pct = excluded.budget_left_pct, "
        "measured = excluded.measured, final = excluded.final, updated_at = excluded.updated_at",
        passport.service,
        objective.id,
        span,
        starts_on,
        state_of(objective, measured.share),
        shown_pct(measured.share.pct),
        shown_pct(objective.target_pct),
        shown_pct(budget_left_pct(objective, measured.share)),
        _words(objective, measured),
        final,
        now,
    )


def _words(objective: Objective, measured: Measured) -> str:
    """What everybody may read: how much all accounts call together is nobody's business, so rates are told in percent."""
    if objective.measure in ("availability", "latency_ms"):
        return measured.words
    attained = shown_pct(measured.share.pct)
    return "–" if attained is None else f"{plain(100 - attained)} %"


async def _alarms(connection: Connection, passport: Passport, provider_id: str, now: datetime) -> None:
    for objective in passport.sla.objectives:
        if objective.measure in ("availability", "error_rate"):
            firing = burning(objective, await _recent(connection, passport, objective, now))
            for rule in RULES:
                if rule.id in firing:
                    told = {"service": passport.service, "objective": objective.id, "rule": rule.id}
                    await _begin(connection, provider_id, told, shown_pct(firing[rule.id]), now)
                else:
                    await connection.execute(
                        "UPDATE billing.sla_alarm SET ended_at = $4 "
                        "WHERE service = $1 AND objective = $2 AND rule = $3 AND ended_at IS NULL",
                        passport.service,
                        objective.id,
                        rule.id,
                        now,
                    )


async def _recent(
    connection: Connection, passport: Passport, objective: Objective, now: datetime
) -> Mapping[timedelta, Share]:
    """The shares of the alarms' windows, which end with the last whole interval."""
    scope = scope_of(passport, objective)
    ends_at = now - timedelta(minutes=now.minute % 5, seconds=now.second, microseconds=now.microsecond)
    shares = {}
    for length in WINDOWS:
        window = Window(ends_at - length, ends_at)
        if objective.measure == "availability":
            shares[length] = (await measure_availability(connection, scope, window)).share
        else:
            shares[length] = errors(await store.counts(connection, scope, window=window)).share
    return shares


async def _begin(
    connection: Connection, provider_id: str, told: Mapping[str, str], burn: Decimal | None, now: datetime
) -> None:
    """Open an episode and announce it, once: an episode that is open already stays as it began."""
    began = await connection.fetchval(
        "INSERT INTO billing.sla_alarm (id, service, objective, rule, began_at, burn) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (service, objective, rule) WHERE ended_at IS NULL DO NOTHING RETURNING id",
        new_id("alarm"),
        told["service"],
        told["objective"],
        told["rule"],
        now,
        burn,
    )
    if began is not None:
        payload = {"id": began, **told, "burn": str(burn)}
        await announce(connection, provider_id, "live", "sla.burning", payload, now)

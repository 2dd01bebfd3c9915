"""The service level as it is read: promised, attained by all, attained for one account, what is left, what came back."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import msgspec

from billing.sla.attainment import State, budget_left_pct, shown_pct, state_of
from billing.sla.judge import JUDGED_LINE, judgements
from billing.sla.measure import measure_month, scope_of
from billing.transaction import Connection
from catalog.passport import Passport
from catalog.sla import Measure
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import Money, money, plain
from catalog.vocabulary.period import Period

# Met with less than this much of the error budget left is no green light.
_COMFORT_PCT = 25

Light = Literal["good", "warn", "bad", "unknown"]


class Attained(msgspec.Struct, frozen=True):
    """What was attained, in percent (`99.9421`) and as measured (`142 ms`, `0.0432 %`; an account's own rates as `2 / 4640`).

    `light` is `warn` where the
    promise is kept with less than a quarter of the error budget left, `unknown` where nothing can be judged."""

    light: Light
    state: State
    attained_pct: str | None
    measured: str
    budget_left_pct: str | None


class Point(msgspec.Struct, frozen=True):
    """All accounts' attainment of one day or month, on UTC's calendar."""

    starts_on: date
    light: Light
    attained_pct: str | None
    measured: str


class ObjectiveLevel(msgspec.Struct, frozen=True):
    """One objective: `attained` by all accounts, `own` by the one that asks (null where nobody asks), credited with
    `credit_pct` once the month is judged (null before). Points are oldest first; a point that was never seen is absent."""

    objective: str
    operation: str | None
    measure: Measure
    target_pct: str
    attained: Attained | None
    own: Attained | None
    credit_pct: str | None
    days: tuple[Point, ...]
    months: tuple[Point, ...]


class Alarm(msgspec.Struct, frozen=True):
    """The error budget is burning: `burn` times as fast as it lasts when the episode began; open while `ended_at` is null."""

    id: str
    objective: str
    rule: str
    burn: str
    began_at: str
    ended_at: str | None


class CreditGiven(msgspec.Struct, frozen=True):
    """What a missed objective gave back to the account, with the evidence of its judgement."""

    objective: str
    operation: str | None
    credit_pct: str
    amount: Money
    document: str
    evidence: Mapping[str, Any]


class ServiceLevel(msgspec.Struct, frozen=True):
    """A service's month: objectives, the latest alarms and the account's credits.

    `environment` says whose calls are meant. In `test` there is only what one account's own test calls attained and what its
    sandbox documents give back: no figure of all accounts, no outside probe, no alarm."""

    service: str
    environment: Environment
    period: str
    objectives: tuple[ObjectiveLevel, ...]
    alarms: tuple[Alarm, ...]
    credits: tuple[CreditGiven, ...]


async def service_level(
    connection: Connection,
    passport: Passport,
    period: Period,
    account_id: str | None,
    timezone: str,
    environment: Environment = "live",
) -> ServiceLevel:
    """The level of a service in a month. `account_id` in scope adds its own figures and credits, its availability on the
    calendar of `timezone`; None is for everybody to read, and only of live calls."""
    assert account_id is not None or environment == "live", "a sandbox is an account's"
    is_live = environment == "live"
    points = await _points(connection, passport.service) if is_live else []
    judged = {
        one.objective: plain(one.credit_pct)
        for one in await judgements(
            connection, passport.service, period, timezone, None if is_live else account_id
        )
    }
    objectives = []
    for objective in passport.sla.objectives:
        scope = scope_of(passport, objective, account_id, environment)
        own = None
        if account_id is not None:
            measured = await measure_month(connection, scope, objective, period, timezone)
            own = _attained(
                state_of(objective, measured.share),
                shown_pct(measured.share.pct),
                measured.words,
                shown_pct(budget_left_pct(objective, measured.share)),
            )
        mine = [row for row in points if row["objective"] == objective.id]
        months = [row for row in mine if row["span"] == "month"]
        objectives.append(
            ObjectiveLevel(
                objective.id,
                scope.operation,
                objective.measure,
                plain(shown_pct(objective.target_pct) or Decimal(0)),
                next((_of(row) for row in months if row["starts_on"] == period.first_day), None),
                own,
                judged.get(objective.id),
                tuple(_point(row) for row in mine if row["span"] == "day"),
                tuple(_point(row) for row in months),
            )
        )
    alarms = await _alarms(connection, passport.service) if is_live else ()
    credits_ = await _credits(connection, account_id, environment, passport.service, period)
    return ServiceLevel(passport.service, environment, str(period), tuple(objectives), alarms, credits_)


async def _points(connection: Connection, service: str) -> list[Any]:
    """The last thirty days and twelve months that were written down, oldest first."""
    rows: list[Any] = await connection.fetch(
        "SELECT objective, span, starts_on, state, attained_pct, budget_left_pct, measured FROM billing.sla_figure "
        "WHERE service = $1 AND starts_on > (SELECT max(starts_on) FROM billing.sla_figure AS newest "
        "WHERE newest.service = $1 AND newest.span = sla_figure.span) "
        "- CASE span WHEN 'day' THEN interval '30 days' ELSE interval '12 months' END ORDER BY span, starts_on",
        service,
    )
    return rows


async def _alarms(connection: Connection, service: str) -> tuple[Alarm, ...]:
    rows = await connection.fetch(
        "SELECT id, objective, rule, burn, began_at, ended_at FROM billing.sla_alarm "
        "WHERE service = $1 ORDER BY ended_at IS NOT NULL, began_at DESC LIMIT 20",
        service,
    )
    return tuple(
        Alarm(
            row["id"],
            row["objective"],
            row["rule"],
            plain(row["burn"]),
            rfc3339(row["began_at"]),
            None if row["ended_at"] is None else rfc3339(row["ended_at"]),
        )
        for row in rows
    )


async def _credits(
    connection: Connection, account_id: str | None, environment: Environment, service: str, period: Period
) -> tuple[CreditGiven, ...]:
    if account_id is None:
        return ()
    rows = await connection.fetch(
        "SELECT name AS objective, judgement.operation, credit_pct, -amount AS amount, currency, invoice_id, "  # noqa: S608
        f"evidence - 'delivered_by' AS evidence FROM billing.charge_line AS line, {JUDGED_LINE} "
        "WHERE account_id = $1 AND kind = 'credit' AND line.service = $2 AND line.period = $3 "
        "AND line.environment = $4 ORDER BY id",
        account_id,
        service,
        period.first_day,
        environment,
    )
    return tuple(
        CreditGiven(
            row["objective"],
            row["operation"],
            plain(row["credit_pct"]),
            money(row["amount"], row["currency"]),
            row["invoice_id"],
            msgspec.json.decode(row["evidence"]),
        )
        for row in rows
    )


def _attained(state: State, attained: Decimal | None, measured: str, budget_left: Decimal | None) -> Attained:
    return Attained(
        _light(state, budget_left),
        state,
        None if attained is None else plain(attained),
        measured,
        None if budget_left is None else plain(budget_left),
    )


def _of(row: Mapping[str, Any]) -> Attained:
    return _attained(row["state"], row["attained_pct"], row["measured"], row["budget_left_pct"])


def _point(row: Mapping[str, Any]) -> Point:
    found = _of(row)
    return Point(row["starts_on"], found.light, found.attained_pct, found.measured)


def _light(state: State, budget_left: Decimal | None) -> Light:
    if state == "unjudged":
        return "unknown"
    if state == "missed":
        return "bad"
    return "good" if budget_left is None or budget_left >= _COMFORT_PCT else "warn"

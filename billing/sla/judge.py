"""The final word on a month's credited objectives: made once by the terms of the window, kept with its evidence."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from billing.sla.attainment import State, credit_step, shown_pct, state_of
from billing.sla.measure import measure_month, scope_of
from billing.sla.store import Terms, all_months_ended_at, terms_at
from billing.transaction import Connection
from catalog.sla import Objective
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period


class Judgement(msgspec.Struct, frozen=True):
    """What an objective came to in a month, on the calendar of a time zone, for all accounts alike.

    `operation` is the one whose charges are credited (`customs/check`), None for all of the service's.
    """

    service: str
    objective: str
    period: Period
    timezone: str
    operation: str | None
    state: State
    credit_pct: Decimal
    maximum_credit_pct: Decimal
    evidence: dict[str, Any]


async def judge(
    connection: Connection, service: str, period: Period, timezone: str, now: datetime
) -> tuple[Judgement, ...]:
    """The judgements of a service's credited objectives, in the order of their ids; made now if they are not there.

    Nothing before the month is over for every account: until then a call can still be added to it. The transaction
    has all accounts in scope and sees all usage of the month rolled up. Verdicts cannot be contested meanwhile.
    """
    if now < await all_months_ended_at(connection, period):
        return ()
    terms = await terms_at(connection, service, period.bounds(timezone)[0])
    if terms is None:
        return ()
    credited = [one for one in terms.passport.sla.objectives if terms.passport.sla.schedule_of(one)]
    if not credited:
        return ()
    kept = {one.objective: one for one in await judgements(connection, service, period, timezone)}
    if not all(objective.id in kept for objective in credited):
        await hold_verdicts(connection, service)
        kept = {one.objective: one for one in await judgements(connection, service, period, timezone)}
    for objective in credited:
        if objective.id not in kept:
            made = await _judged(connection, terms, objective, period, timezone)
            await _keep(connection, made, now)
            kept[objective.id] = made
    return tuple(kept[objective_id] for objective_id in sorted(kept))


async def hold_verdicts(connection: Connection, service: str) -> None:
    """Until the transaction ends, either a month of the service is judged or a verdict is contested, not both."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"billing.sla/{service}"
    )


async def judgements(
    connection: Connection, service: str, period: Period, timezone: str
) -> tuple[Judgement, ...]:
    """Those that were made."""
    rows = await connection.fetch(
        "SELECT objective, operation, state, credit_pct, maximum_credit_pct, evidence FROM billing.sla_judgement "
        "WHERE service = $1 AND period = $2 AND timezone = $3 ORDER BY objective",
        service,
        period.first_day,
        timezone,
    )
    return tuple(
        Judgement(
            service,
            row["objective"],
            period,
            timezone,
            row["operation"],
            row["state"],
            row["credit_pct"],
            row["maximum_credit_pct"],
            msgspec.json.decode(row["evidence"]),
        )
        for row in rows
    )


async def _judged(
    connection: Connection, terms: Terms, objective: Objective, period: Period, timezone: str
) -> Judgement:
    sla = terms.passport.sla
    scope = scope_of(terms.passport, objective)
    measured = await measure_month(connection, scope, objective, period, timezone)
    step = credit_step(objective, sla.schedule_of(objective), measured.share)
    evidence = {
        "passport": {"version": terms.passport.version, "revision": terms.revision},
        "objective": msgspec.to_builtins(objective),
        "measured": measured.words,
        "attained_pct": _text(shown_pct(measured.share.pct)),
        "attained": {"good": str(measured.share.good), "total": measured.share.total},
        "target_pct": _text(shown_pct(objective.target_pct)),
        "delivered_by": msgspec.to_builtins(terms.passport.delivered_by),
        "schedule_row": None if step is None else msgspec.to_builtins(step),
        **measured.evidence,
    }
    return Judgement(
        terms.passport.service,
        objective.id,
        period,
        timezone,
        scope.operation,
        state_of(objective, measured.share),
        Decimal(step.credit_pct) if step else Decimal(0),
        Decimal(sla.maximum_credit_pct),
        evidence,
    )


async def _keep(connection: Connection, made: Judgement, now: datetime) -> None:
    await connection.execute(
        "INSERT INTO billing.sla_judgement (service, objective, period, timezone, operation, state, credit_pct, "
        "maximum_credit_pct, evidence, judged_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        made.service,
        made.objective,
        made.period.first_day,
        made.timezone,
        made.operation,
        made.state,
        made.credit_pct,
        made.maximum_credit_pct,
        msgspec.json.encode(made.evidence).decode(),
        now,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)

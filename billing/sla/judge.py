"""The final word on a month's credited objectives: made once by the terms of the window, kept with its evidence.

A live month is judged by what all accounts together were given. A sandbox is its account's own, with a clock of its own: its
month is judged by its own test calls and says nothing of any other's.
"""

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
    """What an objective came to in a month, on the calendar of a time zone: for all accounts alike, or in the sandbox of one.

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


# What a credit on a document was given for: to be joined with a charge line called `line`.
JUDGED_LINE = """
    LATERAL (SELECT operation, credit_pct, evidence FROM billing.sla_judgement
              WHERE line.environment = 'live' AND (service, objective, period, timezone)
                  = (line.service, line.name, line.period, line.timezone)
             UNION ALL
             SELECT operation, credit_pct, evidence FROM billing.sandbox_judgement
              WHERE line.environment = 'test' AND line.kind = 'credit' AND (account_id, service, objective, period)
                  = (line.account_id, line.service, line.name, line.period)) AS judgement
"""


async def judge(
    connection: Connection,
    service: str,
    period: Period,
    timezone: str,
    now: datetime,
    sandbox_of: str | None = None,
) -> tuple[Judgement, ...]:
    """The judgements of a service's credited objectives, in the order of their ids; made now if they are not there.

    Nothing before the month is over for every account: until then a call can still be added to it. The transaction
    has all accounts in scope and sees all usage of the month rolled up. Verdicts cannot be contested meanwhile.
    With `sandbox_of` they are about the test calls of that account, whose sandbox's own time is `now`.
    """
    if now < await _ended_at(connection, period, timezone, sandbox_of):
        return ()
    terms = await terms_at(connection, service, period.bounds(timezone)[0])
    if terms is None:
        return ()
    credited = [one for one in terms.passport.sla.objectives if terms.passport.sla.schedule_of(one)]
    if not credited:
        return ()
    kept = {one.objective: one for one in await judgements(connection, service, period, timezone, sandbox_of)}
    if not all(objective.id in kept for objective in credited):
        await hold_verdicts(connection, service)
        kept = {
            one.objective: one for one in await judgements(connection, service, period, timezone, sandbox_of)
        }
    for objective in credited:
        if objective.id not in kept:
            made = await _judged(connection, terms, objective, period, timezone, sandbox_of)
            await _keep(connection, made, sandbox_of, now)
            kept[objective.id] = made
    return tuple(kept[objective_id] for objective_id in sorted(kept))


async def hold_verdicts(connection: Connection, service: str) -> None:
    """Until the transaction ends, either a month of the service is judged or a verdict is contested, not both."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"billing.sla/{service}"
    )


async def _ended_at(
    connection: Connection, period: Period, timezone: str, sandbox_of: str | None
) -> datetime:
    """From when on no call can be added to what is judged."""
    if sandbox_of is None:
        return await all_months_ended_at(connection, period)
    return period.bounds(timezone)[1]


async def judgements(
    connection: Connection, service: str, period: Period, timezone: str, sandbox_of: str | None = None
) -> tuple[Judgement, ...]:
    """Those that were made, of the live service or of a sandbox."""
    table, whose, who = _kept_in(timezone, sandbox_of)
    rows = await connection.fetch(
        "SELECT objective, operation, state, credit_pct, maximum_credit_pct, evidence "  # noqa: S608 - constants
        f"FROM billing.{table} WHERE service = $1 AND period = $2 AND {whose} = $3 ORDER BY objective",
        service,
        period.first_day,
        who,
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


def _kept_in(timezone: str, sandbox_of: str | None) -> tuple[str, str, str]:
    """The table, and the column and value that say whose judgements in it are meant."""
    if sandbox_of is None:
        return "sla_judgement", "timezone", timezone
    return "sandbox_judgement", "account_id", sandbox_of


async def _judged(
    connection: Connection,
    terms: Terms,
    objective: Objective,
    period: Period,
    timezone: str,
    sandbox_of: str | None,
) -> Judgement:
    sla = terms.passport.sla
    scope = scope_of(terms.passport, objective, sandbox_of, "live" if sandbox_of is None else "test")
    measured = await measure_month(connection, scope, objective, period, timezone)
    step = credit_step(objective, sla.schedule_of(objective), measured.share)
    evidence = {
        "environment": scope.environment,
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


async def _keep(connection: Connection, made: Judgement, sandbox_of: str | None, now: datetime) -> None:
    table, whose, who = _kept_in(made.timezone, sandbox_of)
    await connection.execute(
        f"INSERT INTO billing.{table} (service, objective, period, {whose}, operation, state, credit_pct, "  # noqa: S608
        "maximum_credit_pct, evidence, judged_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        made.service,
        made.objective,
        made.period.first_day,
        who,
        made.operation,
        made.state,
        made.credit_pct,
        made.maximum_credit_pct,
        msgspec.json.encode(made.evidence).decode(),
        now,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)

"""Verdicts on answered calls: the payer reports one weeks later, the provider may contest it, somebody decides.

`reported` counts, `contested` does not, `upheld` counts in the month of that decision, `dismissed` never does. A month that
was judged stays judged: its verdicts cannot be contested any more, so no credit is ever taken back. Verdicts on test calls
are given and decided in the sandbox's own time: they count for the month in which it stands.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg
import msgspec

from billing.sla.judge import hold_verdicts
from billing.transaction import Connection
from catalog.accounts.test_clock import books_time
from catalog.outbox import announce
from catalog.registry import audit
from catalog.usage_event import CallClass
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.ids import Environment, call_id_text
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import FieldError, Problem

VerdictState = Literal["reported", "contested", "upheld", "dismissed"]
Decision = Literal["upheld", "dismissed"]

_REPORTABLE_FOR = timedelta(days=366)
_ANSWERED: tuple[CallClass, ...] = ("ok", "declined")


class PaidCall(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """A call that its account pays for; it is not `served_here` where it was reported from elsewhere."""

    id: UUID
    account_id: str
    environment: Environment
    operation: str
    class_: CallClass
    occurred_at: datetime
    served_here: bool


class Verdict(msgspec.Struct, frozen=True):
    """What a payer reported of a call and what became of it. `ruling` is the provider's reason or the decision's."""

    call_id: str
    operation: str
    outcome: str
    reason: str
    state: VerdictState
    occurred_at: str
    reported_at: str
    ruled_at: str | None
    ruling: str | None


async def paid_call(
    connection: Connection, account_id: str, environment: Environment, call_id: UUID
) -> PaidCall:
    """A stored call; `Problem` not-found for any that the account does not pay for in this environment."""
    row = await connection.fetchrow(
        "SELECT id, payer, environment, operation, class, occurred_at, recorded_by IN ('journal', 'transaction') "
        "FROM billing.usage_event WHERE id = $1 AND payer = $2 AND environment = $3 AND amends IS NULL",
        call_id,
        account_id,
        environment,
    )
    if row is None:
        raise Problem(
            "not-found",
            "The account pays for no such call; a new one takes a second or two to appear on the books.",
        )
    return PaidCall(*row)


async def report_outcome(
    transaction: Connection,
    call: PaidCall,
    outcome: str,
    reason: str,
    promised: Collection[str],
    actor: str,
    now: datetime,
) -> Verdict:
    """Keep the payer's verdict; `promised` are the outcomes that an objective of the call's operation is about.

    `Problem` invalid-input for any other outcome, conflict for a call that was not served here, not answered or is too
    old, and outcome-reported for a second verdict.
    """
    if outcome not in promised:
        known = ", ".join(sorted(promised)) or "the service promises none"
        detail = f"name an outcome that the service's SLA promises: {known}"
        raise Problem(
            "invalid-input", f"/outcome: {detail}.", errors=(FieldError("/outcome", "reference", detail),)
        )
    if not call.served_here:
        raise Problem(
            "conflict",
            "The usage was reported from elsewhere; the service level is about calls that we served.",
        )
    if call.class_ not in _ANSWERED:
        raise Problem(
            "conflict",
            "The call was not answered, so there is nothing to judge; it counts as an error already.",
        )
    reported_at = await books_time(transaction, call.account_id, call.environment, now)
    if reported_at - call.occurred_at > _REPORTABLE_FOR:
        raise Problem("conflict", "Outcomes are reported within a year of the call.")
    try:
        async with transaction.transaction():
            await transaction.execute(
                "INSERT INTO billing.outcome_report (call_id, account_id, environment, operation, outcome, reason, "
                "occurred_at, reported_at, reported_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                call.id,
                call.account_id,
                call.environment,
                call.operation,
                outcome,
                reason,
                call.occurred_at,
                reported_at,
                actor,
            )
    except asyncpg.UniqueViolationError:
        raise Problem("outcome-reported", "A verdict on this call was reported before.") from None
    await audit.append(
        transaction, actor, "outcome.report", f"call/{call_id_text(call.id)}", {"outcome": outcome}, now
    )
    return await verdict(transaction, call.id)


async def verdict(connection: Connection, call_id: UUID) -> Verdict:
    """The verdict on a call; `Problem` not-found where none was reported."""
    return _verdict(await _reported(connection, call_id))


async def verdicts(connection: Connection, service: str, limit: int) -> tuple[Verdict, ...]:
    """The latest verdicts on a service's calls in scope, newest first."""
    rows = await connection.fetch(
        f"{_SELECT} WHERE split_part(report.operation, '/', 1) = $1 ORDER BY reported_at DESC, call_id LIMIT $2",
        service,
        limit,
    )
    return tuple(_verdict(row) for row in rows)


async def contest(transaction: Connection, call_id: UUID, reason: str, actor: str, now: datetime) -> Verdict:
    """The provider does not agree: until it is decided the verdict counts for nothing, and its payer is told.

    `Problem` conflict once it was contested, or once its month was judged.
    """
    row = await _reported(transaction, call_id)
    service = row["operation"].partition("/")[0]
    await hold_verdicts(transaction, service)
    row = await _reported(transaction, call_id)
    if _state(row) != "reported":
        raise Problem("conflict", f"The verdict is {_state(row)}; it was contested before.")
    month = Period.of(row["reported_at"], row["timezone"])
    judged = await transaction.fetchval(
        "SELECT EXISTS (SELECT FROM billing.sla_judgement WHERE $4 = 'live' AND service = $1 AND period >= $2 "
        "AND evidence ->> 'outcome' = $3) OR EXISTS (SELECT FROM billing.sandbox_judgement WHERE $4 = 'test' "
        "AND service = $1 AND period >= $2 AND evidence ->> 'outcome' = $3 AND account_id = $5)",
        service,
        month.first_day,
        row["outcome"],
        row["environment"],
        row["account_id"],
    )
    if judged:
        raise Problem(
            "conflict", f"{month} was judged with this verdict; contest one before its month is closed."
        )
    return await _rule(transaction, row, "contested", reason, actor, now)


async def resolve(
    transaction: Connection, call_id: UUID, decision: Decision, reason: str, actor: str, now: datetime
) -> Verdict:
    """Decide a contested verdict, once; the payer is told. `Problem` conflict where nothing is contested."""
    row = await _reported(transaction, call_id)
    await hold_verdicts(transaction, row["operation"].partition("/")[0])
    row = await _reported(transaction, call_id)
    if _state(row) != "contested":
        raise Problem("conflict", f"The verdict is {_state(row)}; only a contested one is decided.")
    return await _rule(transaction, row, decision, reason, actor, now)


_SELECT = """
    SELECT report.call_id, report.account_id, environment, timezone, operation, outcome, report.reason, occurred_at,
           reported_at, coalesce(resolved.step, contested.step) AS step,
           coalesce(resolved.ruled_at, contested.ruled_at) AS ruled_at,
           coalesce(resolved.reason, contested.reason) AS ruling
    FROM billing.outcome_report AS report
    JOIN catalog.account ON account.id = report.account_id
    LEFT JOIN billing.outcome_ruling AS contested
           ON contested.call_id = report.call_id AND contested.step = 'contested'
    LEFT JOIN billing.outcome_ruling AS resolved
           ON resolved.call_id = report.call_id AND resolved.step <> 'contested'
"""


async def _reported(connection: Connection, call_id: UUID) -> asyncpg.Record:
    row = await connection.fetchrow(f"{_SELECT} WHERE report.call_id = $1", call_id)
    if row is None:
        raise Problem("not-found", "No verdict on this call was reported.")
    return row


async def _rule(
    transaction: Connection, row: asyncpg.Record, step: str, reason: str, actor: str, now: datetime
) -> Verdict:
    await transaction.execute(
        "INSERT INTO billing.outcome_ruling (call_id, account_id, step, reason, ruled_at, ruled_by) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        row["call_id"],
        row["account_id"],
        step,
        reason,
        await books_time(transaction, row["account_id"], row["environment"], now),
        actor,
    )
    call = call_id_text(row["call_id"])
    await audit.append(transaction, actor, f"outcome.{step}", f"call/{call}", {"reason": reason}, now)
    told = {"call_id": call, "outcome": row["outcome"], "state": step, "reason": reason}
    await announce(transaction, row["account_id"], row["environment"], f"outcome.{step}", told, now)
    return await verdict(transaction, row["call_id"])


def _state(row: asyncpg.Record) -> VerdictState:
    step: VerdictState | None = row["step"]
    return step or "reported"


def _verdict(row: asyncpg.Record) -> Verdict:
    return Verdict(
        call_id_text(row["call_id"]),
        row["operation"],
        row["outcome"],
        row["reason"],
        _state(row),
        rfc3339(row["occurred_at"]),
        rfc3339(row["reported_at"]),
        None if row["ruled_at"] is None else rfc3339(row["ruled_at"]),
        row["ruling"],
    )

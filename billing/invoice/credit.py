"""A missed objective's credit on the account's document: what is due now minus what was given before."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from billing.invoice.draft import draft_for
from billing.invoice.month import Month, Payer, period_of
from billing.ledger.accounts import ACCRUED, HOUSE, credits_of
from billing.ledger.post import Entry, post
from billing.sla.credit import Credited, credit_amounts, delivered
from billing.sla.judge import Judgement, judge
from billing.transaction import Connection
from catalog.outbox import announce
from catalog.passport import Share
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period


class SlaCredit(msgspec.Struct, frozen=True):
    """One credit on a document, `amount` as it is given (positive). `corrects`: for an earlier month whose document was
    issued. `evidence` is the judgement's: attainment, counts, window, rule and schedule row."""

    service: str
    objective: str
    operation: str | None
    usage_period: Period
    corrects: bool
    credit_pct: Decimal
    charges: Decimal
    amount: Decimal
    delivered_by: Mapping[str, str]
    evidence: Mapping[str, Any]


class _Given(msgspec.Struct, frozen=True):
    step: int
    amount: Decimal


async def credit_months(
    connection: Connection, payer: Payer, environment: Environment, period: Period, now: datetime
) -> int:
    """Put what missed objectives give back onto the account's open documents; the number of lines added.

    The month that is closed and the one before: a document that was issued while the month still ran for others, and a
    charge that came late, find their credit on the next document. Nothing is promised for the sandbox. The caller
    holds the account's books, has rated the months, and commits.
    """
    if environment != "live":
        return 0
    lines = 0
    for month in (period.previous(), period):
        charges = await charges_of(connection, payer.id, month, now)
        for service, by_operation in sorted(charges.items()):
            judged = await judge(connection, service, month, payer.timezone, now)
            lines += await _credit(connection, payer, month, judged, by_operation, now)
    return lines


async def charges_of(
    connection: Connection, account_id: str, period: Period, until: datetime
) -> Mapping[str, Mapping[str, Decimal]]:
    """What a month's live usage was charged, as it was rated up to a moment, by service and operation."""
    rows = await connection.fetch(
        "SELECT operation, sum(amount) AS amount FROM billing.rated_line "
        "WHERE account_id = $1 AND environment = 'live' AND period = $2 AND rated_at <= $3 GROUP BY 1 ORDER BY 1",
        account_id,
        period.first_day,
        until,
    )
    charges: dict[str, dict[str, Decimal]] = {}
    for row in rows:
        charges.setdefault(row["operation"].partition("/")[0], {})[row["operation"]] = row["amount"]
    return charges


def credits_due(
    judged: Sequence[Judgement], charges: Mapping[str, Decimal], currency: str
) -> Mapping[str, Decimal]:
    """The credit of each judged objective of one service and month."""
    if not judged:
        return {}
    credited = [Credited(one.objective, one.operation, one.credit_pct) for one in judged]
    return credit_amounts(charges, credited, judged[0].maximum_credit_pct, currency)


async def _credit(
    connection: Connection,
    payer: Payer,
    period: Period,
    judged: Sequence[Judgement],
    charges: Mapping[str, Decimal],
    now: datetime,
) -> int:
    if not judged:
        return 0
    due = credits_due(judged, charges, payer.currency)
    given = await _given(connection, payer.id, judged[0].service, period)
    lines = 0
    for judgement in judged:
        before = given.get(judgement.objective, _Given(0, Decimal(0)))
        if due[judgement.objective] != before.amount:
            await _add(connection, payer, judgement, charges, before, due[judgement.objective], now)
            lines += 1
    return lines


async def _given(
    connection: Connection, account_id: str, service: str, period: Period
) -> Mapping[str, _Given]:
    rows = await connection.fetch(
        "SELECT DISTINCT ON (objective) objective, step, amount_after FROM billing.credit_line "
        "WHERE account_id = $1 AND environment = 'live' AND service = $2 AND period = $3 "
        "ORDER BY objective, step DESC",
        account_id,
        service,
        period.first_day,
    )
    return {row["objective"]: _Given(row["step"], row["amount_after"]) for row in rows}


async def _add(
    connection: Connection,
    payer: Payer,
    judgement: Judgement,
    charges: Mapping[str, Decimal],
    before: _Given,
    due: Decimal,
    now: datetime,
) -> None:
    amount = due - before.amount
    draft = await draft_for(connection, payer, Month(payer.id, "live", judgement.period), now)
    shares = msgspec.convert(judgement.evidence["delivered_by"], tuple[Share, ...])
    parts = {unit: plain(part) for unit, part in delivered(amount, shares, payer.currency).items()}
    base = sum((charges[name] for name in charges if judgement.operation in (None, name)), Decimal(0))
    line_id = await connection.fetchval(
        "INSERT INTO billing.credit_line (account_id, environment, service, objective, period, timezone, step, currency, "
        "charges, amount, amount_after, delivered_by, invoice_id, booked_at) "
        "VALUES ($1, 'live', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id",
        payer.id,
        judgement.service,
        judgement.objective,
        judgement.period.first_day,
        judgement.timezone,
        before.step + 1,
        payer.currency,
        base,
        amount,
        due,
        msgspec.json.encode(parts).decode(),
        draft.id,
        now,
    )
    await post(
        connection,
        "credit",
        f"credit_line:{line_id}",
        "live",
        now,
        [
            Entry(HOUSE, credits_of(judgement.service), payer.currency, amount),
            Entry(payer.id, ACCRUED, payer.currency, -amount),
        ],
    )
    told = {
        "service": judgement.service,
        "objective": judgement.objective,
        "operation": judgement.operation,
        "period": str(judgement.period),
        "credit_pct": plain(judgement.credit_pct),
        "amount": {"amount": plain(amount), "currency": payer.currency},
    }
    await announce(connection, payer.id, "live", "sla.credited", told, now)


async def credit_lines(connection: Connection, invoice_id: str) -> tuple[SlaCredit, ...]:
    """The credits on a document, in the order of their services and months; they never change."""
    rows = await connection.fetch(
        """
        SELECT line.service, line.objective, judgement.operation, line.period, invoice.period <> line.period AS corrects,
               credit_pct, charges, line.amount, delivered_by, evidence
        FROM billing.credit_line AS line
        JOIN billing.sla_judgement AS judgement USING (service, objective, period, timezone)
        JOIN billing.invoice ON invoice.id = line.invoice_id
        WHERE line.invoice_id = $1 ORDER BY corrects, line.period, line.service, line.id
        """,
        invoice_id,
    )
    return tuple(
        SlaCredit(
            row["service"],
            row["objective"],
            row["operation"],
            period_of(row["period"]),
            row["corrects"],
            row["credit_pct"],
            row["charges"],
            row["amount"],
            msgspec.json.decode(row["delivered_by"]),
            msgspec.json.decode(row["evidence"]),
        )
        for row in rows
    )


async def credit_total(connection: Connection, invoice_id: str) -> Decimal:
    """What the credits on a document come to."""
    total: Decimal = await connection.fetchval(
        "SELECT coalesce(sum(amount), 0) FROM billing.credit_line WHERE invoice_id = $1", invoice_id
    )
    return total

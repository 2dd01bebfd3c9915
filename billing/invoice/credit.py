"""A missed objective's credit on the account's document: what is due now minus what was given before."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from billing.invoice.charge import NEVER, ChargeKey, ChargeLine, Due, book, booked_charges
from billing.invoice.month import Month, Payer, period_of
from billing.invoice.transfer import by_unit
from billing.sla.credit import Credited, credit_amounts
from billing.sla.judge import JUDGED_LINE, Judgement, judge
from billing.transaction import Connection
from catalog.outbox import announce
from catalog.passport import Share
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain
from catalog.vocabulary.period import Period


class SlaCredit(msgspec.Struct, frozen=True):
    """Why a credit is on a document: `credit_pct` of `charges`. `evidence` is the judgement's: attainment, counts, window,
    rule and schedule row, without how the units that deliver the service share it: that is the group's own business."""

    objective: str
    operation: str | None
    credit_pct: Decimal
    charges: Decimal
    evidence: Mapping[str, Any]


class Judged:
    """The judgements of a close. Those of live months are final and the same for every account of a calendar, so that each
    is read once; a sandbox's are its account's own."""

    def __init__(self) -> None:
        """Nothing is judged yet."""
        self._kept: dict[tuple[str, Period, str], tuple[Judgement, ...]] = {}
        self._new: dict[tuple[str, Period, str], tuple[Judgement, ...]] = {}

    async def of(
        self, connection: Connection, service: str, payer: Payer, month: Month, now: datetime
    ) -> tuple[Judgement, ...]:
        """As `billing.sla.judge`, for the books of a month."""
        if month.environment == "test":
            return await judge(connection, service, month.period, payer.timezone, now, payer.id)
        key = (service, month.period, payer.timezone)
        known = self._kept.get(key, self._new.get(key))
        if known is None:
            known = self._new[key] = await judge(connection, service, month.period, payer.timezone, now)
        return known

    def ended(self, *, committed: bool) -> None:
        """The transaction has ended: what was judged in it stands, or has to be judged again."""
        if committed:
            self._kept |= self._new
        self._new.clear()


async def credit_months(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    period: Period,
    judged: Judged,
    now: datetime,
) -> int:
    """Put what missed objectives give back onto the account's open documents; the number of lines added.

    The month that is closed and the one before: a document that was issued while the month still ran for others, and a
    charge that came late, find their credit on the next document. A sandbox's document shows what the live one would: its
    own test calls decide, and nobody pays. The caller holds the account's books, has rated the months, and commits.
    """
    lines = 0
    months = [Month(payer.id, environment, one) for one in (period.previous(), period)]
    charges = await charges_of(connection, payer.id, environment, [month.period for month in months], now)
    for month in months:
        for service, by_operation in sorted(charges[month.period].items()):
            due_for = await judged.of(connection, service, payer, month, now)
            lines += await _credit(connection, payer, month, due_for, by_operation, now)
    return lines


Charges: TypeAlias = Mapping[str, Mapping[str, Decimal]]
"""Amounts by service and operation."""


async def charges_of(
    connection: Connection,
    account_id: str,
    environment: Environment,
    periods: Sequence[Period],
    until: datetime,
) -> Mapping[Period, Charges]:
    """What the usage of months was charged, as it was rated up to a moment."""
    rows = await connection.fetch(
        "SELECT period, operation, sum(amount) AS amount FROM billing.rated_line "
        "WHERE account_id = $1 AND environment = $4 AND period = ANY($2) AND rated_at <= $3 GROUP BY 1, 2 ORDER BY 1, 2",
        account_id,
        [period.first_day for period in periods],
        until,
        environment,
    )
    charges: dict[Period, dict[str, dict[str, Decimal]]] = {period: {} for period in periods}
    for row in rows:
        of_service = charges[period_of(row["period"])].setdefault(row["operation"].partition("/")[0], {})
        of_service[row["operation"]] = row["amount"]
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
    month: Month,
    judged: Sequence[Judgement],
    charges: Mapping[str, Decimal],
    now: datetime,
) -> int:
    if not judged:
        return 0
    given = await booked_charges(connection, month, ["credit"])
    amounts = credits_due(judged, charges, payer.currency)
    moved = []
    for judgement in judged:
        key = ChargeKey("credit", judgement.service, judgement.objective)
        before = given.get(key, NEVER)
        amount = -amounts[judgement.objective]
        if amount != before.amount:
            moved.append(
                (_due(judgement, key, month, charges, amount, before.amount, payer.currency), before)
            )
            await _tell(connection, payer, month, judgement, before.amount - amount, now)
    await book(connection, payer, month, moved, now)
    return len(moved)


def _due(
    judgement: Judgement,
    key: ChargeKey,
    month: Month,
    charges: Mapping[str, Decimal],
    amount: Decimal,
    before: Decimal,
    currency: str,
) -> Due:
    shares = msgspec.convert(judgement.evidence["delivered_by"], tuple[Share, ...])
    parts = {unit: plain(part) for unit, part in by_unit(before - amount, shares, currency).items()}
    base = sum((charges[name] for name in charges if judgement.operation in (None, name)), Decimal(0))
    calendar = judgement.timezone if month.environment == "live" else None
    return Due(key, base, amount, {"delivered_by": parts}, calendar)


async def _tell(
    connection: Connection, payer: Payer, month: Month, judgement: Judgement, amount: Decimal, now: datetime
) -> None:
    told = {
        "service": judgement.service,
        "objective": judgement.objective,
        "operation": judgement.operation,
        "period": str(judgement.period),
        "credit_pct": plain(judgement.credit_pct),
        "amount": {"amount": plain(amount), "currency": payer.currency},
    }
    await announce(connection, payer.id, month.environment, "sla.credited", told, now)


async def judged_credits(
    connection: Connection, invoice_id: str, lines: Sequence[ChargeLine]
) -> Mapping[int, SlaCredit]:
    """What the credits among a document's charges were given for, by the charge's id."""
    if not any(line.key.kind == "credit" for line in lines):
        return {}
    rows = await connection.fetch(
        f"""
        SELECT line.id, line.service, line.name AS objective, judgement.operation, credit_pct, base,
               evidence - 'delivered_by' AS evidence
        FROM billing.charge_line AS line, {JUDGED_LINE}
        WHERE line.invoice_id = $1 AND line.kind = 'credit'
        """,  # noqa: S608 - a constant
        invoice_id,
    )
    return {
        row["id"]: SlaCredit(
            row["objective"],
            row["operation"],
            row["credit_pct"],
            row["base"],
            msgspec.json.decode(row["evidence"]),
        )
        for row in rows
    }

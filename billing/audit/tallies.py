"""The books of one environment, cell by cell: calls and money by account, month, operation and price version."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import TypeAlias

import msgspec

from billing.audit.rerating import rerated_months
from billing.invoice.month import period_of
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period


class Cell(msgspec.Struct, frozen=True, order=True):
    """What every book counts by."""

    account_id: str
    period: Period
    operation: str
    price_version: str

    def __str__(self) -> str:
        """For messages: `acct_… 2026-11 address/validate pv_…`."""
        return f"{self.account_id} {self.period} {self.operation} {self.price_version or '(no price)'}"


class Figure(msgspec.Struct, frozen=True):
    """Calls and money of a cell, the money in its account's currency; None where nobody can say what they cost."""

    calls: int = 0
    amount: Decimal | None = Decimal(0)

    def __add__(self, other: "Figure") -> "Figure":
        unknown = self.amount is None or other.amount is None
        amount = None if unknown else (self.amount or Decimal(0)) + (other.amount or Decimal(0))
        return Figure(self.calls + other.calls, amount)


Tally: TypeAlias = Mapping[Cell, Figure]

_RATED = """
    SELECT account_id, period, operation, price_version,
           sum(calls_after - calls_before)::bigint AS calls, sum(amount) AS amount
    FROM billing.rated_line WHERE environment = $1 GROUP BY 1, 2, 3, 4
"""
# A line without an amount needs no posting.
_POSTED = """
    SELECT line.account_id, line.period, line.operation, line.price_version,
           sum(line.calls_after - line.calls_before)::bigint AS calls, coalesce(sum(posted.amount), 0) AS amount
    FROM billing.rated_line AS line
    LEFT JOIN (SELECT source, sum(amount) AS amount
               FROM billing.ledger_transaction JOIN billing.posting ON transaction_id = ledger_transaction.id
               WHERE kind = 'rating' AND environment = $1 AND ledger_account = 'accrued' GROUP BY source) AS posted
      ON posted.source = 'rated_line:' || line.id
    WHERE line.environment = $1 AND (line.amount = 0 OR posted.source IS NOT NULL) GROUP BY 1, 2, 3, 4
"""
_INVOICED = """
    SELECT account_id, period, operation, price_version, sum(calls)::bigint AS calls, sum(amount) AS amount
    FROM (SELECT line.account_id, line.period, operation, price_version, calls_after - calls_before AS calls, amount
          FROM billing.rated_line AS line JOIN billing.invoice ON invoice.id = invoice_id
          WHERE line.environment = $1 AND state = 'draft'
          UNION ALL
          SELECT line.account_id, usage_period, operation, price_version, calls, amount
          FROM billing.invoice_line AS line JOIN billing.invoice ON invoice.id = invoice_id
          WHERE environment = $1 AND state = 'issued') AS line
    GROUP BY 1, 2, 3, 4
"""


async def stored(connection: Connection, environment: Environment) -> tuple[Tally, tuple[str, ...]]:
    """Calls from the usage rows themselves, and what they come to when they are rated anew; and a sentence for each
    month that cannot be rated, whose amounts nobody can say."""
    figures: dict[Cell, Figure] = {}
    unratable: list[str] = []
    async for one in rerated_months(connection, environment):
        if one.unratable:
            unratable.append(f"{environment} {one}")
        for line in one.lines:
            cell = Cell(one.month.account_id, one.month.period, line.key.operation, line.key.price_version)
            amount = None if line.rating is None else line.rating.amount
            figures[cell] = figures.get(cell, Figure()) + Figure(line.used.calls, amount)
    return figures, tuple(unratable)


async def rated(connection: Connection, environment: Environment) -> Tally:
    """What the rated lines add up to."""
    return await _tally(connection, _RATED, environment)


async def posted(connection: Connection, environment: Environment) -> Tally:
    """The rated lines that the ledger knows, at the amounts that it knows."""
    return await _tally(connection, _POSTED, environment)


async def invoiced(connection: Connection, environment: Environment) -> Tally:
    """The frozen lines of issued documents and what stands on open drafts."""
    return await _tally(connection, _INVOICED, environment)


async def _tally(connection: Connection, query: str, environment: Environment) -> Tally:
    rows = await connection.fetch(query, environment)
    return {_cell(*row[:4]): Figure(row["calls"], row["amount"]) for row in rows}


def _cell(account_id: str, period: date, operation: str, price_version: str) -> Cell:
    return Cell(account_id, period_of(period), operation, price_version)

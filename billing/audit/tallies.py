"""The books of one environment, cell by cell: calls and money by account, month, operation and price version."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import TypeAlias

import msgspec

from billing.audit.rerating import rerated_lines
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
    """Calls and money of a cell, the money in its account's currency."""

    calls: int = 0
    amount: Decimal = Decimal(0)


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


async def stored(connection: Connection, environment: Environment) -> Tally:
    """Calls from the usage rows themselves, and what they come to when they are rated anew."""
    figures: dict[Cell, Figure] = {}
    async for line in rerated_lines(connection, environment):
        cell = Cell(line.month.account_id, line.month.period, line.key.operation, line.key.price_version)
        so_far = figures.get(cell, Figure())
        figures[cell] = Figure(so_far.calls + line.used.calls, so_far.amount + line.rating.amount)
    return figures


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

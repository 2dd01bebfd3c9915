"""What a dispute holds: what would come off the bill with it, if the other open disputes over its document are accepted too.

So all that is held of a document is what would be credited if everything was accepted, and never more than it comes to.
"""

from datetime import datetime
from decimal import Decimal

import asyncpg

from billing.invoice.disputed import disputes_of_line, undecided
from billing.invoice.month import Payer
from billing.invoice.taken_off import LessUsed, Parts, sum_of, taken_off
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period

_ON_DOCUMENT = """
    SELECT coalesce(sum(amount), 0) FROM billing.rated_line
    WHERE invoice_id = $1 AND concat_ws(' ', 'usage', operation, to_char(period, 'YYYY-MM'), nullif(price_version, '')) = $2
"""
_LEFT_TO_CREDIT = """
    SELECT total - (SELECT coalesce(sum(note.total), 0) FROM billing.credit_note AS note WHERE note.invoice_id = invoice.id)
        - (SELECT coalesce(sum(hold.amount), 0)
           FROM billing.dispute JOIN billing.dispute_hold AS hold ON hold.dispute_id = dispute.id
           WHERE dispute.invoice_id = invoice.id
             AND NOT EXISTS (SELECT FROM billing.dispute_ruling AS ruling WHERE ruling.dispute_id = dispute.id))
    FROM billing.invoice WHERE id = $1
"""


async def line_left(connection: Connection, invoice_id: str, line: str) -> Decimal:
    """What a document's line, as `line_name` says it, comes to without what accepted disputes took off it."""
    amount: Decimal = await connection.fetchval(_ON_DOCUMENT, invoice_id, line)
    accepted = (row["accepted"] for row in await disputes_of_line(connection, invoice_id, line))
    return amount - sum((part for part in accepted if part is not None), Decimal(0))


async def left_to_credit(connection: Connection, invoice_id: str) -> Decimal:
    """What of an issued document is neither credited nor held."""
    left: Decimal = await connection.fetchval(_LEFT_TO_CREDIT, invoice_id)
    return left


async def would_come_off(
    connection: Connection, payer: Payer, environment: Environment, invoice_id: str, one: LessUsed
) -> Parts:
    """What would come off for a part of an issued document, if all that is held of it was accepted as well."""
    held = [row for row in await undecided(connection, invoice_id) if row["held"] is not None]
    besides = [await _less_used(connection, row) for row in held]
    return await taken_off(connection, payer, environment, [one], besides)


def less_used(line: str, service: str, amount: Decimal) -> LessUsed:
    """So much less of a line of calls; its name says the month of the calls."""
    _, _, month, *_ = line.split()
    return LessUsed(Period.parse(month), service, amount)


async def hold(
    connection: Connection, dispute_id: str, account_id: str, amount: Decimal, now: datetime
) -> None:
    """Hold an amount for a dispute over an issued document, with its posting."""
    await connection.execute(
        "INSERT INTO billing.dispute_hold (dispute_id, account_id, amount, held_at) VALUES ($1, $2, $3, $4)",
        dispute_id,
        account_id,
        amount,
        now,
    )


async def hold_from_issue(
    connection: Connection, payer: Payer, environment: Environment, invoice_id: str, now: datetime
) -> None:
    """Hold what was contested of a document before it was issued; called in the transaction that issues it."""
    for row in await undecided(connection, invoice_id):
        left = await left_to_credit(connection, invoice_id)
        one = await _less_used(connection, row)
        parts = await would_come_off(connection, payer, environment, invoice_id, one)
        await hold(connection, row["id"], payer.id, max(min(sum_of(parts), left), Decimal(0)), now)


async def _less_used(connection: Connection, row: asyncpg.Record) -> LessUsed:
    """What a dispute is about; no more than is left of its line, which was less on a draft that moved."""
    left = await line_left(connection, row["invoice_id"], row["line"])
    return less_used(row["line"], row["service"], max(min(row["amount"], left), Decimal(0)))

"""The books of an environment against each other, in one snapshot of the database."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from billing.audit.paid import PAYMENT_FAULTS
from billing.audit.restored import RESTORED_FAULT
from billing.audit.tallies import Cell, Figure, Tally, invoiced, posted, rated, stored
from billing.prepaid.faults import PREPAID_FAULTS
from billing.result.faults import RESULT_FAULT
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain

_BOOKS = ("stored", "rated", "posted", "invoiced")


class Comparison(msgspec.Struct, frozen=True):
    """Calls by book, and how far the books are apart: `diff` in calls, `money_diff` in all currencies added up."""

    calls: Mapping[str, int]
    diff: int
    money_diff: Decimal
    differences: tuple[str, ...]


async def compare(connection: Connection, environment: Environment) -> Comparison:
    """Stored, rated, posted and invoiced, cell by cell, and the ledger against the documents.

    Only reads, in the caller's transaction, which must be REPEATABLE READ. Stored money is what a single rating of the
    usage rows comes to, so every other book is held against an independent calculation. All calls of a month that
    cannot be rated are a difference, whatever the other books say of them.
    """
    stored_tally, unratable = await stored(connection, environment)
    tallies: dict[str, Tally] = {
        "stored": stored_tally,
        "rated": await rated(connection, environment),
        "posted": await posted(connection, environment),
        "invoiced": await invoiced(connection, environment),
    }
    diff, money_diff = 0, Decimal(0)
    differences = list(unratable)
    for cell in sorted(set().union(*tallies.values())):
        figures = {book: tallies[book].get(cell, Figure()) for book in _BOOKS}
        calls = [figure.calls for figure in figures.values()]
        amounts = [figure.amount for figure in figures.values() if figure.amount is not None]
        diff += max(calls) - (min(calls) if len(amounts) == len(calls) else 0)
        money_diff += max(amounts) - min(amounts)
        differences.extend(_named(environment, cell, figures))
    for sentence, amount in await _ledger_faults(connection, environment):
        money_diff += amount
        differences.append(f"{environment} {sentence}")
    totals = {book: sum(figure.calls for figure in tally.values()) for book, tally in tallies.items()}
    return Comparison(totals, diff, money_diff, tuple(differences))


def _named(environment: Environment, cell: Cell, figures: Mapping[str, Figure]) -> Iterator[str]:
    if len({figure.calls for figure in figures.values()}) > 1:
        yield f"{environment} {cell}: calls " + _words({b: str(f.calls) for b, f in figures.items()})
    amounts = {book: figure.amount for book, figure in figures.items() if figure.amount is not None}
    if len(set(amounts.values())) > 1:
        yield f"{environment} {cell}: money " + _words({b: plain(amount) for b, amount in amounts.items()})


def _words(values: Mapping[str, str]) -> str:
    return ", ".join(f"{book} {value}" for book, value in values.items())


_UNBALANCED = """
    SELECT 'ledger ' || currency || ' does not sum to zero', abs(sum(amount))
    FROM billing.posting JOIN billing.ledger_transaction ON ledger_transaction.id = transaction_id
    WHERE environment = $1 GROUP BY currency HAVING sum(amount) <> 0
"""
_TOTALS = """
    SELECT invoice.number || ': total ' || invoice.total || ', lines ' || lines.amount || ', posted ' || posted.amount,
           greatest(invoice.total, lines.amount, posted.amount) - least(invoice.total, lines.amount, posted.amount)
    FROM billing.invoice
    CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS amount
                        FROM (SELECT amount FROM billing.invoice_line WHERE invoice_id = invoice.id UNION ALL
                              SELECT amount FROM billing.charge_line WHERE invoice_id = invoice.id) AS line) AS lines
    CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS amount
                        FROM billing.ledger_transaction JOIN billing.posting ON transaction_id = ledger_transaction.id
                        WHERE kind = 'issue' AND source = 'invoice:' || invoice.id
                          AND ledger_account = 'receivable') AS posted
    WHERE environment = $1 AND state = 'issued'
      AND (invoice.total <> lines.amount OR invoice.total <> posted.amount)
"""
# What is accrued is what stands on drafts: rated or charged, and not yet on an issued document.
_ACCRUED = """
    SELECT account_id || ' ' || currency || ': accrued ' || coalesce(ledger.amount, 0)
           || ', on drafts ' || coalesce(drafts.amount, 0),
           abs(coalesce(ledger.amount, 0) - coalesce(drafts.amount, 0))
    FROM (SELECT account_id, currency, sum(amount) AS amount
          FROM billing.posting JOIN billing.ledger_transaction ON ledger_transaction.id = transaction_id
          WHERE environment = $1 AND ledger_account = 'accrued' GROUP BY 1, 2) AS ledger
    FULL JOIN (SELECT line.account_id, line.currency, sum(amount) AS amount
               FROM (SELECT account_id, environment, currency, amount, invoice_id FROM billing.rated_line UNION ALL
                     SELECT account_id, environment, currency, amount, invoice_id FROM billing.charge_line) AS line
               JOIN billing.invoice ON invoice.id = invoice_id
               WHERE line.environment = $1 AND state = 'draft' GROUP BY 1, 2) AS drafts
    USING (account_id, currency)
    WHERE coalesce(ledger.amount, 0) <> coalesce(drafts.amount, 0)
"""


async def _ledger_faults(connection: Connection, environment: Environment) -> list[tuple[str, Decimal]]:
    return [
        (row[0], row[1])
        for query in (
            _UNBALANCED,
            _TOTALS,
            _ACCRUED,
            *PREPAID_FAULTS,
            RESTORED_FAULT,
            RESULT_FAULT,
            *PAYMENT_FAULTS,
        )
        for row in await connection.fetch(query, environment)
    ]

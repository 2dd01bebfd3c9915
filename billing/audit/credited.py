"""Credit notes against their lines, their postings and the documents that they stand for: one sentence a difference."""

from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec

from billing.ledger.accounts import NET_CREDIT
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain

_TOTALS = """
    SELECT number, total, coalesce((SELECT sum(amount) FROM billing.credit_note_line
                                    WHERE credit_note_id = credit_note.id), 0) AS lines
    FROM billing.credit_note WHERE environment = $1
"""
# Of the two reasons whose lines have reduced revenue before, or never do, the whole is posted at once.
_LEDGER = """
    WITH note AS (
        SELECT *, 'credit_note:' || id AS booked_as,
               CASE reason WHEN 'dispute_lost' THEN 'loss' WHEN 'net_credit' THEN $2 END AS whole
        FROM billing.credit_note WHERE environment = $1
    ), due (source, booked_at, account_id, ledger_account, currency, amount) AS (
        SELECT booked_as, issued_at, account_id, CASE reason WHEN 'dispute_lost' THEN 'disputed' ELSE 'receivable' END,
               currency, -total FROM note
        UNION ALL
        SELECT booked_as, issued_at, 'house', whole, currency, total FROM note WHERE whole IS NOT NULL
        UNION ALL
        SELECT booked_as, issued_at, 'house', CASE WHEN service = 'tax' THEN 'tax' WHEN line.kind <> 'credited' THEN line.kind || ':' || service WHEN reason = 'sla_credit'
               THEN 'credits:' || service ELSE 'earnings:' || service END, currency, line.amount
        FROM note JOIN billing.credit_note_line AS line ON credit_note_id = note.id WHERE whole IS NULL
    ), booked AS (
        SELECT source, booked_at, account_id, ledger_account, currency, amount
        FROM billing.ledger_transaction JOIN billing.posting ON transaction_id = ledger_transaction.id
        WHERE environment = $1 AND kind = 'credit_note'
    )
    (SELECT 'is due and not posted' AS what, * FROM (TABLE due EXCEPT ALL TABLE booked) AS lost)
    UNION ALL
    (SELECT 'is posted and not due' AS what, * FROM (TABLE booked EXCEPT ALL TABLE due) AS invented)
    ORDER BY source, ledger_account, what
"""
# What a document says was credited in its place, and the credit notes that were issued for it, by corrected invoice.
_IN_PLACE = """
    SELECT invoice.number, total, charge.amount, charge.detail,
           (SELECT coalesce(jsonb_object_agg(corrected.number, note.total::text), '{}')
            FROM billing.credit_note AS note JOIN billing.invoice AS corrected ON corrected.id = note.invoice_id
            WHERE note.source = 'net_credit:' || invoice.id || ':' || corrected.id) AS given
    FROM billing.charge_line AS charge JOIN billing.invoice ON invoice.id = charge.invoice_id
    WHERE charge.kind = 'net_credit' AND charge.environment = $1 ORDER BY invoice.number
"""
# What a dispute took off the bill, and what its credit note gives: none where that is nothing.
_TAKEN_OFF = """
    SELECT dispute.id, sum(part.amount) AS amount, coalesce(note.total, 0) AS given, decision
    FROM billing.dispute JOIN billing.dispute_credit AS part ON part.dispute_id = dispute.id
    LEFT JOIN billing.dispute_ruling AS ruling ON ruling.dispute_id = dispute.id
    LEFT JOIN billing.credit_note AS note ON note.id = credit_note_id
    WHERE dispute.environment = $1 GROUP BY 1, 3, 4
    HAVING sum(part.amount) <> coalesce(note.total, 0) OR decision IS DISTINCT FROM 'accepted' ORDER BY 1
"""


class _InPlace(msgspec.Struct, frozen=True):
    credited: dict[str, Decimal]
    credited_before: Decimal


async def credit_note_differences(connection: Connection, environment: Environment) -> AsyncIterator[str]:
    """What is wrong with the credit notes of an environment; nothing where all is well."""
    for row in await connection.fetch(_TOTALS, environment):
        if row["total"] != row["lines"]:
            yield f"{environment} {row['number']}: its total is {plain(row['total'])}, its lines {plain(row['lines'])}"
    for row in await connection.fetch(_LEDGER, environment, NET_CREDIT):
        entry = f"{row['account_id']} {row['ledger_account']} {plain(row['amount'])} {row['currency']}"
        yield f"{environment} {row['source']}: {entry} {row['what']}"
    for row in await connection.fetch(_TAKEN_OFF, environment):
        yield (
            f"{environment} dispute:{row['id']} ({row['decision'] or 'open'}): takes {plain(row['amount'])} off the bill, "
            f"its credit note gives {plain(row['given'])}"
        )
    for row in await connection.fetch(_IN_PLACE, environment):
        said = msgspec.json.decode(row["detail"], type=_InPlace)
        given = msgspec.json.decode(row["given"], type=dict[str, Decimal])
        whole = sum(said.credited.values(), said.credited_before)
        if (row["total"], whole, said.credited) != (0, row["amount"], given):
            yield (
                f"{environment} {row['number']}: comes to {plain(row['total'])} with {plain(row['amount'])} credited "
                f"elsewhere, of which credit notes give {plain(sum(given.values(), Decimal(0)))}"
            )

"""What units are owed and what payers dispute, against the documents: one sentence a difference."""

from collections.abc import AsyncIterator
from decimal import Decimal

from billing.transaction import Connection
from catalog.vocabulary.apportion import apportion
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import plain

# What each document with transfers says of each service, beside what was divided. A credit note has no row in `invoice`.
_DIVIDED = """
    SELECT document_id, service, currency, array_agg(share_pct ORDER BY unit) AS shares,
           array_agg(revenue ORDER BY unit) AS parts, sum(revenue) AS revenue, sum(credits) AS credits
    FROM billing.transfer WHERE environment = $1 GROUP BY 1, 2, 3
"""
_EARNED = """
    SELECT invoice_id AS document_id, service, sum(revenue) AS revenue, sum(credits) AS credits
    FROM (SELECT invoice_id, split_part(operation, '/', 1) AS service, amount AS revenue, 0 AS credits
          FROM billing.invoice_line
          UNION ALL
          SELECT invoice_id, service, CASE kind WHEN 'credit' THEN 0 ELSE amount END,
                 CASE kind WHEN 'credit' THEN -amount ELSE 0 END
          FROM billing.charge_line WHERE kind <> 'tax' AND service <> ''
          UNION ALL
          SELECT credit_note_id, service, CASE reason WHEN 'sla_credit' THEN 0 ELSE -amount END,
                 CASE reason WHEN 'sla_credit' THEN amount ELSE 0 END
          FROM billing.credit_note_line JOIN billing.credit_note ON credit_note.id = credit_note_id
          WHERE reason NOT IN ('dispute_lost', 'net_credit')) AS line
    GROUP BY 1, 2
"""
_UNEQUAL = f"""
    SELECT divided.*, earned.revenue AS revenue_due, earned.credits AS credits_due
    FROM ({_DIVIDED}) AS divided LEFT JOIN ({_EARNED}) AS earned USING (document_id, service)
    ORDER BY document_id, service
"""  # noqa: S608 - constants of this file
# A document is divided whole or not at all: a service that is missing beside others was lost.
_FORGOTTEN = f"""
    SELECT document_id, service FROM ({_EARNED}) AS earned
    WHERE (revenue <> 0 OR credits <> 0) AND service IN (SELECT service FROM catalog.passport)
      AND document_id IN (SELECT document_id FROM billing.transfer WHERE environment = $1)
      AND NOT EXISTS (SELECT FROM billing.transfer
                      WHERE (document_id, service) = (earned.document_id, earned.service))
    ORDER BY 1, 2
"""  # noqa: S608 - constants of this file
# Every posting that transfers and disputes call for, and every posting that there is.
_LEDGER = """
    WITH owed AS (
        SELECT 'transfer:' || document_id AS source, transfer.booked_at, unit, transfer.currency,
               CASE account.kind WHEN 'internal' THEN account_id ELSE 'house' END AS debtor,
               sum(revenue - credits) AS amount
        FROM billing.transfer JOIN catalog.account ON account.id = account_id
        WHERE environment = $1 GROUP BY 1, 2, 3, 4, 5 HAVING sum(revenue - credits) <> 0
    ), held AS (
        SELECT dispute.id, dispute.account_id, dispute.currency, hold.amount, held_at, ruled_at
        FROM billing.dispute JOIN billing.dispute_hold AS hold ON hold.dispute_id = dispute.id AND hold.amount > 0
        LEFT JOIN billing.dispute_ruling AS ruling ON ruling.dispute_id = dispute.id
        WHERE dispute.environment = $1
    ), due (kind, source, booked_at, account_id, ledger_account, currency, amount) AS (
        SELECT 'transfer', source, booked_at, 'unit:' || unit, 'due_from:' || debtor, currency, amount FROM owed
        UNION ALL
        SELECT 'transfer', source, booked_at, debtor, 'due_to:' || unit, currency, -amount FROM owed
        UNION ALL
        SELECT 'dispute_held', 'dispute:' || id, held_at, account_id, ledger_account, currency, sign * amount
        FROM held, (VALUES ('disputed', 1), ('receivable', -1)) AS side (ledger_account, sign)
        UNION ALL
        SELECT 'dispute_released', 'dispute:' || id, ruled_at, account_id, ledger_account, currency, sign * amount
        FROM held, (VALUES ('disputed', -1), ('receivable', 1)) AS side (ledger_account, sign)
        WHERE ruled_at IS NOT NULL
    ), booked AS (
        SELECT kind, source, booked_at, account_id, ledger_account, currency, amount
        FROM billing.ledger_transaction JOIN billing.posting ON transaction_id = ledger_transaction.id
        WHERE environment = $1 AND kind IN ('transfer', 'dispute_held', 'dispute_released')
    )
    (SELECT 'is due and not posted' AS what, * FROM (TABLE due EXCEPT ALL TABLE booked) AS lost)
    UNION ALL
    (SELECT 'is posted and not due' AS what, * FROM (TABLE booked EXCEPT ALL TABLE due) AS invented)
    ORDER BY source, ledger_account, what
"""
# Every dispute that was open when its document was issued, or was opened later, is held from then on.
_NOT_HELD = """
    SELECT dispute.id, greatest(opened_at, issued_at) AS due_at, held_at
    FROM billing.dispute JOIN billing.invoice ON invoice.id = invoice_id AND invoice.state = 'issued'
    LEFT JOIN billing.dispute_hold AS hold ON hold.dispute_id = dispute.id
    LEFT JOIN billing.dispute_ruling AS ruling ON ruling.dispute_id = dispute.id
    WHERE dispute.environment = $1 AND held_at IS DISTINCT FROM greatest(opened_at, issued_at)
      AND NOT (held_at IS NULL AND ruled_at <= issued_at) ORDER BY 1
"""


async def settlement_differences(connection: Connection, environment: Environment) -> AsyncIterator[str]:
    """Transfers against what their documents earned, and the postings of transfers and disputes."""
    for row in await connection.fetch(_UNEQUAL, environment):
        place = f"{environment} transfer of {row['document_id']} {row['service']}"
        for what in ("revenue", "credits"):
            if row[what] != row[f"{what}_due"]:
                due = row[f"{what}_due"]
                yield f"{place}: divides {what} {plain(row[what])}, due is {plain(due or Decimal(0))}"
        if tuple(row["parts"]) != apportion(row["revenue"], row["shares"], row["currency"]):
            yield f"{place}: its parts are not those of its percentages"
    for row in await connection.fetch(_FORGOTTEN, environment):
        yield f"{environment} transfer of {row['document_id']} {row['service']}: is missing"
    for row in await connection.fetch(_NOT_HELD, environment):
        yield f"{environment} dispute:{row['id']}: is held from {row['held_at']} on, due is {row['due_at']}"
    for row in await connection.fetch(_LEDGER, environment):
        entry = f"{row['account_id']} {row['ledger_account']} {plain(row['amount'])} {row['currency']}"
        yield f"{environment} {row['source']}: {entry} {row['what']}"

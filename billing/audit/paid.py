"""What cannot be if the books of payments are right: questions for `ordergate reconcile`, each row a sentence and an amount."""

from billing.payment.owed import CONTESTED, OWED

# Every posting that the facts of settlements call for, and every posting of their kinds that there is.
_POSTED = """
    WITH side (kind, debtor, debit, creditor, credit) AS (VALUES
        ('payment', 'house', 'cash', '', 'receivable'), ('payment_fee', 'house', 'payment_fees', 'house', 'cash'),
        ('refund', '', 'receivable', 'house', 'cash'), ('refund_failed', 'house', 'cash', '', 'receivable'),
        ('dispute_opened', '', 'disputed', 'house', 'cash'), ('dispute_fee', 'house', 'dispute_fees', 'house', 'cash'),
        ('dispute_won', 'house', 'cash', '', 'disputed'), ('dispute_lost', 'house', 'loss', '', 'disputed'),
        ('bank_payment', 'house', 'bank', '', 'receivable'), ('bank_refund', '', 'receivable', 'house', 'bank'),
        ('written_off', 'house', 'written_off', '', 'receivable'), ('written_back', '', 'receivable', 'house', 'written_off')
    ), fact AS (
        SELECT kind, source, currency, amount, debit, credit,
               coalesce(nullif(debtor, ''), account_id) AS debtor, coalesce(nullif(creditor, ''), account_id) AS creditor
        FROM billing.settlement_entry JOIN side USING (kind) WHERE $1 = 'live' AND amount <> 0
    ), due (kind, source, account_id, ledger_account, currency, amount) AS (
        SELECT kind, source, debtor, debit, currency, amount FROM fact
        UNION ALL
        SELECT kind, source, creditor, credit, currency, -amount FROM fact
    ), booked AS (
        SELECT kind, source, account_id, ledger_account, currency, amount
        FROM billing.ledger_transaction JOIN billing.posting ON transaction_id = ledger_transaction.id
        WHERE environment = $1 AND kind IN (SELECT kind FROM side)
    )
    SELECT kind || ' ' || source || ': ' || account_id || ' ' || ledger_account || ' ' || amount || ' ' || currency
           || ' ' || what, abs(amount)
    FROM (SELECT 'is due and not posted' AS what, * FROM (TABLE due EXCEPT ALL TABLE booked) AS lost
          UNION ALL
          SELECT 'is posted and not due' AS what, * FROM (TABLE booked EXCEPT ALL TABLE due) AS invented) AS found
    ORDER BY kind, source, ledger_account, what
"""
# What the ledger says that a payer owes is what is left of its documents, without what is contested.
_RECEIVABLE = f"""
    SELECT account_id || ' ' || currency || ': receivable ' || coalesce(ledger.amount, 0)
           || ', by its documents ' || coalesce(documents.amount, 0),
           abs(coalesce(ledger.amount, 0) - coalesce(documents.amount, 0))
    FROM (SELECT account_id, currency, sum(amount) AS amount
          FROM billing.posting JOIN billing.ledger_transaction ON ledger_transaction.id = transaction_id
          WHERE environment = $1 AND ledger_account = 'receivable' GROUP BY 1, 2) AS ledger
    FULL JOIN (SELECT account_id, currency, sum({OWED} - {CONTESTED}) AS amount
               FROM billing.invoice WHERE environment = $1 AND state = 'issued' GROUP BY 1, 2) AS documents
    USING (account_id, currency)
    WHERE coalesce(ledger.amount, 0) <> coalesce(documents.amount, 0)
"""  # noqa: S608 - constants of this product

PAYMENT_FAULTS = (_POSTED, _RECEIVABLE)

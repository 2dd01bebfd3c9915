"""What cannot be if prepaid credit is right: questions for `ordergate reconcile`, each row a sentence and an amount."""

# What the ledger holds for an account is what its grants came to and neither paid a document nor expired.
_HELD = """
    SELECT account_id || ' ' || currency || ': prepaid ' || coalesce(ledger.amount, 0)
           || ', by its grants ' || coalesce(grants.amount, 0),
           abs(coalesce(ledger.amount, 0) - coalesce(grants.amount, 0))
    FROM (SELECT account_id, currency, sum(amount) AS amount
          FROM billing.posting JOIN billing.ledger_transaction ON ledger_transaction.id = transaction_id
          WHERE environment = $1 AND ledger_account = 'prepaid' GROUP BY 1, 2) AS ledger
    FULL JOIN (SELECT account_id, currency,
                      sum(coalesce((SELECT sum(applied) FROM billing.credit_application WHERE grant_id = id), 0)
                          + coalesce((SELECT amount FROM billing.credit_expiry WHERE grant_id = id), 0) - amount) AS amount
               FROM billing.credit_grant WHERE environment = $1 GROUP BY 1, 2) AS grants
    USING (account_id, currency)
    WHERE coalesce(ledger.amount, 0) <> coalesce(grants.amount, 0)
"""
# A grant's counter is what ended leases took of it, with what documents came to in place of the list prices.
_COUNTED = """
    SELECT 'grant ' || grant_id || ': counted ' || used || ' used and ' || leased || ' leased, due are ' || due_used
           || ' and ' || due_leased, abs(used - due_used) + abs(leased - due_leased)
    FROM (SELECT subject AS grant_id, used, leased,
                 coalesce((SELECT sum(lease.used) FROM billing.lease
                           WHERE allowance_id = allowance.id AND state = 'closed'), 0)
                 + coalesce((SELECT sum(applied - captured) FROM billing.credit_application
                             WHERE grant_id = subject), 0) AS due_used,
                 coalesce((SELECT sum(granted) FROM billing.lease
                           WHERE allowance_id = allowance.id AND state <> 'closed'), 0) AS due_leased
          FROM billing.allowance WHERE kind = 'credit' AND environment = $1) AS counted
    WHERE used <> due_used OR leased <> due_leased
"""

PREPAID_FAULTS = (_HELD, _COUNTED)

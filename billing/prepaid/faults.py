"""What cannot be if prepaid credit is right: questions for `ordergate reconcile`, each row a sentence and an amount."""

from billing.prepaid.grants import APPLIED

# What the ledger holds for an account is what its grants came to and neither paid a document nor expired.
_HELD = f"""
    SELECT account_id || ' ' || currency || ': prepaid ' || coalesce(ledger.amount, 0)
           || ', by its grants ' || coalesce(grants.amount, 0),
           abs(coalesce(ledger.amount, 0) - coalesce(grants.amount, 0))
    FROM (SELECT account_id, currency, sum(amount) AS amount
          FROM billing.posting JOIN billing.ledger_transaction ON ledger_transaction.id = transaction_id
          WHERE environment = $1 AND ledger_account = 'prepaid' GROUP BY 1, 2) AS ledger
    FULL JOIN (SELECT account_id, currency,
                      sum({APPLIED}
                          + coalesce((SELECT amount FROM billing.credit_expiry WHERE grant_id = id), 0) - amount) AS amount
               FROM billing.credit_grant WHERE environment = $1 GROUP BY 1, 2) AS grants
    USING (account_id, currency)
    WHERE coalesce(ledger.amount, 0) <> coalesce(grants.amount, 0)
"""  # noqa: S608 - constants of this product
# A grant's counter is what ended leases took of it, with what documents came to in place of the list prices, less what
# came back of it.
_COUNTED = """
    SELECT 'grant ' || grant_id || ': counted ' || used || ' used and ' || leased || ' leased, due are ' || due_used
           || ' and ' || due_leased, abs(used - due_used) + abs(leased - due_leased)
    FROM (SELECT subject AS grant_id, used, leased,
                 coalesce((SELECT sum(lease.used) FROM billing.lease
                           WHERE allowance_id = allowance.id AND state = 'closed'), 0)
                 + coalesce((SELECT sum(applied - captured) FROM billing.credit_application
                             WHERE grant_id = subject), 0)
                 - coalesce((SELECT sum(amount) FROM billing.credit_restoration
                             WHERE grant_id = subject AND restored_to = subject), 0) AS due_used,
                 coalesce((SELECT sum(granted) FROM billing.lease
                           WHERE allowance_id = allowance.id AND state <> 'closed'), 0) AS due_leased
          FROM billing.allowance WHERE kind = 'credit' AND environment = $1) AS counted
    WHERE used <> due_used OR leased <> due_leased
"""
# Every posting that restored credit calls for, and every posting of that kind that there is.
_RESTORED = """
    WITH restored AS (
        SELECT 'credit_restoration:' || back.id AS source, back.account_id, currency, back.amount,
               CASE became WHEN 'credit' THEN back.account_id ELSE 'house' END AS other_side,
               CASE became WHEN 'credit' THEN 'prepaid' ELSE 'promotions' END AS ledger_account
        FROM billing.credit_restoration AS back JOIN billing.credit_grant ON credit_grant.id = grant_id
        WHERE environment = $1 AND became <> 'owed'
    ), due (source, account_id, ledger_account, currency, amount) AS (
        SELECT source, account_id, 'receivable', currency, amount FROM restored
        UNION ALL
        SELECT source, other_side, ledger_account, currency, -amount FROM restored
    ), booked AS (
        SELECT source, account_id, ledger_account, currency, amount
        FROM billing.ledger_transaction JOIN billing.posting ON transaction_id = ledger_transaction.id
        WHERE environment = $1 AND kind = 'restoration'
    )
    SELECT source || ': ' || account_id || ' ' || ledger_account || ' ' || amount || ' ' || currency || ' ' || what, abs(amount)
    FROM (SELECT 'is due and not posted' AS what, * FROM (TABLE due EXCEPT ALL TABLE booked) AS lost
          UNION ALL
          SELECT 'is posted and not due' AS what, * FROM (TABLE booked EXCEPT ALL TABLE due) AS invented) AS found
    ORDER BY source, ledger_account, what
"""

PREPAID_FAULTS = (_HELD, _COUNTED, _RESTORED)

"""What an issued document was lowered by, and the credit that comes back for it.

A credit note lowers the document that it names. A statement of less than nothing lowers those of the months that it takes
something back of, the latest first. Either lowers first what credit did not pay of the document; what goes beyond that comes
back. As everywhere, it is what has to come back by now, minus what came back before.
"""

from datetime import datetime

from billing.prepaid.grants import lock_grants
from billing.prepaid.restore import restore_credit
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment

# A lost dispute's credit note records what the bank took; it lowers nothing.
_BY_NOTES = """
    SELECT coalesce(sum(total), 0) FROM billing.credit_note
    WHERE invoice_id = document.id AND reason <> 'dispute_lost'
"""
_BY_STATEMENTS = """
    SELECT coalesce(sum(least(amount, greatest(owed - owed_later, 0))), 0)
    FROM (SELECT period, owed, amount,
                 coalesce(sum(amount) OVER (PARTITION BY id ORDER BY period DESC
                                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS owed_later
          FROM (SELECT negative.id, line.period, -total AS owed, -sum(line.amount) AS amount
                FROM billing.invoice AS negative
                JOIN (SELECT invoice_id, period, amount FROM billing.rated_line UNION ALL
                      SELECT invoice_id, period, amount FROM billing.charge_line) AS line ON line.invoice_id = negative.id
                WHERE negative.account_id = document.account_id AND negative.environment = document.environment
                  AND state = 'issued' AND total < 0 AND line.period < negative.period
                GROUP BY 1, 2, 3 HAVING sum(line.amount) < 0) AS taken_back) AS shared_out
    WHERE period = document.period
"""


def _restorable(whose: str) -> str:
    """Documents of `$1`, an environment, that credit paid a part of: how much of it is due to come back, and what came."""
    return f"""
        SELECT document.id, document.number, document.period, due, restored
        FROM (SELECT invoice_id, sum(applied) AS applied
              FROM billing.credit_grant JOIN billing.credit_application ON grant_id = credit_grant.id
              WHERE environment = $1 AND {whose} GROUP BY 1 HAVING sum(applied) > 0) AS paid
        JOIN billing.invoice AS document ON document.id = paid.invoice_id
        CROSS JOIN LATERAL (SELECT ({_BY_NOTES}) + ({_BY_STATEMENTS}) AS amount) AS lowered
        CROSS JOIN LATERAL (
            SELECT least(applied, greatest(applied + lowered.amount - document.total, 0)) AS due,
                   (SELECT coalesce(sum(back.amount), 0) FROM billing.credit_restoration AS back
                    WHERE back.invoice_id = document.id) AS restored) AS credit
        WHERE due <> restored ORDER BY document.period, document.id
    """  # noqa: S608 - constants of this file


RESTORABLE = _restorable("true")
_RESTORABLE_OF = _restorable("credit_grant.account_id = $2")


async def restore_lowered(
    connection: Connection, account_id: str, environment: Environment, now: datetime
) -> None:
    """Give back what credit paid too much of an account's documents as they were lowered by now; the caller commits.

    Repeated, it changes nothing. What was lowered when credit did not come back yet comes back at the next call.
    """
    if not await lock_grants(connection, account_id, environment):
        return
    for row in await connection.fetch(_RESTORABLE_OF, environment, account_id):
        more = row["due"] - row["restored"]
        assert more > 0, "what lowered a document lowers it for ever"
        await restore_credit(connection, account_id, environment, row["id"], more, now)

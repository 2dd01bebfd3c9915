"""A document is handed over to the payment provider in the transaction that issues it; who collects it is `billing/payment`."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from billing.transaction import Connection
from catalog.vocabulary.clock import to_ns
from catalog.vocabulary.ids import Environment, new_event_id

# `enabled` is a row of the database and not a setting: whoever closes a month needs to know no key.
_QUEUE = """
    INSERT INTO billing.payment_task (id, account_id, kind, document_id, due_at, created_at)
    SELECT $1, account_id, $3, $4, $5, $5 FROM billing.payment_account
    WHERE account_id = $2 AND (enabled OR $3 = 'credit_note')
"""


async def hand_over_invoice(
    connection: Connection,
    account_id: str,
    environment: Environment,
    invoice_id: str,
    total: Decimal,
    now: datetime,
) -> None:
    """Queue an invoice for collection if a provider collects for its account and there is something to collect.

    Documents of the test environment are never payable. One that comes to nothing or less asks nobody for money.
    """
    if environment == "live" and total > 0:
        await _queue(connection, account_id, "invoice", invoice_id, now)


async def hand_over_credit_note(
    connection: Connection, account_id: str, invoice_id: str, credit_note_id: str, now: datetime
) -> None:
    """Queue a credit note behind the invoice that it corrects, if that one was handed over, whatever was changed since."""
    if await connection.fetchval(
        "SELECT EXISTS (SELECT FROM billing.payment_task WHERE kind = 'invoice' AND document_id = $1)",
        invoice_id,
    ):
        await _queue(connection, account_id, "credit_note", credit_note_id, now)


async def _queue(
    connection: Connection,
    account_id: str,
    kind: Literal["invoice", "credit_note"],
    document: str,
    now: datetime,
) -> None:
    await connection.execute(_QUEUE, new_event_id(to_ns(now)), account_id, kind, document, now)

"""A change of what becomes of an invoice's money is announced to its payer."""

from datetime import datetime

import msgspec

from billing.payment.settlement import Collected, Settlement
from billing.transaction import Connection
from catalog.outbox import announce
from catalog.vocabulary.money import money


async def announce_change(
    connection: Connection, invoice: Collected, before: Settlement, after: Settlement, now: datetime
) -> None:
    """`invoice.paid` and the like, in the transaction that changed it; nothing where the state is what it was."""
    if after.state == before.state:
        return
    payload = {
        "invoice_id": invoice.invoice_id,
        "number": invoice.number,
        "state": after.state,
        "total": msgspec.to_builtins(money(invoice.total, invoice.currency)),
        "owed": msgspec.to_builtins(money(after.owed, invoice.currency)),
    }
    await announce(connection, invoice.account_id, "live", f"invoice.{after.state}", payload, now)

"""An invoice never comes to less than nothing: what it owes its payer is credited on the invoices that it corrects.

A month's document comes to less than nothing where it takes back more of earlier months than it charges: a re-rating that
lowers a month, a credit for a missed objective that came after the month was issued. An external account then gets credit
notes over the invoices that charged for those months, the latest first, and one more charge, `net_credit`, brings the
document itself to nothing. Nothing is given back twice: of an invoice that was credited before (a dispute that was
accepted, a void one) only what is left is credited, and the rest of the charge says that it was given back already.

A statement of an account of the group may be negative: it is settled between units, and no other document stands for it.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.charge import NEVER, ChargeKey, Due, book
from billing.invoice.credit_note import issue_credit_note, spread
from billing.invoice.draft import Draft, document_kind
from billing.invoice.issue import Issued, SummedUp
from billing.invoice.month import Month, Payer
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import amount_text

# The issued invoices that charged for the months that a draft takes something back of, and what is left to credit on each.
_CORRECTED = """
    WITH taken_back AS (
        SELECT period FROM billing.rated_line WHERE invoice_id = $3 UNION
        SELECT period FROM billing.charge_line WHERE invoice_id = $3
    )
    SELECT id, number, total - coalesce((SELECT sum(note.total) FROM billing.credit_note AS note
                                         WHERE note.invoice_id = invoice.id), 0) AS left
    FROM billing.invoice
    WHERE account_id = $1 AND environment = $2 AND kind = 'invoice' AND state = 'issued' AND (
        EXISTS (SELECT FROM billing.invoice_line AS line
                WHERE line.invoice_id = invoice.id AND line.usage_period IN (TABLE taken_back))
        OR EXISTS (SELECT FROM billing.charge_line AS line
                   WHERE line.invoice_id = invoice.id AND line.period IN (TABLE taken_back)))
    ORDER BY period DESC FOR UPDATE OF invoice
"""


class NetCredit(msgspec.Struct, frozen=True):
    """What is credited on an earlier invoice: a positive amount, at most what was left to credit on it."""

    invoice_id: str
    number: str
    amount: Decimal


async def bring_to_nothing(
    connection: Connection, payer: Payer, environment: Environment, summed: SummedUp, now: datetime
) -> tuple[SummedUp, Sequence[NetCredit]]:
    """The document as it is to be issued, and what is to be credited elsewhere for it; mostly as it was, and nothing.

    The caller holds the account's books, issues the document, then the credit notes, and commits.
    """
    if document_kind(payer) != "invoice" or summed.total >= 0:
        return summed, ()
    draft, owed = summed.draft, -summed.total
    credits_ = await _share_out(connection, payer, environment, draft, owed)
    before = owed - sum((one.amount for one in credits_), Decimal(0))
    detail = {
        "name": ", ".join(one.number for one in credits_) or "–",
        "credited": {one.number: amount_text(one.amount, payer.currency) for one in credits_},
        "credited_before": amount_text(before, payer.currency),
    }
    due = Due(ChargeKey("net_credit", "", ""), summed.total, owed, detail)
    await book(connection, payer, Month(payer.id, environment, draft.period), [(due, NEVER)], now)
    return SummedUp(draft, summed.lines, summed.total + owed), credits_


async def credit_net(
    connection: Connection, issued: Issued, credits_: Sequence[NetCredit], now: datetime
) -> None:
    """Issue the credit notes that stand for a document; in the transaction that issued it, once it has its number."""
    for one in credits_:
        lines = await spread(connection, one.invoice_id, one.amount, f"Taken back by {issued.number}")
        source = f"net_credit:{issued.invoice_id}:{one.invoice_id}"
        await issue_credit_note(connection, one.invoice_id, "net_credit", source, lines, now)


async def _share_out(
    connection: Connection, payer: Payer, environment: Environment, draft: Draft, owed: Decimal
) -> tuple[NetCredit, ...]:
    left = owed
    found: list[NetCredit] = []
    for row in await connection.fetch(_CORRECTED, payer.id, environment, draft.id):
        if (amount := min(left, row["left"])) > 0:
            found.append(NetCredit(row["id"], row["number"], amount))
            left -= amount
    return tuple(found)

"""An invoice never comes to less than nothing: what it owes its payer is credited on the invoices that it corrects.

A month's document comes to less than nothing where it takes back more of earlier months than it charges: a re-rating that
lowers a month, a credit for a missed objective that came after the month was issued. An external account then gets credit
notes over the invoices that charged for those months and services, the latest first, which name the services that were
lowered, and one more charge, `net_credit`, brings the document itself to nothing. Nothing is given back twice: of an invoice that was credited before (a dispute that was
accepted, a void one) only what is left is credited, and the rest of the charge says that it was given back already.

A statement of an account of the group may be negative: it is settled between units, and no other document stands for it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import msgspec

from billing.invoice.charge import NEVER, ChargeKey, Due, book
from billing.invoice.credit_note import CHARGED_SERVICE, CreditLine, issue_credit_note
from billing.invoice.draft import Draft, document_kind
from billing.invoice.issue import Issued, SummedUp
from billing.invoice.month import Month, Payer
from billing.invoice.net_shares import Creditable, owed_by_service, place
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.money import amount_text

_DRAFTED = f"""
    SELECT service, period, sum(amount) AS amount
    FROM (SELECT split_part(operation, '/', 1) AS service, period, amount FROM billing.rated_line WHERE invoice_id = $1
          UNION ALL
          SELECT {CHARGED_SERVICE}, period, amount FROM billing.charge_line WHERE invoice_id = $1) AS line
    GROUP BY 1, 2
"""  # noqa: S608 - a constant
# The issued invoices that charged for some months, and what is left to credit on each.
_CORRECTED = """
    SELECT id, number, total - coalesce((SELECT sum(note.total) FROM billing.credit_note AS note
                                         WHERE note.invoice_id = invoice.id), 0) AS left
    FROM billing.invoice
    WHERE account_id = $1 AND environment = $2 AND kind = 'invoice' AND state = 'issued' AND (
        EXISTS (SELECT FROM billing.invoice_line AS line
                WHERE line.invoice_id = invoice.id AND line.usage_period = ANY($3))
        OR EXISTS (SELECT FROM billing.charge_line AS line
                   WHERE line.invoice_id = invoice.id AND line.period = ANY($3)))
    ORDER BY period DESC FOR UPDATE OF invoice
"""
# What they charged for services in the months that something is taken back of them for, less what was credited of these.
_CHARGED = f"""
    WITH taken_back AS (SELECT * FROM unnest($2::text[], $3::date[]) AS cell (service, period))
    SELECT invoice_id, service, sum(amount) AS amount
    FROM (SELECT invoice_id, split_part(operation, '/', 1) AS service, usage_period AS period, amount FROM billing.invoice_line
          WHERE invoice_id = ANY($1)
          UNION ALL
          SELECT invoice_id, {CHARGED_SERVICE}, period, amount FROM billing.charge_line
          WHERE invoice_id = ANY($1) AND kind <> 'net_credit') AS line
    JOIN taken_back USING (service, period) GROUP BY 1, 2
    UNION ALL
    SELECT invoice_id, service, -sum(amount) FROM billing.credit_note JOIN billing.credit_note_line ON credit_note_id = credit_note.id
    WHERE invoice_id = ANY($1) AND service IN (SELECT service FROM taken_back) GROUP BY 1, 2
"""  # noqa: S608 - a constant


class NetCredit(msgspec.Struct, frozen=True):
    """What is credited on an earlier invoice, by service: positive amounts, together at most what was left to credit on it."""

    invoice_id: str
    number: str
    by_service: Mapping[str, Decimal]

    @property
    def amount(self) -> Decimal:
        """All of it."""
        return sum(self.by_service.values(), Decimal(0))


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
        description = f"Taken back by {issued.number}"
        lines = [CreditLine(service, description, amount) for service, amount in one.by_service.items()]
        source = f"net_credit:{issued.invoice_id}:{one.invoice_id}"
        await issue_credit_note(connection, one.invoice_id, "net_credit", source, lines, now)


async def _share_out(
    connection: Connection, payer: Payer, environment: Environment, draft: Draft, owed: Decimal
) -> tuple[NetCredit, ...]:
    rows = await connection.fetch(_DRAFTED, draft.id)
    cells = {(row["service"], row["period"]): row["amount"] for row in rows}
    invoices = await _creditable(
        connection, payer, environment, [cell for cell, amount in cells.items() if amount < 0]
    )
    by_invoice = place(owed_by_service(cells, owed, payer.currency), invoices, payer.currency)
    return tuple(
        NetCredit(one.invoice_id, one.number, by_invoice[one.invoice_id])
        for one in invoices
        if one.invoice_id in by_invoice
    )


async def _creditable(
    connection: Connection, payer: Payer, environment: Environment, taken_back: Collection[tuple[str, date]]
) -> Sequence[Creditable]:
    """The invoices that charged for the months of these cells (service and month), locked, the latest first."""
    services, months = [service for service, _ in taken_back], [month for _, month in taken_back]
    rows = await connection.fetch(_CORRECTED, payer.id, environment, months)
    charged: dict[str, dict[str, Decimal]] = {row["id"]: {} for row in rows}
    for line in await connection.fetch(_CHARGED, list(charged), services, months):
        of_invoice = charged[line["invoice_id"]]
        of_invoice[line["service"]] = of_invoice.get(line["service"], Decimal(0)) + line["amount"]
    return [Creditable(row["id"], row["number"], row["left"], charged[row["id"]]) for row in rows]

"""A draft becomes a document: lines frozen, numbered, and the total moved from accrued to receivable."""

from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.credit import credit_lines
from billing.invoice.draft import Draft, document_kind
from billing.invoice.hand_over import hand_over_invoice
from billing.invoice.lines import freeze_lines, invoice_lines, rated_steps
from billing.invoice.month import Payer
from billing.invoice.number import series_of, take_number
from billing.ledger.accounts import ACCRUED, RECEIVABLE
from billing.ledger.post import Entry, post
from billing.transaction import Connection
from catalog.vocabulary.ids import Environment

# What an invoice to another company must say about its recipient.
_PROFILE = ("legal_name", "address", "tax_id")


class Issued(msgspec.Struct, frozen=True):
    """An issued document's number and total."""

    invoice_id: str
    number: str
    currency: str
    total: Decimal


def missing_profile(payer: Payer) -> tuple[str, ...]:
    """What an external account must still tell us before it can be invoiced; nothing for other accounts."""
    if payer.kind != "external":
        return ()
    return tuple(field for field in _PROFILE if not payer.profile.get(field))


async def issue(
    connection: Connection, payer: Payer, environment: Environment, draft: Draft, now: datetime
) -> Issued:
    """Issue a draft; the caller holds the account's books, has rated the month, and commits.

    From then on the database refuses any change to the document. A total of zero is issued but posts nothing. Where a
    provider collects for the account, its work is queued with it.
    """
    assert not missing_profile(payer), "a draft that misses something is not issued"
    lines = invoice_lines(await rated_steps(connection, draft.id), draft.period)
    given = await credit_lines(connection, draft.id)
    assert lines or given, "a document has lines"
    await freeze_lines(connection, draft.id, payer.currency, lines)
    total = sum((line.amount for line in lines), Decimal(0)) - sum(one.amount for one in given)
    number = await take_number(connection, series_of(document_kind(payer), environment, draft.period.year))
    await connection.execute(
        "UPDATE billing.invoice SET state = 'issued', number = $2, total = $3, issued_at = $4, recipient = $5, "
        "missing = '{}' WHERE id = $1",
        draft.id,
        number,
        total,
        now,
        msgspec.json.encode(recipient(payer)).decode(),
    )
    if total:
        await post(
            connection,
            "issue",
            f"invoice:{draft.id}",
            environment,
            now,
            [
                Entry(payer.id, RECEIVABLE, payer.currency, total),
                Entry(payer.id, ACCRUED, payer.currency, -total),
            ],
        )
    await hand_over_invoice(connection, payer.id, environment, draft.id, total, now)
    return Issued(draft.id, number, payer.currency, total)


def recipient(payer: Payer) -> dict[str, object]:
    """Who a document is addressed to, as it is frozen when it is issued."""
    profile = {field: payer.profile[field] for field in _PROFILE if payer.profile.get(field)}
    return {"name": payer.name, "title": dict(payer.title), **profile}

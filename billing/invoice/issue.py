"""A draft becomes a document: lines frozen, numbered, and the total moved from accrued to receivable."""

from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.charge import charge_total
from billing.invoice.draft import Draft, document_kind
from billing.invoice.due import payment_terms
from billing.invoice.hand_over import hand_over_invoice
from billing.invoice.lines import InvoiceLine, freeze_lines, invoice_lines, rated_steps
from billing.invoice.lowered import restore_lowered
from billing.invoice.month import Payer
from billing.invoice.number import series_of, take_number
from billing.invoice.terms import MonthTerms, encode_terms
from billing.ledger.accounts import ACCRUED, RECEIVABLE
from billing.ledger.post import Entry, post
from billing.prepaid.apply import apply_credit
from billing.transaction import Connection
from catalog.accounts.seller import NamedSeller
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


def missing_for_issue(payer: Payer, environment: Environment, seller: NamedSeller | None) -> tuple[str, ...]:
    """What keeps an account's documents drafts: what its profile misses, and the `seller` where an invoice that is to be paid
    would name the one that came with the demo."""
    missing = missing_profile(payer)
    to_be_paid = payer.kind == "external" and environment == "live" and not payer.demo
    return (*missing, "seller") if to_be_paid and seller is not None and seller.demo else missing


class SummedUp(msgspec.Struct, frozen=True):
    """A draft with its lines as they will be frozen, and what it comes to with its charges."""

    draft: Draft
    lines: tuple[InvoiceLine, ...]
    total: Decimal


async def sum_up(connection: Connection, draft: Draft) -> SummedUp:
    """What a draft comes to that was rated and settled."""
    lines = invoice_lines(await rated_steps(connection, draft.id), draft.period)
    charged = await charge_total(connection, draft.id)
    return SummedUp(draft, lines, sum((line.amount for line in lines), charged))


async def issue(
    connection: Connection,
    payer: Payer,
    environment: Environment,
    summed: SummedUp,
    terms: MonthTerms,
    now: datetime,
) -> Issued:
    """Issue a draft; the caller holds the account's books, has rated and settled the month by `terms`, and commits.

    From then on the database refuses any change to the document. A total of zero is issued but posts nothing. Where a
    provider collects for the account, its work is queued with it.
    """
    assert not missing_profile(payer), "a draft that misses something is not issued"
    draft, total = summed.draft, summed.total
    if summed.lines:
        await freeze_lines(connection, draft.id, payer.currency, summed.lines)
    # Late, because from here to the commit nobody else can take a number of the series.
    series = series_of(document_kind(payer), environment, draft.period.year, demo=payer.demo)
    number = await take_number(connection, series)
    paid_by = await payment_terms(connection, payer.id)
    await connection.execute(
        "UPDATE billing.invoice SET state = 'issued', number = $2, total = $3, issued_at = $4, recipient = $5, "
        "terms = $6, missing = '{}', held = '', seller = $7, due_on = $8 WHERE id = $1",
        draft.id,
        number,
        total,
        now,
        msgspec.json.encode(recipient(payer)).decode(),
        encode_terms(terms),
        None if paid_by.seller is None else msgspec.json.encode(paid_by.seller).decode(),
        paid_by.due_on(now, payer.timezone) if document_kind(payer) == "invoice" else None,
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
    # What one of less than nothing gives back, and what was lowered since the last one.
    await restore_lowered(connection, payer.id, environment, now)
    paid = await apply_credit(
        connection,
        payer.id,
        environment,
        draft.id,
        draft.period,
        payer.ends_at(draft.period),
        total,
        payer.currency,
        now,
    )
    await hand_over_invoice(connection, payer.id, environment, draft.id, total - paid, now)
    return Issued(draft.id, number, payer.currency, total)


def recipient(payer: Payer) -> dict[str, object]:
    """Who a document is addressed to, as it is frozen when it is issued."""
    profile = {field: payer.profile[field] for field in _PROFILE if payer.profile.get(field)}
    return {"name": payer.name, "title": dict(payer.title), **profile}

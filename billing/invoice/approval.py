"""A payer accepts a month's document at the amount that it shows."""

from datetime import datetime
from decimal import Decimal

import msgspec

from billing.invoice.document import Document
from billing.invoice.month import payer_of
from billing.transaction import Connection
from catalog.outbox import announce
from catalog.registry import audit
from catalog.vocabulary.clock import rfc3339
from catalog.vocabulary.money import Money
from catalog.vocabulary.problem import Problem


class Approval(msgspec.Struct, frozen=True):
    """The payer's agreement to a document at an amount; one of a draft lapses when the draft moves."""

    document_id: str
    period: str
    total: Money
    approved_at: str


async def approve(transaction: Connection, document: Document, actor: str, now: datetime) -> Approval:
    """Accept a document as it stands; the same document at the same amount is accepted once.

    `now` is the time of day; the books of a sandbox have their own. `Problem` conflict while the month runs: what is not complete cannot be agreed to. The transaction's scope has the
    document's account.
    """
    payer = await payer_of(transaction, document.account_id)
    books_now = payer.now_in(document.environment, now)
    if books_now < datetime.fromisoformat(document.ends_at):
        raise Problem(
            "conflict", f"{document.period} is not over before {document.ends_at}; approve it afterwards."
        )
    added = await transaction.fetchval(
        "INSERT INTO billing.approval (invoice_id, account_id, total, approved_at, approved_by) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING approved_at",
        document.id,
        document.account_id,
        Decimal(document.total),
        books_now,
        actor,
    )
    if added is not None:
        told = {
            "document_id": document.id,
            "total": {"amount": document.total, "currency": document.currency},
        }
        await audit.append(transaction, actor, "statement.approve", f"document/{document.id}", told, now)
        await announce(
            transaction, document.account_id, document.environment, "statement.approved", told, now
        )
    approved_at = await transaction.fetchval(
        "SELECT approved_at FROM billing.approval WHERE invoice_id = $1 AND total = $2",
        document.id,
        Decimal(document.total),
    )
    return Approval(
        document.id, document.period, Money(document.total, document.currency), rfc3339(approved_at)
    )

"""The port: what collection asks of a payment provider. Amounts are decimals, currencies ISO 4217 codes in capitals."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

import msgspec


class ProviderAway(Exception):
    """No answer, or one that passes: try again later with the same key. `reason` is a short name for people.

    `replayed`: a failure that the provider has stored under this key; only another key gets past it.
    """

    def __init__(self, reason: str, *, replayed: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.replayed = replayed


class ProviderRefused(Exception):
    """The provider's well-founded no: repeating changes nothing, a person has to look. `reason` begins with its name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NewCustomer(msgspec.Struct, frozen=True):
    """Who pays: an account as its document is addressed."""

    account_id: str
    name: str
    address: str
    tax_id: str


class NewLine(msgspec.Struct, frozen=True):
    """One line of ours; negative for a correction. Positions count from 1."""

    position: int
    description: str
    amount: Decimal


class NewInvoice(msgspec.Struct, frozen=True):
    """An issued invoice of ours as it is to stand in the provider's book; tax is among the lines. `due_at` is a moment of
    its due day; None where that has passed already, or was never said: it is due at once."""

    document_id: str
    account_id: str
    number: str
    period: str
    customer_id: str
    currency: str
    total: Decimal
    due_at: datetime | None
    lines: tuple[NewLine, ...]


class SentBack(msgspec.Struct, frozen=True):
    """How much of a refund is for one credit note."""

    refund_id: str
    amount: Decimal


class NewCreditNote(msgspec.Struct, frozen=True):
    """A credit note of ours. What it exceeds the open amount of its invoice by is covered by refunds that are there already,
    `sent_back`, and by what is settled `elsewhere`: together exactly that."""

    document_id: str
    number: str
    invoice_id: str
    currency: str
    total: Decimal
    lines: tuple[NewLine, ...]
    sent_back: tuple[SentBack, ...] = ()
    elsewhere: Decimal = Decimal(0)


class NewRefund(msgspec.Struct, frozen=True):
    """Money to be sent back from a payment, for a document of ours."""

    document_id: str
    payment_intent: str
    currency: str
    amount: Decimal


class ProviderInvoice(msgspec.Struct, frozen=True):
    """An invoice in the provider's book; `document_id` is empty for one that is not of ours."""

    id: str
    document_id: str
    number: str
    customer_id: str
    state: Literal["draft", "open", "paid", "void", "uncollectible"]
    currency: str
    total: Decimal
    amount_paid: Decimal
    amount_remaining: Decimal


class ProviderLine(msgspec.Struct, frozen=True):
    """A line there; `position` is 0 for one that we did not write."""

    position: int
    amount: Decimal


class ProviderCreditNote(msgspec.Struct, frozen=True):
    """A credit note there; `document_id` is empty for one that is not of ours. `lowered` is what it took off the open amount
    of its invoice; refunds that belong to it are `sent_back`."""

    id: str
    document_id: str
    number: str
    invoice_id: str
    state: Literal["issued", "void"]
    currency: str
    total: Decimal
    lowered: Decimal
    sent_back: tuple[SentBack, ...]


class ProviderPayment(msgspec.Struct, frozen=True):
    """Money that arrived for an invoice. `payment_intent` is empty for what was paid elsewhere."""

    id: str
    invoice_id: str
    payment_intent: str
    currency: str
    amount: Decimal


class ProviderRefund(msgspec.Struct, frozen=True):
    """Money sent back, or on its way: `failed` means that it has come back to us. `document_id` is that of our credit note it
    was made for, empty for one that somebody else made; `payment_intent` is empty for what no payment intent brought."""

    id: str
    document_id: str
    payment_intent: str
    state: Literal["pending", "requires_action", "succeeded", "failed", "canceled"]
    currency: str
    amount: Decimal


class ProviderFee(msgspec.Struct, frozen=True):
    """What the provider keeps for itself, in the currency of its account; negative when it is given back."""

    id: str
    currency: str
    amount: Decimal


class ProviderDispute(msgspec.Struct, frozen=True):
    """A payer's bank reclaims a payment. `inquiry`: it has only asked, no money has moved."""

    id: str
    payment_intent: str
    state: Literal["inquiry", "open", "won", "lost"]
    currency: str
    amount: Decimal
    fees: tuple[ProviderFee, ...]


class PaymentProvider(Protocol):
    """A payment provider's book. Every method raises `ProviderAway` or `ProviderRefused` and nothing else.

    What creates something takes a key: the same key again, with the same content, answers what it answered first. An object
    of the other mode than the key's is refused by name, `wrong-mode`.
    """

    @property
    def livemode(self) -> bool:
        """Whether real money moves, or all of it is the provider's play money."""

    async def create_customer(self, customer: NewCustomer, key: str) -> str:
        """A new payer; its id there."""

    async def create_invoice(self, invoice: NewInvoice, key: str) -> ProviderInvoice:
        """A draft without lines, which the provider does nothing with by itself."""

    async def find_invoice(self, customer_id: str, document_id: str) -> ProviderInvoice | None:
        """The invoice of a document of ours, whenever it was made."""

    async def invoice(self, invoice_id: str) -> ProviderInvoice:
        """An invoice as it is now."""

    async def lines(self, invoice_id: str) -> tuple[ProviderLine, ...]:
        """All lines of an invoice."""

    async def add_lines(self, invoice_id: str, currency: str, lines: Sequence[NewLine], key: str) -> None:
        """Add lines to a draft, all or none."""

    async def finalize(self, invoice_id: str, key: str) -> ProviderInvoice:
        """From draft to open: from now on it can be paid and not be changed."""

    async def create_credit_note(self, note: NewCreditNote, key: str) -> ProviderCreditNote:
        """A credit note on an open or paid invoice. It sends no money back by itself."""

    async def credit_notes(self, invoice_id: str) -> tuple[ProviderCreditNote, ...]:
        """All credit notes of an invoice."""

    async def create_refund(self, refund: NewRefund, key: str) -> ProviderRefund:
        """Send money back from a payment; the caller says for which credit note when it makes that."""

    async def payments(self, invoice_id: str) -> tuple[ProviderPayment, ...]:
        """All money that arrived for an invoice, the latest first."""

    async def payment_fees(self, payment_intent: str) -> tuple[ProviderFee, ...]:
        """What was kept of a payment; nothing while the provider does not know it yet."""

    async def invoice_of_payment(self, payment_intent: str) -> str | None:
        """The invoice that a payment was for, if it was for one."""

    async def refunds(self, payment_intent: str) -> tuple[ProviderRefund, ...]:
        """All refunds of a payment."""

    async def disputes(self, payment_intent: str) -> tuple[ProviderDispute, ...]:
        """All disputes of a payment."""

    def all_invoices(self) -> AsyncIterator[ProviderInvoice]:
        """The whole book of invoices, newest first."""

    def all_credit_notes(self) -> AsyncIterator[ProviderCreditNote]:
        """The whole book of credit notes, newest first."""

    def all_payments(self) -> AsyncIterator[ProviderPayment]:
        """All money that arrived for any invoice, newest first."""

    def all_refunds(self) -> AsyncIterator[ProviderRefund]:
        """All refunds of anything, newest first."""

    def all_disputes(self) -> AsyncIterator[ProviderDispute]:
        """All disputes over anything, newest first."""

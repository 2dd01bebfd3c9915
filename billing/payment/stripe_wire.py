"""What Stripe answers, as far as it is used: decoded by type, so that an answer of another shape is refused, not guessed.

Field names and meanings: https://docs.stripe.com/api, version 2026-10-28. Ids may come expanded; only a payment's charge
is asked for so, with its balance transaction.
"""

from decimal import Decimal
from typing import Any, Protocol, TypeVar

import msgspec

from billing.payment.amount import from_stripe
from billing.payment.provider import (
    ProviderCreditNote,
    ProviderDispute,
    ProviderFee,
    ProviderInvoice,
    ProviderLine,
    ProviderPayment,
    ProviderRefund,
    ProviderRefused,
    SentBack,
)
from catalog.vocabulary.money import is_currency

# Our own marks on Stripe's objects.
DOCUMENT, NUMBER, ACCOUNT, PERIOD, POSITION = (
    "ordergate_document",
    "ordergate_number",
    "ordergate_account",
    "ordergate_period",
    "ordergate_position",
)

_DISPUTE_STATES = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "inquiry",
    "prevented": "inquiry",
    "needs_response": "open",
    "under_review": "open",
    "appeal_needs_response": "open",
    "appeal_under_review": "open",
    "won": "won",
    "lost": "lost",
}


class Customer(msgspec.Struct, frozen=True):
    """`customer`."""

    id: str
    livemode: bool

    def read(self) -> str:
        """As the port gives it: the id."""
        return self.id


class Invoice(msgspec.Struct, frozen=True):
    """`invoice`."""

    id: str
    livemode: bool
    customer: str
    status: str
    currency: str
    total: int
    amount_paid: int
    amount_remaining: int
    number: str | None = None
    metadata: dict[str, str] | None = None

    def read(self) -> ProviderInvoice:
        """As the port gives it."""
        marks, currency = self.metadata or {}, self.currency.upper()
        return convert(
            {
                "id": self.id,
                "document_id": marks.get(DOCUMENT, ""),
                "number": marks.get(NUMBER, ""),
                "customer_id": self.customer,
                "state": self.status,
                "currency": currency,
                "total": _amount(self.total, currency),
                "amount_paid": _amount(self.amount_paid, currency),
                "amount_remaining": _amount(self.amount_remaining, currency),
            },
            ProviderInvoice,
        )


class Line(msgspec.Struct, frozen=True):
    """`line_item` of an invoice."""

    amount: int
    currency: str
    metadata: dict[str, str] | None = None

    def read(self) -> ProviderLine:
        """As the port gives it."""
        position = (self.metadata or {}).get(POSITION, "0")
        if not position.isdigit():
            raise ProviderRefused(f"unreadable-answer: a line's {POSITION} is not a number")
        return ProviderLine(int(position), _amount(self.amount, self.currency.upper()))


class _LinkedRefund(msgspec.Struct, frozen=True):
    amount_refunded: int
    # None for a refund of a payment that was only recorded at Stripe.
    refund: str | None = None


class CreditNote(msgspec.Struct, frozen=True):
    """`credit_note`."""

    id: str
    livemode: bool
    invoice: str
    status: str
    currency: str
    total: int
    pre_payment_amount: int
    refunds: tuple[_LinkedRefund, ...] = ()
    metadata: dict[str, str] | None = None

    def read(self) -> ProviderCreditNote:
        """As the port gives it."""
        marks, currency = self.metadata or {}, self.currency.upper()
        return convert(
            {
                "id": self.id,
                "document_id": marks.get(DOCUMENT, ""),
                "number": marks.get(NUMBER, ""),
                "invoice_id": self.invoice,
                "state": self.status,
                "currency": currency,
                "total": _amount(self.total, currency),
                "lowered": _amount(self.pre_payment_amount, currency),
                "sent_back": tuple(
                    SentBack(one.refund, _amount(one.amount_refunded, currency))
                    for one in self.refunds
                    if one.refund is not None
                ),
            },
            ProviderCreditNote,
        )


class _PaymentSource(msgspec.Struct, frozen=True):
    type: str
    payment_intent: str | None = None


class InvoicePayment(msgspec.Struct, frozen=True):
    """`invoice_payment`."""

    id: str
    livemode: bool
    invoice: str
    status: str
    currency: str
    payment: _PaymentSource
    amount_paid: int | None = None

    def read(self) -> ProviderPayment:
        """As the port gives it."""
        currency = self.currency.upper()
        amount = _amount(self.amount_paid or 0, currency)
        return ProviderPayment(self.id, self.invoice, self.payment.payment_intent or "", currency, amount)


class Refund(msgspec.Struct, frozen=True):
    """`refund`. Of which mode it is Stripe does not say: its payment does."""

    id: str
    amount: int
    currency: str
    status: str | None = None
    payment_intent: str | None = None
    metadata: dict[str, str] | None = None

    def read(self) -> ProviderRefund:
        """As the port gives it."""
        currency = self.currency.upper()
        return convert(
            {
                "id": self.id,
                "document_id": (self.metadata or {}).get(DOCUMENT, ""),
                "payment_intent": self.payment_intent or "",
                "state": self.status,
                "currency": currency,
                "amount": _amount(self.amount, currency),
            },
            ProviderRefund,
        )


class _BalanceTransaction(msgspec.Struct, frozen=True):
    id: str
    currency: str
    fee: int

    def read(self) -> ProviderFee:
        currency = self.currency.upper()
        return ProviderFee(self.id, currency, _amount(self.fee, currency))


class _Charge(msgspec.Struct, frozen=True):
    # An id only where it was not expanded; null until the money is on its way.
    balance_transaction: _BalanceTransaction | str | None = None


class PaymentIntent(msgspec.Struct, frozen=True):
    """`payment_intent`, with its charge's balance transaction."""

    id: str
    livemode: bool
    latest_charge: _Charge | str | None = None

    def read(self) -> tuple[ProviderFee, ...]:
        """As the port gives it: the fees."""
        charge = self.latest_charge
        balance = charge.balance_transaction if isinstance(charge, _Charge) else None
        return (balance.read(),) if isinstance(balance, _BalanceTransaction) and balance.fee else ()


class Dispute(msgspec.Struct, frozen=True):
    """`dispute`. Its balance transactions carry the fees, in the currency of the balance."""

    id: str
    livemode: bool
    status: str
    amount: int
    currency: str
    payment_intent: str | None = None
    balance_transactions: tuple[_BalanceTransaction, ...] = ()

    def read(self) -> ProviderDispute:
        """As the port gives it."""
        currency = self.currency.upper()
        fees = tuple(one.read() for one in self.balance_transactions if one.fee)
        return convert(
            {
                "id": self.id,
                "payment_intent": self.payment_intent or "",
                "state": _DISPUTE_STATES.get(self.status, self.status),
                "currency": currency,
                "amount": _amount(self.amount, currency),
                "fees": fees,
            },
            ProviderDispute,
        )


def _amount(number: int, currency: str) -> Decimal:
    if not is_currency(currency):
        raise ProviderRefused(f"unreadable-answer: {currency} is no currency")
    return from_stripe(number, currency)


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Readable(Protocol[T_co]):
    """An answer of Stripe's that the port has a word for."""

    def read(self) -> T_co:
        """As the port gives it."""


def read(answer: Any, type_: type[Readable[T]], *, livemode: bool) -> T:
    """What an answer means to the port; `ProviderRefused` unreadable-answer for another shape, wrong-mode for an object of
    Stripe's test mode where only real money counts, or the other way round."""
    found = convert(answer, type_)
    theirs = getattr(found, "livemode", livemode)
    if theirs != livemode:
        modes = {True: "live", False: "test"}
        raise ProviderRefused(
            f"wrong-mode: {getattr(found, 'id', '')} is of Stripe's {modes[theirs]} mode, the key of its {modes[livemode]} mode"
        )
    return found.read()


def convert(answer: Any, type_: type[T]) -> T:
    """An answer as a value of the type; `ProviderRefused` unreadable-answer for one of another shape."""
    try:
        return msgspec.convert(answer, type_)
    except msgspec.ValidationError as error:
        raise ProviderRefused(f"unreadable-answer: {error}") from None

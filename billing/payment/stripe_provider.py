"""The port over Stripe's own client. Importing this module imports `stripe`, which is slow: only who collects does so."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import requests
import stripe

from billing.payment import stripe_wire as wire
from billing.payment.amount import to_stripe
from billing.payment.provider import (
    NewCreditNote,
    NewCustomer,
    NewInvoice,
    NewLine,
    NewRefund,
    ProviderAway,
    ProviderCreditNote,
    ProviderDispute,
    ProviderFee,
    ProviderInvoice,
    ProviderLine,
    ProviderPayment,
    ProviderRefund,
    ProviderRefused,
)
from billing.settings import is_live_key

_PAGE = 100
_CONNECT_S = 5.0
_NAME_MAX, _DESCRIPTION_MAX = 256, 500
T = TypeVar("T")

# Otherwise the client reports our latencies with each request.
stripe.enable_telemetry = False


class StripeProvider:
    """`PaymentProvider` over HTTP. Retries are the outbox's, so that each is seen, counted and keyed."""

    def __init__(
        self, api_key: str, api_base: str = "https://api.stripe.com", timeout_s: float = 12.0
    ) -> None:
        """`api_base` is another address for a server that speaks the same protocol."""
        self.livemode = is_live_key(api_key)
        self._key = api_key
        self._session = requests.Session()
        self._v1 = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=(_CONNECT_S, timeout_s), session=self._session),
        ).v1

    def __repr__(self) -> str:
        """Without the key."""
        return "StripeProvider()"

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    async def create_customer(self, customer: NewCustomer, key: str) -> str:
        """See `PaymentProvider`."""
        params = {
            "name": customer.name[:_NAME_MAX],
            "address": {"line1": customer.address[:_DESCRIPTION_MAX]},
            "metadata": {wire.ACCOUNT: customer.account_id, "ordergate_tax_id": customer.tax_id[:500]},
        }
        answer = await self._ask(lambda: self._v1.customers.create(_any(params), {"idempotency_key": key}))
        return self._read(answer, wire.Customer)

    async def create_invoice(self, invoice: NewInvoice, key: str) -> ProviderInvoice:
        """See `PaymentProvider`. Nothing is left to Stripe's own advance, tax, numbering or pending items."""
        params = {
            "customer": invoice.customer_id,
            "currency": invoice.currency.lower(),
            "number": invoice.number,
            "auto_advance": False,
            "automatic_tax": {"enabled": False},
            "collection_method": "send_invoice",
            **_due(invoice),
            "pending_invoice_items_behavior": "exclude",
            "metadata": {
                wire.DOCUMENT: invoice.document_id,
                wire.NUMBER: invoice.number,
                wire.ACCOUNT: invoice.account_id,
                wire.PERIOD: invoice.period,
            },
        }
        answer = await self._ask(lambda: self._v1.invoices.create(_any(params), {"idempotency_key": key}))
        return self._read(answer, wire.Invoice)

    async def find_invoice(self, customer_id: str, document_id: str) -> ProviderInvoice | None:
        """See `PaymentProvider`. Stripe's search lags behind its writes, its lists do not."""
        async for one in self._pages(self._v1.invoices.list, {"customer": customer_id}, wire.Invoice):
            if one.document_id == document_id:
                return one
        return None

    async def invoice(self, invoice_id: str) -> ProviderInvoice:
        """See `PaymentProvider`."""
        answer = await self._ask(lambda: self._v1.invoices.retrieve(invoice_id))
        return self._read(answer, wire.Invoice)

    async def lines(self, invoice_id: str) -> tuple[ProviderLine, ...]:
        """See `PaymentProvider`."""
        pages = self._pages(
            lambda params: self._v1.invoices.line_items.list(invoice_id, params), {}, wire.Line
        )
        return tuple([line async for line in pages])

    async def add_lines(self, invoice_id: str, currency: str, lines: Sequence[NewLine], key: str) -> None:
        """See `PaymentProvider`."""
        params = {
            "lines": [
                {
                    "amount": to_stripe(line.amount, currency),
                    "description": line.description[:_DESCRIPTION_MAX],
                    "discountable": False,
                    "metadata": {wire.POSITION: str(line.position)},
                }
                for line in lines
            ]
        }
        await self._ask(
            lambda: self._v1.invoices.add_lines(invoice_id, _any(params), {"idempotency_key": key})
        )

    async def finalize(self, invoice_id: str, key: str) -> ProviderInvoice:
        """See `PaymentProvider`."""
        answer = await self._ask(
            lambda: self._v1.invoices.finalize_invoice(
                invoice_id, {"auto_advance": False}, {"idempotency_key": key}
            )
        )
        return self._read(answer, wire.Invoice)

    async def create_credit_note(self, note: NewCreditNote, key: str) -> ProviderCreditNote:
        """See `PaymentProvider`."""
        params: dict[str, Any] = {
            "invoice": note.invoice_id,
            "email_type": "none",
            "memo": note.number,
            "metadata": {wire.DOCUMENT: note.document_id, wire.NUMBER: note.number},
            "lines": [
                {
                    "type": "custom_line_item",
                    "description": line.description[:_DESCRIPTION_MAX],
                    "quantity": 1,
                    "unit_amount": to_stripe(line.amount, note.currency),
                }
                for line in note.lines
            ],
        }
        if note.sent_back:
            params["refunds"] = [
                {
                    "type": "refund",
                    "refund": one.refund_id,
                    "amount_refunded": to_stripe(one.amount, note.currency),
                }
                for one in note.sent_back
            ]
        if note.elsewhere:
            params["out_of_band_amount"] = to_stripe(note.elsewhere, note.currency)
        answer = await self._ask(lambda: self._v1.credit_notes.create(_any(params), {"idempotency_key": key}))
        return self._read(answer, wire.CreditNote)

    async def create_refund(self, refund: NewRefund, key: str) -> ProviderRefund:
        """See `PaymentProvider`."""
        params = {
            "payment_intent": refund.payment_intent,
            "amount": to_stripe(refund.amount, refund.currency),
            "metadata": {wire.DOCUMENT: refund.document_id},
        }
        answer = await self._ask(lambda: self._v1.refunds.create(_any(params), {"idempotency_key": key}))
        return self._read(answer, wire.Refund)

    async def credit_notes(self, invoice_id: str) -> tuple[ProviderCreditNote, ...]:
        """See `PaymentProvider`."""
        pages = self._pages(self._v1.credit_notes.list, {"invoice": invoice_id}, wire.CreditNote)
        return tuple([note async for note in pages])

    async def payments(self, invoice_id: str) -> tuple[ProviderPayment, ...]:
        """See `PaymentProvider`."""
        asked = {"invoice": invoice_id, "status": "paid"}
        pages = self._pages(self._v1.invoice_payments.list, asked, wire.InvoicePayment)
        return tuple([payment async for payment in pages])

    async def payment_fees(self, payment_intent: str) -> tuple[ProviderFee, ...]:
        """See `PaymentProvider`."""
        asked = _any({"expand": ["latest_charge.balance_transaction"]})
        answer = await self._ask(lambda: self._v1.payment_intents.retrieve(payment_intent, asked))
        return self._read(answer, wire.PaymentIntent)

    async def invoice_of_payment(self, payment_intent: str) -> str | None:
        """See `PaymentProvider`."""
        asked = {"payment": {"type": "payment_intent", "payment_intent": payment_intent}}
        async for payment in self._pages(self._v1.invoice_payments.list, asked, wire.InvoicePayment):
            return payment.invoice_id
        return None

    async def refunds(self, payment_intent: str) -> tuple[ProviderRefund, ...]:
        """See `PaymentProvider`."""
        asked = {"payment_intent": payment_intent}
        pages = self._pages(self._v1.refunds.list, asked, wire.Refund)
        return tuple([refund async for refund in pages])

    async def disputes(self, payment_intent: str) -> tuple[ProviderDispute, ...]:
        """See `PaymentProvider`."""
        asked = {"payment_intent": payment_intent}
        pages = self._pages(self._v1.disputes.list, asked, wire.Dispute)
        return tuple([dispute async for dispute in pages])

    def all_invoices(self) -> AsyncIterator[ProviderInvoice]:
        """See `PaymentProvider`."""
        return self._pages(self._v1.invoices.list, {}, wire.Invoice)

    def all_credit_notes(self) -> AsyncIterator[ProviderCreditNote]:
        """See `PaymentProvider`."""
        return self._pages(self._v1.credit_notes.list, {}, wire.CreditNote)

    def all_payments(self) -> AsyncIterator[ProviderPayment]:
        """See `PaymentProvider`."""
        return self._pages(self._v1.invoice_payments.list, {"status": "paid"}, wire.InvoicePayment)

    def all_refunds(self) -> AsyncIterator[ProviderRefund]:
        """See `PaymentProvider`."""
        return self._pages(self._v1.refunds.list, {}, wire.Refund)

    def all_disputes(self) -> AsyncIterator[ProviderDispute]:
        """See `PaymentProvider`."""
        return self._pages(self._v1.disputes.list, {}, wire.Dispute)

    def _read(self, answer: Any, type_: type[wire.Readable[T]]) -> T:
        return wire.read(answer, type_, livemode=self.livemode)

    async def _pages(
        self, ask: Callable[[Any], Any], params: Mapping[str, Any], type_: type[wire.Readable[T]]
    ) -> AsyncIterator[T]:
        after: dict[str, str] = {}
        passed: set[str] = set()
        while True:
            asked = {**params, "limit": _PAGE, **after}
            page = await self._ask(lambda asked=asked: ask(asked))  # type: ignore[misc]
            entries = wire.convert(page, dict[str, Any]).get("data")
            for entry in _listed(entries):
                yield self._read(entry, type_)
            if not entries or page.get("has_more") is not True:
                return
            last = wire.convert(entries[-1].get("id"), str)
            if last in passed:
                raise ProviderRefused(f"unreadable-answer: a list comes back to {last} and never ends")
            passed.add(last)
            after = {"starting_after": last}

    async def _ask(self, call: Callable[[], Any]) -> Any:
        """One request in a thread; every failure is one of the port's two, and tells no key and no body."""
        try:
            return (await asyncio.to_thread(call)).to_dict()
        except stripe.APIConnectionError:
            failure: Exception = ProviderAway("no-connection")
        except stripe.RateLimitError:
            failure = ProviderAway("rate-limited")
        except stripe.IdempotencyError:
            failure = ProviderRefused("idempotency-key-reused")
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            # Nothing is wrong with the document: it waits until the key is right again.
            failure = ProviderAway(f"key-not-accepted: {error.http_status}")
        except (stripe.InvalidRequestError, stripe.CardError) as error:
            failure = ProviderRefused(self._told(error))
        except stripe.StripeError as error:
            replayed = (error.headers or {}).get("idempotent-replayed") == "true"
            failure = ProviderAway(f"server-failed: {error.http_status}", replayed=replayed)
        raise failure

    def _told(self, error: "stripe.InvalidRequestError | stripe.CardError") -> str:
        """Code, parameter, request and Stripe's sentence, which is cut and never holds the key."""
        sentence = (error.user_message or "").replace(self._key, "***")[:200]
        parts = (error.code or "invalid-request", error.param, error.request_id, sentence)
        return ": ".join(part for part in parts if part)


def _due(invoice: NewInvoice) -> Mapping[str, int]:
    if invoice.due_at is None:
        return {"days_until_due": 0}
    return {"due_date": int(invoice.due_at.timestamp())}


def _listed(entries: object) -> Iterator[Any]:
    if not isinstance(entries, list):
        raise ProviderRefused("unreadable-answer: a list has no data")
    yield from entries


def _any(params: Mapping[str, Any]) -> Any:
    """Stripe's parameter types are spelled per endpoint; what is sent is pinned by the contract tests instead."""
    return params

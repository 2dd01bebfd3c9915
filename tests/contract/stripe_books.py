"""A Stripe account for the contract of the port: the fake always, Stripe itself where a test key is given."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from billing.payment.provider import NewCustomer, NewInvoice, NewLine, ProviderInvoice
from billing.payment.stripe_provider import StripeProvider
from catalog.vocabulary.clock import ManualClock
from tests.fakes.stripe_server import API_KEY, FakeStripe, running_stripe

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
REAL_KEY = "ORDERGATE_STRIPE_TEST_KEY"
KINDS = (
    "fake",
    pytest.param(
        "real",
        marks=pytest.mark.skipif(
            REAL_KEY not in os.environ, reason=f"{REAL_KEY} names no test key of Stripe"
        ),
    ),
)


class StripeBook:
    """A provider, and what a test needs to do besides. Keys and numbers are new for each book."""

    def __init__(self, provider: StripeProvider, fake: FakeStripe | None) -> None:
        self.provider = provider
        self.fake = fake
        self.run = uuid4().hex[:12]

    def key(self, step: str) -> str:
        """An idempotency key."""
        return f"{self.run}/{step}"

    async def customer(self) -> str:
        """A payer."""
        new = NewCustomer("acct_x", "Hefei Trading Ltd", "1 Changjiang Road, Hefei", "91340100MA2N0000X0")
        return await self.provider.create_customer(new, self.key("customer"))

    def invoice(self, customer_id: str, *amounts: str, currency: str = "EUR", name: str = "a") -> NewInvoice:
        """An invoice of ours with these lines."""
        lines = tuple(
            NewLine(position, f"address/validate 2026-11: line {position}", Decimal(amount))
            for position, amount in enumerate(amounts, 1)
        )
        return NewInvoice(
            document_id=f"inv_live_{self.run}_{name}",
            account_id="acct_x",
            number=f"T{self.run}-{name}",
            period="2026-11",
            customer_id=customer_id,
            currency=currency,
            total=sum((line.amount for line in lines), Decimal(0)),
            due_at=max(datetime.now(UTC), NOW) + timedelta(days=30),
            lines=lines,
        )

    async def open_invoice(self, new: NewInvoice) -> ProviderInvoice:
        """Brought over and finalized."""
        draft = await self.provider.create_invoice(new, self.key(f"invoice-{new.number}"))
        await self.provider.add_lines(draft.id, new.currency, new.lines, self.key(f"lines-{new.number}"))
        return await self.provider.finalize(draft.id, self.key(f"finalize-{new.number}"))

    async def pay(self, invoice: ProviderInvoice) -> None:
        """The payer pays all that remains."""
        if self.fake is not None:
            self.fake.payments.pay(invoice.id, {})
            return
        import stripe

        client = stripe.StripeClient(os.environ[REAL_KEY]).v1
        method = client.payment_methods.attach("pm_card_visa", {"customer": invoice.customer_id})
        client.invoices.pay(invoice.id, {"payment_method": method.id})


@asynccontextmanager
async def stripe_book(kind: str) -> AsyncIterator[StripeBook]:
    """The account."""
    if kind == "real":
        with closing(StripeProvider(os.environ[REAL_KEY])) as provider:
            yield StripeBook(provider, None)
        return
    async with running_stripe(ManualClock(NOW)) as fake:
        with closing(StripeProvider(API_KEY, fake.address, timeout_s=2)) as provider:
            yield StripeBook(provider, fake)

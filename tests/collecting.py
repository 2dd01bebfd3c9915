"""An installation that collects through the fake Stripe, for tests of what becomes of invoices."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import asyncpg

from billing.desk import close
from billing.inbox import StripeInbox
from billing.invoice.credit_note import CreditLine, issue_credit_note
from billing.payment.account import collect_from
from billing.payment.bank import record_payment
from billing.payment.collector import Collector
from billing.payment.reminder import remind
from billing.payment.settlement import Settlement, payable, settlement
from billing.payment.stripe_provider import StripeProvider
from billing.transaction import all_accounts
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.fakes.stripe_server import API_KEY, WEBHOOK_SECRET, FakeStripe, running_stripe
from tests.fakes.stripe_server.store import Object
from tests.usage_books import PROFILE, add_account, add_price, call, use

OCTOBER = Period(2026, 10)
OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
ISSUED_AT = datetime(2026, 11, 2, tzinfo=UTC)
_ONE: Mapping[str, str] = {"address": "10.50"}


class Installation:
    """Billing, the gateway's door for webhooks, and Stripe, on one clock."""

    def __init__(
        self,
        admin: asyncpg.Connection,
        billing: asyncpg.Pool,
        gateway: asyncpg.Pool,
        stripe: FakeStripe,
        provider: StripeProvider,
        clock: ManualClock,
    ) -> None:
        self.admin = admin
        self.billing = billing
        self.gateway = gateway
        self.stripe = stripe
        self.provider = provider
        self.clock = clock
        self.inbox = StripeInbox(WEBHOOK_SECRET, clock, livemode=provider.livemode)
        self.collector = Collector(billing, provider, clock)

    async def invoiced(
        self,
        account_id: str = "acct_x",
        amounts: Mapping[str, str] | None = None,
        currency: str = "EUR",
        *,
        collect: bool = True,
        terms_days: int | None = 30,
    ) -> str:
        """An external account with an issued invoice over October; amount by service, one call each. Its id."""
        await add_account(self.admin, account_id, kind="external", profile=PROFILE, currency=currency)
        if collect:
            async with all_accounts(self.billing) as connection:
                await collect_from(
                    connection, account_id, from_ns(self.clock.now_ns()), terms_days=terms_days
                )
        return await self.bill(account_id, amounts or _ONE, currency)

    async def bill(self, account_id: str, amounts: Mapping[str, str] = _ONE, currency: str = "EUR") -> str:
        """An issued invoice over October for an account that is there. Its id."""
        calls = []
        for service, amount in amounts.items():
            price = f"price_{account_id}_{service}"
            await add_price(
                self.admin,
                price,
                f"{service}/run",
                "flat",
                {"amount": amount},
                currency=currency,
            )
            calls.append(call(account_id, OCTOBER_5, price_version=price, operation=f"{service}/run"))
        await use(self.billing, calls)
        await close(self.billing, OCTOBER, self.clock)
        return f"inv_live_{account_id}_2026-10"

    async def credit(self, invoice_id: str, amount: str, source: str = "sla:1") -> str:
        """A credit note on an invoice, issued once for its source. Its id."""
        async with all_accounts(self.billing) as connection:
            note = await issue_credit_note(
                connection,
                invoice_id,
                "sla_credit",
                source,
                [CreditLine("address", "availability below 99.9 %", Decimal(amount))],
                from_ns(self.clock.now_ns()),
            )
        return note.id

    async def collect(self, rounds: int = 12) -> None:
        """Let the collector work until nothing is left that could be done by waiting, and overdue invoices be reminded of."""
        await self._collect(rounds)
        await remind(self.billing, self.clock)

    async def wait_until(self, moment: datetime) -> None:
        """Put the clock forward."""
        self.clock.advance((moment - from_ns(self.clock.now_ns())).total_seconds())

    async def _collect(self, rounds: int) -> None:
        for _ in range(rounds):
            while await self.collector.turn():
                pass
            waiting = await self.admin.fetchval(
                "SELECT (SELECT count(*) FROM billing.payment_task WHERE state = 'waiting') "
                "+ (SELECT count(*) FROM billing.webhook_event WHERE state = 'waiting')"
            )
            if not waiting:
                return
            self.clock.advance(4000)

    async def news(self, *, disorder: Random | None = None, copies: int = 1, lost: bool = False) -> int:
        """Stripe tells what is new."""
        return await self.stripe.webhooks.deliver(self.receive, disorder=disorder, copies=copies, lost=lost)

    async def receive(self, body: bytes, signature: str) -> int:
        """The gateway's route, without its HTTP."""
        try:
            async with self.gateway.acquire() as connection, connection.transaction():
                await self.inbox.accept(connection, body, signature)
        except Problem as problem:
            return problem.type.status
        return 200

    async def paid(self) -> tuple[str, Object]:
        """An invoice that was brought over and paid, with all news taken in; our id and Stripe's invoice."""
        invoice_id = await self.invoiced()
        await self.collect()
        (theirs,) = self.stripe.store.all("invoice")
        self.stripe.payments.pay(theirs["id"], {})
        await self.news()
        await self.collect()
        return invoice_id, theirs

    async def transferred(self, invoice_id: str, amount: str) -> None:
        """Its payer's transfer is recorded."""
        now = from_ns(self.clock.now_ns())
        async with all_accounts(self.billing) as connection:
            await record_payment(
                connection,
                invoice_id,
                Decimal(amount),
                reference="TRX-1",
                received_on=now.date(),
                actor="test",
                now=now,
            )

    async def standing(self, invoice_id: str) -> Settlement:
        """Where an invoice stands."""
        async with all_accounts(self.billing) as connection:
            return await settlement(connection, await payable(connection, invoice_id))

    async def task(self, document_id: str) -> asyncpg.Record:
        """The outbox's row of a document."""
        row = await self.admin.fetchrow(
            "SELECT * FROM billing.payment_task WHERE document_id = $1", document_id
        )
        assert row is not None
        return row

    async def ledger(self) -> dict[str, Decimal]:
        """Balances that are not zero, by `<account> <ledger account>`."""
        rows = await self.admin.fetch(
            "SELECT account_id || ' ' || ledger_account AS name, sum(amount) AS amount FROM billing.posting "
            "GROUP BY 1 HAVING sum(amount) <> 0"
        )
        return {row["name"]: row["amount"] for row in rows}

    async def announced(self, kind: str) -> int:
        """How many events of a kind were announced."""
        count: int = await self.admin.fetchval("SELECT count(*) FROM catalog.outbox WHERE kind = $1", kind)
        return count


@asynccontextmanager
async def collecting(
    admin: asyncpg.Connection, billing: asyncpg.Pool, gateway: asyncpg.Pool
) -> AsyncIterator[Installation]:
    """The day after October was over."""
    clock = ManualClock(ISSUED_AT)
    async with running_stripe(clock) as stripe:
        with closing(StripeProvider(API_KEY, stripe.address, timeout_s=2)) as provider:
            yield Installation(admin, billing, gateway, stripe, provider, clock)

"""The fake is honest where the port's contract does not look: forms, stored failures, parameters, signatures."""

from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe

from billing.payment.provider import NewCustomer, ProviderAway, ProviderRefused
from billing.payment.stripe_provider import StripeProvider
from catalog.vocabulary.clock import ManualClock
from tests.fakes.stripe_server import API_KEY, FakeStripe, running_stripe
from tests.fakes.stripe_server.errors import ApiError
from tests.fakes.stripe_server.form import decode_form
from tests.fakes.stripe_server.webhooks import signature

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
CUSTOMER = NewCustomer("acct_x", "Hefei Trading Ltd", "1 Changjiang Road", "91340100MA2N0000X0")


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    async with running_stripe(ManualClock(NOW)) as running:
        yield running


def test_forms_are_read_as_stripes_clients_write_them() -> None:
    form = (
        "lines%5B0%5D%5Bamount%5D=5&lines[0][metadata][a.b]=x+y&lines[1][amount]=-2&auto_advance=false&empty="
    )
    assert decode_form(form) == {
        "lines": [{"amount": "5", "metadata": {"a.b": "x y"}}, {"amount": "-2"}],
        "auto_advance": "false",
        "empty": "",
    }
    with pytest.raises(ValueError, match="bad query field"):
        decode_form("a")


async def test_a_stored_failure_is_repeated_and_says_so_and_a_busy_answer_is_not_stored(
    fake: FakeStripe,
) -> None:
    with closing(StripeProvider(API_KEY, fake.address, timeout_s=2)) as provider:
        fake.faults.plan("failed_after", "POST /v1/customers$")
        fake.faults.plan("busy", "POST /v1/customers$")
        seen = []
        for key in ("k1", "k1", "k1", "k2"):
            try:
                await provider.create_customer(CUSTOMER, key)
            except ProviderAway as away:
                seen.append((away.reason, away.replayed))
    assert seen == [("server-failed: 500", False), ("rate-limited", False), ("server-failed: 500", True)]
    assert len(fake.store.all("customer")) == 2


@pytest.mark.parametrize(
    ("method", "path", "params", "status", "code"),
    [
        ("POST", "/v1/invoices", {"customer": "cus_none"}, 400, "resource_missing"),
        ("POST", "/v1/invoices", {}, 400, "parameter_missing"),
        ("POST", "/v1/customers", {"surname": "x"}, 400, "parameter_unknown"),
        ("GET", "/v1/invoices", {"limit": "101"}, 400, "parameter_invalid"),
        ("GET", "/v1/invoices", {"starting_after": "in_none"}, 400, "resource_missing"),
        ("GET", "/v1/invoices/in_none", {}, 404, "resource_missing"),
        ("GET", "/v1/everything", {}, 404, None),
        ("POST", "/v1/refunds", {"payment_intent": "pi_none"}, 400, "resource_missing"),
    ],
)
async def test_what_stripe_would_refuse_is_refused(
    fake: FakeStripe, method: str, path: str, params: dict[str, str], status: int, code: str | None
) -> None:
    headers = {"authorization": f"Bearer {API_KEY}"}
    sent: dict[str, Any] = {"params": params} if method == "GET" else {"data": params}
    async with httpx.AsyncClient(base_url=fake.address) as client:
        reply = await client.request(method, path, headers=headers, **sent)
    assert (reply.status_code, reply.json()["error"].get("code")) == (status, code)


async def test_a_draft_can_be_deleted_and_an_open_invoice_void_or_uncollectible(fake: FakeStripe) -> None:
    customer = fake.invoices.create_customer({})
    made = [fake.invoices.create({"customer": customer["id"]}) for _ in range(3)]
    for invoice in made:
        fake.invoices.create_item({"invoice": invoice["id"], "amount": "700"})
    fake.invoices.delete(made[0]["id"])
    for invoice in made[1:]:
        fake.invoices.finalize(invoice["id"], {})
    assert fake.invoices.void(made[1]["id"], {})["status"] == "void"
    assert fake.invoices.mark_uncollectible(made[2]["id"], {})["status"] == "uncollectible"
    assert fake.payments.pay(made[2]["id"], {})["status"] == "paid"
    assert [one["id"] for one in fake.store.all("invoice")] == [made[1]["id"], made[2]["id"]]


async def test_a_note_takes_its_refund_from_the_one_payment_and_never_chooses_among_several(
    fake: FakeStripe,
) -> None:
    customer = fake.invoices.create_customer({})
    for parts in ((1000,), (400, 600)):
        invoice = fake.invoices.create({"customer": customer["id"]})
        fake.invoices.create_item({"invoice": invoice["id"], "amount": "1000"})
        fake.invoices.finalize(invoice["id"], {})
        for part in parts:
            fake.payments.receive(invoice, part)
        asked = {"invoice": invoice["id"], "amount": "500", "refund_amount": "500"}
        if len(parts) == 1:
            note = fake.payments.create_credit_note(asked)
            assert [one["amount_refunded"] for one in note["refunds"]] == [500]
        else:
            with pytest.raises(ApiError, match="2 payments of this invoice could be refunded"):
                fake.payments.create_credit_note(asked)
    assert [one["amount"] for one in fake.store.all("refund")] == [500]


async def test_a_list_that_never_ends_is_refused(fake: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.invoices.create({"customer": fake.invoices.create_customer({})["id"], "currency": "eur"})
    page = fake.store.page
    monkeypatch.setattr(
        fake.store,
        "page",
        lambda kind, _, matches, url: page(kind, {}, matches, url) | {"has_more": True},
    )
    with (
        closing(StripeProvider(API_KEY, fake.address, timeout_s=2)) as provider,
        pytest.raises(ProviderRefused, match="unreadable-answer: a list comes back to in_"),
    ):
        [one async for one in provider.all_invoices()]


def test_signatures_are_those_of_stripes_own_package() -> None:
    body = '{"id": "evt_1", "name": "沁源"}'
    stamp = int(NOW.timestamp())
    assert signature("whsec_x", body.encode(), stamp) == stripe.WebhookSignature.generate_signature_header(
        body, "whsec_x", timestamp=stamp
    )

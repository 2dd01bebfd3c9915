"""Real money and Stripe's play money never meet: key, payers, objects and events are all of one mode."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import asyncpg
import msgspec
import pytest

from billing.inbox import open_inbox
from billing.payment.collector import Collector
from billing.payment.mode import known_mode
from billing.payment.open import open_stripe
from billing.payment.provider import ProviderRefused
from billing.payment.reconcile import reconcile_payments
from billing.payment.stripe_provider import StripeProvider
from billing.settings import StripeSecrets, stripe_secrets
from billing.transaction import all_accounts
from billing.worker import _collect
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from deploy.doctor import examine_contents
from deploy.home import Home
from tests.collecting import Installation, collecting
from tests.fakes.stripe_server import API_KEY, LIVE_KEY, WEBHOOK_SECRET
from tests.fakes.stripe_server.webhooks import signature


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        yield installation


async def _known(house: Installation) -> bool | None:
    async with all_accounts(house.billing) as connection:
        return await known_mode(connection)


@pytest.mark.parametrize(
    ("key", "trial", "sentence"),
    [
        ("sk_test_1", False, 'the key is a test key: use a live key, or, for trying out, add "trial": true'),
        ("rk_test_1", False, 'the key is a test key: use a live key, or, for trying out, add "trial": true'),
        (
            "sk_live_1",
            True,
            'the key is a live key, and the installation is for trying out: remove "trial" or use a test key',
        ),
    ],
)
def test_a_key_of_the_mode_that_an_installation_is_not_for_collects_nothing(
    key: str, trial: bool, sentence: str
) -> None:
    with pytest.raises(ProviderRefused) as caught:
        open_stripe(StripeSecrets(key, "whsec_1", trial=trial))
    assert caught.value.reason == f"wrong-mode: {sentence}"
    assert key not in sentence


@pytest.mark.parametrize(("key", "trial"), [("sk_test_1", True), ("sk_live_1", False), ("rk_live_1", False)])
def test_a_key_of_the_right_mode_is_taken(key: str, trial: bool) -> None:
    with closing(open_stripe(StripeSecrets(key, "whsec_1", trial=trial))) as provider:
        assert provider.livemode is not trial


async def test_a_process_with_a_test_key_that_nobody_declared_says_so_and_touches_nothing(
    house: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    invoice_id = await house.invoiced()
    secrets = StripeSecrets(API_KEY, WEBHOOK_SECRET, house.stripe.address)
    await _collect(house.billing, secrets, house.clock, asyncio.Event())
    assert "nothing is collected" in caplog.text
    assert (house.stripe.requests, (await house.task(invoice_id))["attempts"]) == ([], 0)


async def test_who_is_known_in_one_mode_is_never_asked_for_in_the_other(
    house: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    assert await _known(house) is None
    await house.invoiced()
    await house.collect()
    assert await _known(house) is False
    second = await house.invoiced("acct_y")
    asked = len(house.stripe.requests)
    with closing(StripeProvider(LIVE_KEY, house.stripe.address)) as live:
        with pytest.raises(
            ProviderRefused, match="wrong-mode: the payers of these books are known in Stripe's test"
        ):
            await Collector(house.billing, live, house.clock).turn()
        with pytest.raises(ProviderRefused, match="the key is of its live mode"):
            await reconcile_payments(house.billing, live)
    assert len(house.stripe.requests) == asked
    assert (await house.task(second))["attempts"] == 0
    stop = asyncio.Event()
    secrets = StripeSecrets(LIVE_KEY, WEBHOOK_SECRET, house.stripe.address)
    running = asyncio.create_task(_collect(house.billing, secrets, house.clock, stop))
    async with asyncio.timeout(10):
        while "nothing is collected" not in caplog.text:
            await asyncio.sleep(0.02)
    stop.set()
    await running


async def test_payers_that_were_known_before_modes_were_kept_are_of_the_collectors(
    house: Installation,
) -> None:
    await house.invoiced()
    await house.collect()
    await house.admin.execute("UPDATE billing.payment_account SET livemode = NULL")
    assert await _known(house) is None
    await Collector(house.billing, house.provider, house.clock).turn()
    assert await _known(house) is False


async def test_a_live_installation_collects_with_a_live_key(house: Installation) -> None:
    house.stripe.store.livemode = True
    invoice_id = await house.invoiced()
    with closing(StripeProvider(LIVE_KEY, house.stripe.address)) as live:
        collector = Collector(house.billing, live, house.clock)
        while await collector.turn():
            pass
        assert ((await house.task(invoice_id))["state"], await _known(house)) == ("done", True)
        assert (await reconcile_payments(house.billing, live)).agrees


async def test_a_payment_of_the_other_mode_is_never_cash(house: Installation) -> None:
    await house.invoiced()
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    house.stripe.payments.receive(theirs, 1050)
    (payment,) = house.stripe.store.all("invoice_payment")
    payment["livemode"] = True
    await house.news()
    await house.collect()
    assert "house cash" not in await house.ledger()
    held = await house.admin.fetch("SELECT DISTINCT reason FROM billing.webhook_event WHERE state = 'held'")
    assert [row["reason"] for row in held] == [
        f"wrong-mode: {payment['id']} is of Stripe's live mode, the key of its test mode"
    ]
    assert (await house.standing("inv_live_acct_x_2026-10")).owed == Decimal("10.50")


async def test_an_event_of_the_other_mode_is_refused(house: Installation, tmp_path: Path) -> None:
    _write(tmp_path, API_KEY, True)
    secrets, inbox = stripe_secrets(tmp_path), open_inbox(tmp_path, house.clock)
    assert secrets is not None
    assert (secrets.mismatch, inbox is None) == ("", False)
    assert inbox is not None
    body = msgspec.json.encode(
        {
            "id": "evt_1",
            "type": "invoice.paid",
            "created": 1,
            "livemode": True,
            "data": {"object": {"object": "invoice", "id": "in_1"}},
        }
    )
    signed = signature(WEBHOOK_SECRET, body, house.stripe.store.now)
    async with house.gateway.acquire() as connection, connection.transaction():
        with pytest.raises(Problem, match="wrong-mode: event evt_1 is of Stripe's live mode"):
            await inbox.accept(connection, body, signed)
    assert await house.admin.fetchval("SELECT count(*) FROM billing.webhook_event") == 0


async def test_the_doctor_says_whether_key_and_books_are_of_one_mode(
    house: Installation, database: Database, tmp_path: Path
) -> None:
    async def told(key: str, *, trial: bool) -> tuple[bool, str]:
        _write(tmp_path, key, trial)
        (found,) = [
            one async for one in examine_contents(database, Home(tmp_path)) if one.subject == "payments"
        ]
        return found.in_order, found.seen.rpartition("json: ")[2]

    nothing = [one async for one in examine_contents(database, Home(tmp_path)) if one.subject == "payments"]
    assert [(one.in_order, one.seen) for one in nothing] == [
        (True, "no provider is configured: invoices are paid by transfer")
    ]
    assert await told(LIVE_KEY, trial=False) == (True, "collected through Stripe, with real money")
    await house.invoiced()
    await house.collect()
    assert await told(API_KEY, trial=True) == (
        True,
        "collected through Stripe, with play money, for trying out",
    )
    assert (await told(API_KEY, trial=False))[1].startswith("the key is a test key: use a live key")
    assert await told(LIVE_KEY, trial=False) == (
        False,
        "payers are known in Stripe's test mode, and the key is of its other one",
    )
    assert await told("pk_live_1", trial=False) == (
        False,
        "api_key begins with sk_ or rk_, webhook_secret with whsec_",
    )


def _write(home: Path, key: str, trial: bool) -> None:
    path = home / "secrets" / "stripe.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.encode({"api_key": key, "webhook_secret": WEBHOOK_SECRET, "trial": trial}))
    path.chmod(0o600)

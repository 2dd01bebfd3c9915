"""The billing process collects where it is configured, and costs nothing of it where it is not."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from billing.payment.account import agree
from billing.payment.collector import Collector
from billing.payment.outbox import take_task
from billing.payment.stripe_provider import StripeProvider
from billing.settings import Settings, StripeSecrets
from billing.transaction import all_accounts
from billing.worker import serve
from catalog.vocabulary.clock import from_ns
from deploy.database import Database
from deploy.roles import BILLING
from tests.collecting import Installation, collecting
from tests.fakes.stripe_server import API_KEY, WEBHOOK_SECRET
from tests.usage_books import PROFILE, add_account


class _Settings(Settings, frozen=True):
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)

    def connect_arguments(self) -> dict[str, Any]:
        return self.arguments


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        yield installation


@pytest.mark.parametrize("module", ["billing.worker", "gateway.app", "billing.desk"])
def test_who_does_not_collect_does_not_import_stripe(module: str) -> None:
    script = f"import sys, {module}; sys.exit('stripe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def _serve_until(
    house: Installation, database: Database, home: Path, secrets: StripeSecrets | None, wait: Any
) -> None:
    settings = _Settings(
        home=home,
        database_url=None,
        socket_dir=None,
        journal_mirror=None,
        arguments={"server_settings": {}, **database.as_role(BILLING)},
    )
    stop = asyncio.Event()
    process = asyncio.create_task(serve(settings, house.clock, stop, secrets))
    try:
        async with asyncio.timeout(20):
            await wait()
    finally:
        stop.set()
        await process


async def test_a_configured_process_brings_invoices_over(
    house: Installation, database: Database, tmp_path: Path
) -> None:
    invoice_id = await house.invoiced()
    secrets = StripeSecrets(API_KEY, WEBHOOK_SECRET, house.stripe.address, trial=True)

    async def done() -> None:
        while (await house.task(invoice_id))["state"] != "done":
            await asyncio.sleep(0.02)

    await _serve_until(house, database, tmp_path, secrets, done)
    assert [one["status"] for one in house.stripe.store.all("invoice")] == ["open"]


async def test_a_process_without_secrets_leaves_the_outbox_alone(
    house: Installation, database: Database, tmp_path: Path
) -> None:
    invoice_id = await house.invoiced()
    await _serve_until(house, database, tmp_path, None, lambda: asyncio.sleep(0.3))
    assert (await house.task(invoice_id))["attempts"] == 0
    assert house.stripe.requests == []


async def test_a_process_without_secrets_reminds_of_what_is_paid_by_transfer(
    house: Installation, database: Database, tmp_path: Path
) -> None:
    await add_account(house.admin, "acct_x", kind="external", profile=PROFILE, currency="EUR")
    async with all_accounts(house.billing) as connection:
        now = from_ns(house.clock.now_ns())
        await agree(connection, "acct_x", now, terms_days=14, reminder_days=(1,))
    await house.bill("acct_x")
    house.clock.advance(15 * 86_400)

    async def reminded() -> None:
        while not await house.announced("invoice.overdue"):
            await asyncio.sleep(0.02)

    await _serve_until(house, database, tmp_path, None, reminded)


async def test_a_document_whose_collector_died_is_taken_up_when_its_lease_ends(house: Installation) -> None:
    invoice_id = await house.invoiced()
    async with all_accounts(house.billing) as connection:
        task = await take_task(connection, from_ns(house.clock.now_ns()))
    assert task is not None
    house.clock.advance(14 * 60)
    assert not await house.collector.turn()
    house.clock.advance(2 * 60)
    await house.collect()
    assert (await house.task(invoice_id))["attempts"] == 2
    assert len(house.stripe.store.all("invoice")) == 1


async def test_two_collectors_at_once_bring_everything_over_once(house: Installation) -> None:
    for account in ("acct_a", "acct_b", "acct_c", "acct_d"):
        await house.invoiced(account)
    others = [Collector(house.billing, house.provider, house.clock) for _ in range(2)]

    async def work(collector: Collector) -> None:
        while await collector.turn():
            pass

    await asyncio.gather(*(work(one) for one in others))
    assert len(house.stripe.store.all("invoice")) == 4
    assert len(house.stripe.store.all("customer")) == 4
    states = await house.admin.fetch("SELECT DISTINCT state, attempts FROM billing.payment_task")
    assert [tuple(row) for row in states] == [("done", 1)]


async def test_a_key_that_is_not_accepted_is_told_to_nobody(
    house: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = "sk_test_revoked00000000000000"
    invoice_id = await house.invoiced()
    provider = StripeProvider(key, house.stripe.address)
    await Collector(house.billing, provider, house.clock).turn()
    provider.close()
    task = await house.task(invoice_id)
    assert (task["state"], task["reason"]) == ("waiting", "key-not-accepted: 401")
    assert "is not in the provider's book" in caplog.text
    ours = [record for record in caplog.records if record.name.startswith("billing")]
    assert key not in str([vars(record) for record in ours])
    await house.collect()
    assert (await house.task(invoice_id))["state"] == "done"

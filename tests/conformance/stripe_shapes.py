"""`python -m tests.conformance.stripe_shapes`: what is sent to Stripe and read from it, held against Stripe's own mock.

`stripe-mock` is generated from Stripe's OpenAPI document: it refuses parameters that the API does not have and answers
with the API's shapes, but remembers nothing, so amounts and states are the fake's and the contract suite's to judge. It
is built with Go into a cache folder; where that cannot be done, that is said and nothing is judged.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx

from billing.payment.provider import (
    NewCreditNote,
    NewCustomer,
    NewInvoice,
    NewLine,
    NewRefund,
    ProviderAway,
    ProviderRefused,
    SentBack,
)
from billing.payment.stripe_provider import StripeProvider
from tests.faults.product import free_port

MODULE = "github.com/stripe/stripe-mock@v0.203.0"
# Samples of the mock name their currency so, and one is of the other mode; both are said of what was decoded.
_SAMPLES = (
    "unreadable-answer: CURRENCY is no currency",
    "wrong-mode: obj_123 is of Stripe's live mode, the key of its test mode",
)
_BUILD_S = 600
_START_S = 20
_LINES = (
    NewLine(1, "address/validate 2026-11: 7 calls", Decimal("12.50")),
    NewLine(2, "credit", Decimal("-2.50")),
)


def mock_binary() -> Path | str:
    """The built mock, or why there is none."""
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "ordergate"
        / MODULE.partition("@")[2]
    )
    binary = cache / "stripe-mock"
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        return "no Go toolchain is on the PATH"
    cache.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        [go, "install", MODULE],
        env={**os.environ, "GOBIN": str(cache)},
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        check=False,
    )
    return binary if built.returncode == 0 else f"{MODULE} cannot be built: {built.stderr.strip()[-200:]}"


def checks(provider: StripeProvider) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """One call of the port for each kind of request it makes."""
    customer = NewCustomer("acct_x", "Hefei Trading Ltd", "1 Changjiang Road", "91340100MA2N0000X0")
    invoice = NewInvoice(
        document_id="inv_live_acct_x_2026-11",
        account_id="acct_x",
        number="INV-2026-000001",
        period="2026-11",
        customer_id="cus_x",
        currency="EUR",
        total=Decimal("10.00"),
        due_at=datetime.now(UTC) + timedelta(days=30),
        lines=_LINES,
    )
    note = NewCreditNote(
        "cn_x",
        "CN-2026-000001",
        "in_x",
        "EUR",
        Decimal("2.50"),
        _LINES[:1],
        (SentBack("re_x", Decimal("1.50")),),
        Decimal("1.00"),
    )
    refund = NewRefund("cn_x", "pi_x", "EUR", Decimal("1.50"))

    async def whole(book: AsyncIterator[object]) -> None:
        [one async for one in book]

    return {
        "create customer": lambda: provider.create_customer(customer, "k1"),
        "create invoice": lambda: provider.create_invoice(invoice, "k2"),
        "find invoice": lambda: provider.find_invoice("cus_x", "inv_x"),
        "retrieve invoice": lambda: provider.invoice("in_x"),
        "list lines": lambda: provider.lines("in_x"),
        "add lines": lambda: provider.add_lines("in_x", "EUR", _LINES, "k3"),
        "finalize invoice": lambda: provider.finalize("in_x", "k4"),
        "create credit note": lambda: provider.create_credit_note(note, "k5"),
        "create refund": lambda: provider.create_refund(refund, "k6"),
        "list credit notes": lambda: provider.credit_notes("in_x"),
        "list invoice payments": lambda: provider.payments("in_x"),
        "fees of a payment": lambda: provider.payment_fees("pi_x"),
        "invoice of a payment": lambda: provider.invoice_of_payment("pi_x"),
        "list refunds": lambda: provider.refunds("pi_x"),
        "list disputes": lambda: provider.disputes("pi_x"),
        "all invoices": lambda: whole(provider.all_invoices()),
        "all credit notes": lambda: whole(provider.all_credit_notes()),
        "all payments": lambda: whole(provider.all_payments()),
        "all refunds": lambda: whole(provider.all_refunds()),
        "all disputes": lambda: whole(provider.all_disputes()),
    }


async def run(address: str) -> int:
    """Make every kind of request; how many were refused or answered in another shape."""
    wrong = 0
    with closing(StripeProvider("sk_test_123", address)) as provider:
        table = checks(provider)
        for name, check in table.items():
            try:
                await check()
            except (ProviderAway, ProviderRefused) as failure:
                if failure.reason not in _SAMPLES:
                    wrong += 1
                    print(f"stripe {name}: {failure.reason}")
    print(f"stripe {len(table) - wrong}/{len(table)}")
    return wrong


async def _until_it_answers(address: str) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(_START_S):
        while True:
            try:
                await client.get(address)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


async def _judge(address: str) -> int:
    await _until_it_answers(address)
    return await run(address)


def main() -> int:
    """0 where every request is Stripe's, or where nothing could be judged."""
    binary = mock_binary()
    if isinstance(binary, str):
        print(f"stripe SKIPPED: {binary}")
        return 0
    port = free_port()
    mock = subprocess.Popen(
        [binary, "-http-addr", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return 1 if asyncio.run(_judge(f"http://127.0.0.1:{port}")) else 0
    finally:
        mock.terminate()
        mock.wait(10)


if __name__ == "__main__":
    sys.exit(main())

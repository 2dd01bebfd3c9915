"""Payments by transfer: recorded once against the document that they pay, posted, and reminded of as any other."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import asyncpg
import pytest

from billing.audit.compare import compare
from billing.desk import close
from billing.invoice.contested import Contested
from billing.invoice.credit_note import issue_credit_note, spread
from billing.invoice.dispute import open_dispute
from billing.invoice.month import Month
from billing.invoice.rate_pending import rate_pending
from billing.payment.account import agree
from billing.payment.bank import Recorded, record_payment, record_refund
from billing.payment.owed import open_invoices
from billing.payment.reconcile import reconcile_payments
from billing.payment.reminder import remind
from billing.payment.shown import invoice_money
from billing.rebuild import verify
from billing.transaction import all_accounts, one_snapshot
from billing.view import document
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.problem import Problem
from tests.collecting import OCTOBER, OCTOBER_5, Installation, collecting
from tests.prepaid_books import give
from tests.usage_books import PROFILE, add_account, call, use

NOVEMBER_5 = date(2026, 11, 5)
EARNED = {"house earnings:address": Decimal("-10.50")}


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        installation.clock.advance(timedelta(days=5).total_seconds())
        yield installation


async def _pay(
    house: Installation, document: str, amount: str, reference: str = "R-1", **said: Any
) -> Recorded:
    terms: Any = {"received_on": NOVEMBER_5, "actor": "operator@test", "now": from_ns(house.clock.now_ns())}
    async with all_accounts(house.billing) as connection:
        return await record_payment(
            connection, document, Decimal(amount), reference=reference, **terms | said
        )


async def _refund(house: Installation, document: str, amount: str, reference: str = "B-1") -> Recorded:
    async with all_accounts(house.billing) as connection:
        return await record_refund(
            connection,
            document,
            Decimal(amount),
            reference=reference,
            sent_on=NOVEMBER_5,
            actor="operator@test",
            now=from_ns(house.clock.now_ns()),
        )


async def _agree(house: Installation, account_id: str = "acct_x", days: int = 14) -> None:
    async with all_accounts(house.billing) as connection:
        now = from_ns(house.clock.now_ns())
        await agree(connection, account_id, now, terms_days=days, reminder_days=(1, 14))


async def _agrees(house: Installation) -> None:
    async with one_snapshot(house.billing) as connection:
        for environment in ("live", "test"):
            comparison = await compare(connection, environment)
            assert (comparison.differences, comparison.money_diff) == ((), Decimal(0))
    assert await verify(house.billing, ()) == []


async def test_parts_add_up_until_nothing_is_owed_and_the_books_say_so(house: Installation) -> None:
    invoice_id = await house.invoiced(collect=False)
    first = await _pay(house, "INV-2026-000001", "4.00")
    assert (first.standing.state, first.standing.owed, first.is_new) == ("open", Decimal("6.50"), True)
    assert await house.ledger() == EARNED | {
        "house bank": Decimal("4.00"),
        "acct_x receivable": Decimal("6.50"),
    }
    assert await house.announced("invoice.paid") == 0
    second = await _pay(house, invoice_id, "6.50", "R-2")
    assert (second.standing.state, second.standing.owed) == ("paid", Decimal("0.00"))
    assert await house.ledger() == EARNED | {"house bank": Decimal("10.50")}
    assert await house.announced("invoice.paid") == 1
    await _agrees(house)
    async with all_accounts(house.billing) as connection:
        assert await open_invoices(connection, from_ns(house.clock.now_ns())) == []
        shown = await invoice_money(connection, invoice_id, from_ns(house.clock.now_ns()))
    assert [(one.kind, one.name, one.moved_on, one.recorded_by) for one in shown.facts] == [
        ("bank_payment", "R-1", NOVEMBER_5, "operator@test"),
        ("bank_payment", "R-2", NOVEMBER_5, "operator@test"),
    ]
    logged = await house.admin.fetch(
        "SELECT action, detail FROM catalog.audit WHERE action = 'payments.record'"
    )
    assert [json.loads(one["detail"])["amount"] for one in logged] == ["4.00", "6.50"]
    assert "R-1" not in str(logged), "what banks let payers write stays out of the log"


async def test_a_record_that_is_repeated_is_made_once_even_by_several_at_once(house: Installation) -> None:
    invoice_id = await house.invoiced(collect=False)
    made = await asyncio.gather(*(_pay(house, invoice_id, "4.00") for _ in range(4)))
    assert sorted(one.is_new for one in made) == [False, False, False, True]
    assert len({one.movement.id for one in made}) == 1
    with pytest.raises(
        Problem, match=r"R-1 is recorded for INV-2026-000001 as a payment of 4\.00 EUR on 2026-11-05"
    ):
        await _pay(house, invoice_id, "5.00")
    with pytest.raises(Problem, match="another reference"):
        await _pay(house, invoice_id, "4.00", received_on=date(2026, 11, 4))
    assert (await house.ledger())["house bank"] == Decimal("4.00")
    assert await house.admin.fetchval("SELECT count(*) FROM billing.settlement_entry") == 1


async def test_one_transfer_may_pay_several_documents(house: Installation) -> None:
    for account_id in ("acct_x", "acct_y"):
        await house.invoiced(account_id, collect=False)
    for number in ("INV-2026-000001", "INV-2026-000002"):
        assert (await _pay(house, number, "10.50")).is_new
    assert (await house.ledger())["house bank"] == Decimal("21.00")


async def test_more_than_is_owed_is_refused_and_nothing_of_it_stays(house: Installation) -> None:
    invoice_id = await house.invoiced(collect=False)
    with pytest.raises(Problem, match=r"10\.51 EUR are more than the 10\.50 EUR that are owed .* sent back"):
        await _pay(house, invoice_id, "10.51")
    await _pay(house, invoice_id, "10.50")
    with pytest.raises(Problem, match=r"more than the 0\.00 EUR"):
        await _pay(house, invoice_id, "0.01", "R-2")
    assert await house.admin.fetchval("SELECT count(*) FROM billing.settlement_entry") == 1
    await _agrees(house)


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"amount": "0"}, "/amount"),
        ({"amount": "-1.00"}, "/amount"),
        ({"amount": "1.001"}, "/amount"),
        ({"amount": "NaN"}, "/amount"),
        ({"reference": " "}, "/reference"),
        ({"reference": "x" * 101}, "/reference"),
        ({"reference": "a\nb"}, "/reference"),
        ({"received_on": date(2026, 11, 8)}, "/received_on"),
    ],
)
async def test_what_cannot_stand_in_the_books_is_refused_by_its_field(
    house: Installation, said: dict[str, Any], pointer: str
) -> None:
    await house.invoiced(collect=False)
    with pytest.raises(Problem) as refused:
        await _pay(house, "INV-2026-000001", **{"amount": "1.00"} | said)
    assert [error.pointer for error in refused.value.errors] == [pointer]
    assert await house.admin.fetchval("SELECT count(*) FROM billing.settlement_entry") == 0


async def test_only_live_issued_invoices_are_paid(house: Installation) -> None:
    await house.invoiced(collect=False)
    await add_account(house.admin, "acct_in", currency="EUR")
    await add_account(house.admin, "acct_t", kind="external", profile=PROFILE, currency="EUR")
    price: Any = {"price_version": "price_acct_x_address", "operation": "address/run"}
    november = datetime(2026, 11, 3, tzinfo=UTC)
    await use(
        house.billing,
        [
            call("acct_in", OCTOBER_5, **price),
            call("acct_t", OCTOBER_5, environment="test", **price),
            call("acct_x", november, **price),
        ],
    )
    await close(house.billing, OCTOBER, house.clock)
    await rate_pending(house.billing, house.clock)
    for named, why in (
        ("S-2026-000001", "settled inside the group"),
        ("TINV-2026-000001", "of the test environment"),
        ("inv_live_acct_x_2026-11", "is a draft"),
        ("INV-2026-000099", "There is no invoice"),
    ):
        with pytest.raises(Problem, match=why):
            await _pay(house, named, "1.00")
        with pytest.raises(Problem, match=why):
            await _refund(house, named, "1.00")


async def test_what_is_sent_back_is_owed_again_and_no_more_goes_back_than_came(house: Installation) -> None:
    invoice_id = await house.invoiced(collect=False)
    with pytest.raises(Problem, match=r"more than the 0\.00 EUR|more than the 0 EUR"):
        await _refund(house, invoice_id, "1.00")
    await _pay(house, invoice_id, "10.50")
    back = await _refund(house, invoice_id, "10.50")
    assert (back.standing.state, back.standing.owed, back.movement.kind) == (
        "open",
        Decimal("10.50"),
        "bank_refund",
    )
    assert not (await _refund(house, invoice_id, "10.50")).is_new
    with pytest.raises(Problem, match="came by bank"):
        await _refund(house, invoice_id, "0.01", "B-2")
    assert await house.ledger() == EARNED | {"acct_x receivable": Decimal("10.50")}
    await _agrees(house)


async def test_what_was_credited_after_it_was_paid_can_be_sent_back(house: Installation) -> None:
    invoice_id = await house.invoiced(collect=False)
    await _pay(house, invoice_id, "10.50")
    async with all_accounts(house.billing) as connection:
        lines = await spread(connection, invoice_id, Decimal("2.50"), "too slow")
        await issue_credit_note(
            connection, invoice_id, "correction", "test:1", lines, from_ns(house.clock.now_ns())
        )
    back = await _refund(house, invoice_id, "2.50")
    assert (back.standing.state, back.standing.owed) == ("paid", Decimal("0.00"))
    assert (await house.ledger())["house bank"] == Decimal("8.00")
    await _agrees(house)


async def test_reminders_come_to_who_pays_by_transfer_once_its_terms_are_said(house: Installation) -> None:
    invoice_id = await house.invoiced("acct_y", collect=False)
    await add_account(house.admin, "acct_x", kind="external", profile=PROFILE, currency="EUR")
    await _agree(house)
    await house.bill("acct_x")
    issued = from_ns(house.clock.now_ns())
    for day, expected in ((14, 0), (15, 1), (27, 0), (28, 1), (90, 0)):
        await house.wait_until(issued + timedelta(days=day))
        assert await remind(house.billing, house.clock) == expected, day
    rows = await house.admin.fetch("SELECT invoice_id, stage FROM billing.reminder ORDER BY 2")
    assert [tuple(row) for row in rows] == [("inv_live_acct_x_2026-10", 1), ("inv_live_acct_x_2026-10", 2)]
    assert invoice_id not in {row["invoice_id"] for row in rows}
    async with all_accounts(house.billing) as connection:
        (one,) = await open_invoices(connection, from_ns(house.clock.now_ns()), overdue=True)
    assert (one.document_id, one.stage, one.days_overdue) == ("inv_live_acct_x_2026-10", 2, 76)


async def test_a_part_that_is_paid_or_contested_is_not_asked_for(house: Installation) -> None:
    await add_account(house.admin, "acct_x", kind="external", profile=PROFILE, currency="EUR")
    await _agree(house)
    invoice_id = await house.bill("acct_x")
    await _pay(house, invoice_id, "4.00")
    async with all_accounts(house.billing) as connection:
        found = await document(connection, Month("acct_x", "live", OCTOBER))
    async with house.gateway.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('ordergate.account', 'acct_x', true)")
        contested = Contested(found.lines[0], Decimal("5.00"), "not ours")
        await open_dispute(connection, found, contested, "key/x", from_ns(house.clock.now_ns()))
    await _agrees(house)
    house.clock.advance(timedelta(days=16).total_seconds())
    assert await remind(house.billing, house.clock) == 1
    told = json.loads(
        await house.admin.fetchval("SELECT payload FROM catalog.outbox WHERE kind = 'invoice.overdue'")
    )
    assert told["owed"] == {"amount": "1.50", "currency": "EUR"}
    await _pay(house, invoice_id, "1.50", "R-2")
    house.clock.advance(timedelta(days=30).total_seconds())
    assert await remind(house.billing, house.clock) == 0


async def test_what_credit_paid_of_a_document_is_not_owed(house: Installation) -> None:
    await add_account(house.admin, "acct_x", kind="external", profile=PROFILE, currency="EUR")
    await give(house.billing, "6.00", "acct_x")
    invoice_id = await house.bill("acct_x")
    standing = (await _pay(house, invoice_id, "4.00")).standing
    assert (standing.prepaid, standing.owed) == (Decimal("6.00"), Decimal("0.50"))
    assert (await _pay(house, invoice_id, "0.50", "R-2")).standing.state == "paid"
    await _agrees(house)


async def test_an_invoice_that_the_provider_asks_for_is_named_until_it_is_marked_there(
    house: Installation,
) -> None:
    invoice_id = await house.invoiced()
    await house.collect()
    assert (await _pay(house, invoice_id, "10.50")).handed_over
    report = await reconcile_payments(house.billing, house.provider)
    assert report.differences == (
        "INV-2026-000001: 10.50 paid by transfer or written off here, 10.50 asked for there: mark it paid elsewhere there",
    )
    assert report.money_diff == {"EUR": Decimal("10.50")}
    (theirs,) = house.stripe.store.all("invoice")
    house.stripe.payments.pay(theirs["id"], {"paid_out_of_band": "true"})
    await house.news()
    await house.collect()
    assert (await reconcile_payments(house.billing, house.provider)).agrees
    assert await house.admin.fetchval("SELECT count(*) FROM billing.webhook_event WHERE state <> 'done'") == 0
    await _agrees(house)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_moves_the_list_the_settlement_and_the_ledger_say_the_same(
    house: Installation, seed: int
) -> None:
    chance = Random(seed)
    invoice_id = await house.invoiced(collect=False)
    for step in range(12):
        amount = str(Decimal(chance.randrange(1, 900)) / 100)
        try:
            await (_pay if chance.random() < 0.6 else _refund)(house, invoice_id, amount, f"M-{step}")
        except Problem as refused:
            assert refused.type.name == "conflict"
    standing = await house.standing(invoice_id)
    ledger = await house.ledger()
    assert ledger.get("acct_x receivable", Decimal(0)) == standing.owed
    assert ledger.get("house bank", Decimal(0)) == standing.paid - standing.refunded
    async with all_accounts(house.billing) as connection:
        listed = await open_invoices(connection, from_ns(house.clock.now_ns()))
    assert [Decimal(one.owed.amount) for one in listed] == ([standing.owed] if standing.owed > 0 else [])
    await _agrees(house)


async def test_reconcile_names_a_payment_without_its_posting(house: Installation) -> None:
    invoice_id = await house.invoiced(collect=False)
    await _pay(house, invoice_id, "4.00")
    async with house.admin.transaction():
        for table in ("posting", "ledger_transaction"):
            await house.admin.execute(f"ALTER TABLE billing.{table} DISABLE TRIGGER USER")
        await house.admin.execute(
            "UPDATE billing.posting SET amount = amount / 2 WHERE ledger_account IN ('bank', 'receivable') AND transaction_id = (SELECT max(id) FROM billing.ledger_transaction)"
        )
    async with one_snapshot(house.billing) as connection:
        comparison = await compare(connection, "live")
    assert any(
        "bank_payment pay_" in one and "is due and not posted" in one for one in comparison.differences
    )
    assert any("acct_x EUR: receivable 8.5" in one for one in comparison.differences)
    assert comparison.money_diff > 0


@pytest.mark.parametrize(
    "columns",
    [
        "'bank_payment', 's', $1, 'acct_x', 'EUR', 1, NULL, now(), 'R', '2026-11-05', 'x'",
        "'payment', 's', $1, 'acct_x', 'EUR', 1, NULL, now(), 'R', '2026-11-05', 'x'",
    ],
)
async def test_the_database_takes_no_record_without_its_reference_and_posting(
    house: Installation, columns: str
) -> None:
    invoice_id = await house.invoiced(collect=False)
    with pytest.raises(asyncpg.CheckViolationError):
        await house.admin.execute(f"INSERT INTO billing.settlement_entry VALUES ({columns})", invoice_id)  # noqa: S608

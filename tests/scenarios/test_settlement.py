"""What becomes of an invoice's money: every movement is in the ledger once, whatever the news does on its way."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from random import Random

import asyncpg
import pytest

from billing.payment.reconcile import reconcile_payments
from billing.payment.take_in import look_after
from billing.rebuild import verify
from billing.transaction import all_accounts
from catalog.vocabulary.clock import from_ns
from tests.collecting import Installation, collecting

EARNED = {"house earnings:address": Decimal("-10.50")}


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        yield installation


def _intent(house: Installation) -> str:
    intent: str = house.stripe.store.all("payment_intent")[0]["id"]
    return intent


async def _tell(house: Installation, **how: object) -> None:
    await house.news(**how)  # type: ignore[arg-type]
    await house.collect()


async def test_a_payment_moves_the_receivable_to_cash(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    standing = await house.standing(invoice_id)
    assert (standing.state, standing.paid, standing.owed) == ("paid", Decimal("10.50"), Decimal("0.00"))
    assert await house.ledger() == EARNED | {"house cash": Decimal("10.50")}
    assert await house.announced("invoice.paid") == 1
    assert (await reconcile_payments(house.billing, house.provider)).agrees
    assert await verify(house.billing, ()) == []


async def test_what_the_provider_keeps_of_a_payment_is_an_expense_once_it_is_known(
    house: Installation,
) -> None:
    invoice_id = await house.invoiced()
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    house.stripe.payments.receive(theirs, 400)
    (charge,) = house.stripe.store.all("charge")
    known, charge["balance_transaction"] = charge["balance_transaction"], None
    await _tell(house)
    assert (await house.ledger())["house cash"] == Decimal("4.00")
    # The money is on its way now; nobody sends news of it, so it is found by asking.
    charge["balance_transaction"] = {**known, "fee": 45}
    await look_after(house.billing, house.provider, house.clock)
    house.stripe.payments.fee = 49
    house.stripe.payments.receive(theirs, 650)
    await _tell(house)
    await look_after(house.billing, house.provider, house.clock)
    assert await house.ledger() == EARNED | {
        "house cash": Decimal("9.56"),
        "house payment_fees": Decimal("0.94"),
    }
    assert (await house.standing(invoice_id)).state == "paid", "what is kept is no matter of the payer's"
    assert (await reconcile_payments(house.billing, house.provider)).agrees


async def test_a_fee_in_another_currency_is_posted_in_that_currency(house: Installation) -> None:
    await house.invoiced()
    await house.collect()
    house.stripe.payments.fee = 61
    house.stripe.payments.receive(house.stripe.store.all("invoice")[0], 1050)
    house.stripe.store.all("charge")[0]["balance_transaction"]["currency"] = "usd"
    await _tell(house)
    rows = await house.admin.fetch(
        "SELECT ledger_account, currency, amount FROM billing.posting WHERE transaction_id = "
        "(SELECT id FROM billing.ledger_transaction WHERE kind = 'payment_fee') ORDER BY position"
    )
    assert [tuple(row) for row in rows] == [
        ("payment_fees", "USD", Decimal("0.61")),
        ("cash", "USD", Decimal("-0.61")),
    ]


async def test_payments_in_parts_add_up(house: Installation) -> None:
    invoice_id = await house.invoiced()
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    house.stripe.payments.receive(theirs, 400)
    await _tell(house)
    assert (await house.standing(invoice_id)).state == "open"
    assert (await house.standing(invoice_id)).owed == Decimal("6.50")
    house.stripe.payments.receive(theirs, 650)
    await _tell(house)
    assert (await house.standing(invoice_id)).state == "paid"
    assert (await house.ledger())["house cash"] == Decimal("10.50")


async def test_a_credit_note_after_payment_sends_the_money_back(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    await house.credit(invoice_id, "2.50")
    await house.collect()
    await _tell(house)
    standing = await house.standing(invoice_id)
    assert (standing.state, standing.refunded, standing.owed) == ("paid", Decimal("2.50"), Decimal("0.00"))
    assert await house.ledger() == EARNED | {
        "house cash": Decimal("8.00"),
        "house credits:address": Decimal("2.50"),
    }


async def test_a_refund_without_a_credit_note_is_owed_again(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    refund = house.stripe.payments.create_refund({"payment_intent": _intent(house), "amount": "250"})
    await _tell(house)
    assert (await house.standing(invoice_id)).owed == Decimal("2.50")
    assert (await house.ledger())["acct_x receivable"] == Decimal("2.50")
    house.stripe.payments.fail_refund(refund["id"])
    await _tell(house)
    assert (await house.standing(invoice_id)).owed == Decimal("0.00")
    assert await house.ledger() == EARNED | {"house cash": Decimal("10.50")}


async def test_a_dispute_takes_the_money_and_a_fee_and_a_win_brings_both_back(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    dispute = house.stripe.payments.open_dispute(_intent(house), 1050)
    await _tell(house)
    assert (await house.standing(invoice_id)).state == "disputed"
    assert await house.ledger() == EARNED | {
        "acct_x disputed": Decimal("10.50"),
        "house cash": Decimal("-15.00"),
        "house dispute_fees": Decimal("15.00"),
    }
    house.stripe.payments.decide_dispute(dispute["id"], won=True)
    await _tell(house)
    assert (await house.standing(invoice_id)).state == "paid"
    assert await house.ledger() == EARNED | {"house cash": Decimal("10.50")}


async def test_a_lost_dispute_is_a_loss_with_a_credit_note(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    dispute = house.stripe.payments.open_dispute(_intent(house), 1050)
    house.stripe.payments.decide_dispute(dispute["id"], won=False)
    await _tell(house)
    await _tell(house)
    assert (await house.standing(invoice_id)).state == "lost"
    assert await house.ledger() == EARNED | {
        "house cash": Decimal("-15.00"),
        "house dispute_fees": Decimal("15.00"),
        "house loss": Decimal("10.50"),
    }
    (note,) = await house.admin.fetch("SELECT number, reason, total FROM billing.credit_note")
    assert tuple(note) == ("CN-2026-000001", "dispute_lost", Decimal("10.50"))
    (sent,) = house.stripe.store.all("credit_note")
    assert (sent["total"], house.stripe.store.all("refund")) == (1050, [])
    assert (await reconcile_payments(house.billing, house.provider)).agrees
    assert await verify(house.billing, ()) == []


async def test_a_lost_dispute_over_what_was_credited_already_is_a_loss_alone(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    await house.credit(invoice_id, "10.50")
    dispute = house.stripe.payments.open_dispute(_intent(house), 1050)
    house.stripe.payments.decide_dispute(dispute["id"], won=False)
    await _tell(house)
    assert (
        await house.admin.fetchval("SELECT count(*) FROM billing.credit_note WHERE reason = 'dispute_lost'")
        == 0
    )
    assert (await house.ledger())["house loss"] == Decimal("10.50")


async def test_a_question_of_the_bank_moves_nothing(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    house.stripe.payments.open_dispute(_intent(house), 1050, inquiry=True)
    await _tell(house)
    assert (await house.standing(invoice_id)).state == "paid"
    assert await house.ledger() == EARNED | {"house cash": Decimal("10.50")}


async def test_a_decided_dispute_that_changes_is_for_a_person(house: Installation) -> None:
    await house.paid()
    dispute = house.stripe.payments.open_dispute(_intent(house), 1050)
    house.stripe.payments.decide_dispute(dispute["id"], won=False)
    await _tell(house)
    before = await house.ledger()
    house.stripe.payments.decide_dispute(dispute["id"], won=True)
    await _tell(house)
    reasons = await house.admin.fetch(
        "SELECT DISTINCT reason FROM billing.webhook_event WHERE state = 'held'"
    )
    assert [row["reason"].partition(":")[0] for row in reasons] == ["decided-dispute-changed"]
    assert {
        name: amount
        for name, amount in (await house.ledger()).items()
        if "fees" not in name and "cash" not in name
    } == {name: amount for name, amount in before.items() if "fees" not in name and "cash" not in name}


async def test_an_invoice_that_is_void_at_stripe_is_credited_here(house: Installation) -> None:
    invoice_id = await house.invoiced(amounts={"address": "10.50", "stock": "3.07"})
    await house.collect()
    house.stripe.invoices.void(house.stripe.store.all("invoice")[0]["id"], {})
    await _tell(house, copies=3)
    assert (await house.standing(invoice_id)).state == "void"
    assert await house.ledger() == {}
    assert house.stripe.store.all("credit_note") == []
    assert await house.admin.fetchval("SELECT sum(total) FROM billing.credit_note") == Decimal("13.57")
    assert (await reconcile_payments(house.billing, house.provider)).agrees


async def test_what_was_paid_elsewhere_is_for_a_person(house: Installation) -> None:
    await house.invoiced()
    await house.collect()
    house.stripe.payments.pay(house.stripe.store.all("invoice")[0]["id"], {"paid_out_of_band": "true"})
    await _tell(house)
    reason = await house.admin.fetchval("SELECT max(reason) FROM billing.webhook_event WHERE state = 'held'")
    assert reason == "paid-without-payment: INV-2026-000001 lacks 10.50 EUR"


async def test_what_the_provider_lists_as_paid_elsewhere_never_came_to_it_and_is_no_cash(
    house: Installation,
) -> None:
    await house.invoiced()
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    elsewhere = {"type": "payment_record", "payment_record": "pr_1"}
    fields = {
        "invoice": theirs["id"],
        "status": "paid",
        "currency": "eur",
        "amount_paid": 1050,
        "payment": elsewhere,
    }
    house.stripe.store.add("invoice_payment", "inpay", fields)
    house.stripe.payments.pay(theirs["id"], {"paid_out_of_band": "true"})
    await _tell(house)
    assert await house.ledger() == EARNED | {"acct_x receivable": Decimal("10.50")}
    reason = await house.admin.fetchval("SELECT max(reason) FROM billing.webhook_event WHERE state = 'held'")
    assert reason == "paid-without-payment: INV-2026-000001 lacks 10.50 EUR"


@pytest.mark.parametrize("seed", range(4))
async def test_news_in_any_order_and_any_number_leads_to_the_same_books(
    house: Installation, seed: int
) -> None:
    chance = Random(seed)
    invoice_id = await house.invoiced()
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    house.stripe.payments.receive(theirs, 400)
    house.stripe.payments.receive(theirs, 650)
    first, second = (one["id"] for one in house.stripe.store.all("payment_intent"))
    house.stripe.payments.create_refund({"payment_intent": first, "amount": "100"})
    if chance.random() < 0.5:
        await _tell(house, disorder=chance, copies=2)
    won = house.stripe.payments.open_dispute(first, 300)
    lost = house.stripe.payments.open_dispute(second, 650)
    if chance.random() < 0.5:
        await _tell(house, disorder=chance, copies=3)
    house.stripe.payments.decide_dispute(won["id"], won=True)
    house.stripe.payments.decide_dispute(lost["id"], won=False)
    house.stripe.faults.plan("reset", "GET /v1/", times=chance.randrange(4))
    await _tell(house, disorder=chance, copies=2)
    await _tell(house)
    assert (await house.standing(invoice_id)).state == "lost"
    assert await house.ledger() == EARNED | {
        "acct_x receivable": Decimal("1.00"),
        "house cash": Decimal("-12.00"),
        "house dispute_fees": Decimal("15.00"),
        "house loss": Decimal("6.50"),
    }
    assert await house.admin.fetchval("SELECT count(*) FROM billing.webhook_event WHERE state <> 'done'") == 0


async def test_news_that_never_came_is_found_by_asking(house: Installation) -> None:
    invoice_id = await house.invoiced()
    await house.collect()
    house.stripe.payments.pay(house.stripe.store.all("invoice")[0]["id"], {})
    await house.news(lost=True)
    house.stripe.faults.plan("busy", "GET /v1/invoices/")
    assert await look_after(house.billing, house.provider, house.clock) == 1
    assert await look_after(house.billing, house.provider, house.clock) == 0
    assert (await house.standing(invoice_id)).state == "paid"


async def test_a_dispute_of_which_no_news_came_is_found_by_asking(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    house.stripe.payments.open_dispute(_intent(house), 1050)
    await house.news(lost=True)
    house.clock.advance(timedelta(days=2).total_seconds())
    await house.collect()
    assert (await house.standing(invoice_id)).state == "disputed"


async def test_news_about_invoices_that_are_not_ours_is_nobodys_business(house: Installation) -> None:
    customer = house.stripe.invoices.create_customer({"name": "Somebody"})
    foreign = house.stripe.invoices.create({"customer": customer["id"]})
    marked = house.stripe.invoices.create(
        {"customer": customer["id"], "metadata": {"ordergate_document": "inv_live_acct_z_2026-10"}}
    )
    assert foreign["id"] != marked["id"]
    await _tell(house)
    held = await house.admin.fetch("SELECT invoice, reason FROM billing.webhook_event WHERE state = 'held'")
    assert [(row["invoice"], row["reason"].partition(":")[0]) for row in held] == [
        (marked["id"], "unknown-document")
    ]
    assert await house.ledger() == {}


async def test_reminders_come_by_the_payers_calendar_once_a_stage(house: Installation) -> None:
    invoice_id = await house.invoiced()
    await house.collect()
    days = {30: 0, 31: 1, 40: 0, 60: 1, 61: 0, 400: 0}
    started = from_ns(house.clock.now_ns())
    for day, expected in days.items():
        now = from_ns(house.clock.now_ns())
        house.clock.advance((started + timedelta(days=day) - now).total_seconds())
        before = await house.announced("invoice.overdue")
        await house.collect()
        assert await house.announced("invoice.overdue") - before == expected, day
    stages = await house.admin.fetch(
        "SELECT stage FROM billing.reminder WHERE invoice_id = $1 ORDER BY 1", invoice_id
    )
    assert [row["stage"] for row in stages] == [1, 3]


async def test_who_has_paid_is_not_reminded(house: Installation) -> None:
    await house.paid()
    house.clock.advance(timedelta(days=90).total_seconds())
    await house.collect()
    assert await house.announced("invoice.overdue") == 0


async def test_the_facts_of_a_settlement_are_never_changed(house: Installation) -> None:
    await house.paid()
    for table in ("settlement_entry", "credit_note", "credit_note_line", "reminder"):
        async with all_accounts(house.billing) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"DELETE FROM billing.{table}")  # noqa: S608

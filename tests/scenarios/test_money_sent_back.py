"""A credit note sends back what the payer has paid too much, once, whoever else sends money back and whenever it is paid."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.payment.bank import record_refund
from billing.payment.outbox import release
from billing.payment.reconcile import reconcile_payments
from billing.rebuild import verify
from billing.transaction import all_accounts
from catalog.vocabulary.clock import from_ns
from tests.collecting import Installation, collecting
from tests.fakes.stripe_server.faults import FaultKind
from tests.fakes.stripe_server.store import Object


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        yield installation


def _refunds(house: Installation) -> list[int]:
    return [one["amount"] for one in house.stripe.store.all("refund")]


def _intents(house: Installation) -> list[str]:
    return [one["id"] for one in house.stripe.store.all("payment_intent")]


async def _settled(house: Installation, invoice_id: str) -> Decimal:
    """All news is taken in and both books agree; what is owed then."""
    await house.news()
    await house.collect()
    assert (await reconcile_payments(house.billing, house.provider)).differences == ()
    assert await verify(house.billing, ()) == []
    return (await house.standing(invoice_id)).owed


async def _in_parts(house: Installation, *amounts: int) -> tuple[str, Object]:
    invoice_id = await house.invoiced()
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    for amount in amounts:
        house.stripe.payments.receive(theirs, amount)
    return invoice_id, theirs


@pytest.mark.parametrize("is_heard_of", [True, False])
async def test_money_that_a_person_has_sent_back_already_is_not_sent_back_again(
    house: Installation, is_heard_of: bool
) -> None:
    invoice_id, _ = await house.paid()
    made = house.stripe.payments.create_refund({"payment_intent": _intents(house)[0], "amount": "250"})
    if is_heard_of:
        await house.news()
        await house.collect()
    await house.credit(invoice_id, "2.50")
    await house.collect()
    assert _refunds(house) == [250]
    (note,) = house.stripe.store.all("credit_note")
    assert [(one["refund"], one["amount_refunded"]) for one in note["refunds"]] == [(made["id"], 250)]
    assert await _settled(house, invoice_id) == 0


async def test_of_a_larger_note_only_the_rest_is_sent_back(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    house.stripe.payments.create_refund({"payment_intent": _intents(house)[0], "amount": "250"})
    await house.credit(invoice_id, "4.00")
    await house.collect()
    await house.credit(invoice_id, "6.50", "sla:2")
    await house.collect()
    assert _refunds(house) == [250, 150, 650]
    assert await _settled(house, invoice_id) == 0


async def test_money_that_a_person_sends_back_between_two_notes_counts(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    await house.credit(invoice_id, "4.00")
    await house.collect()
    house.stripe.payments.create_refund({"payment_intent": _intents(house)[0], "amount": "250"})
    await house.credit(invoice_id, "3.00", "sla:2")
    await house.collect()
    assert _refunds(house) == [400, 250, 50]
    assert await _settled(house, invoice_id) == 0


async def test_a_note_that_waits_for_a_person_still_gets_its_own_money(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    house.stripe.payments.refund_state = "failed"
    first = await house.credit(invoice_id, "4.00")
    await house.collect()
    house.stripe.payments.refund_state = "succeeded"
    await house.credit(invoice_id, "3.00", "sla:2")
    await house.collect()
    async with all_accounts(house.billing) as connection:
        await release(connection, first, from_ns(house.clock.now_ns()))
    await house.collect()
    made = [one["amount"] for one in house.stripe.store.all("refund") if one["status"] == "succeeded"]
    assert made == [300, 400]
    assert await _settled(house, invoice_id) == 0


async def test_a_refund_that_is_on_its_way_counts_as_sent(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    made = house.stripe.payments.create_refund({"payment_intent": _intents(house)[0], "amount": "250"})
    made["status"] = "pending"
    await house.credit(invoice_id, "2.50")
    await house.collect()
    assert _refunds(house) == [250]
    made["status"] = "succeeded"
    house.stripe.store.emit("refund.updated", made)
    assert await _settled(house, invoice_id) == 0


async def test_what_was_paid_in_parts_is_sent_back_from_as_many_payments_as_it_takes(
    house: Installation,
) -> None:
    invoice_id, _ = await _in_parts(house, 400, 650)
    await house.credit(invoice_id, "9.00")
    await house.collect()
    assert _refunds(house) == [400, 500]
    assert [one["refunded"] for one in house.stripe.store.all("payment_intent")] == [400, 500]
    await house.credit(invoice_id, "1.50", "sla:2")
    await house.collect()
    assert [one["refunded"] for one in house.stripe.store.all("payment_intent")] == [400, 650]
    assert await _settled(house, invoice_id) == 0


async def test_a_note_over_more_than_is_open_sends_only_the_rest_back(house: Installation) -> None:
    invoice_id, theirs = await _in_parts(house, 400)
    await house.credit(invoice_id, "8.00")
    await house.collect()
    assert (_refunds(house), theirs["status"]) == ([150], "paid")
    assert await _settled(house, invoice_id) == 0


@pytest.mark.parametrize("amount", [1050, 900])
async def test_a_payment_that_comes_while_a_note_is_sent_is_looked_at_again(
    house: Installation, amount: int
) -> None:
    invoice_id, theirs = await _in_parts(house)
    note_id = await house.credit(invoice_id, "2.50")
    house.stripe.before("POST /v1/credit_notes$", lambda: house.stripe.payments.receive(theirs, amount))
    await house.collect()
    task = await house.task(note_id)
    assert (task["state"], task["reason"], task["attempts"]) == ("done", "", 1)
    assert _refunds(house) == [amount + 250 - 1050]
    assert await _settled(house, invoice_id) == 0


async def test_a_note_is_tried_a_few_times_and_then_waits_for_a_person(house: Installation) -> None:
    invoice_id, theirs = await _in_parts(house)
    note_id = await house.credit(invoice_id, "10.50")
    for _ in range(3):
        house.stripe.before("POST /v1/credit_notes$", lambda: house.stripe.payments.receive(theirs, 100))
    await house.collect()
    task = await house.task(note_id)
    assert (task["state"], task["reason"].partition(":")[0]) == ("held", "parameter_invalid")
    async with all_accounts(house.billing) as connection:
        await release(connection, note_id, from_ns(house.clock.now_ns()))
    await house.collect()
    assert (sum(_refunds(house)), len(house.stripe.store.all("credit_note"))) == (300, 1)
    assert await _settled(house, invoice_id) == 0


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        ("lost", "POST /v1/refunds$"),
        ("failed_after", "POST /v1/refunds$"),
        ("reset", "POST /v1/credit_notes$"),
        ("lost", "POST /v1/credit_notes$"),
    ],
)
async def test_whatever_is_lost_on_the_way_money_is_sent_back_once(
    house: Installation, kind: FaultKind, request_: str
) -> None:
    invoice_id, _ = await _in_parts(house, 400, 650)
    await house.credit(invoice_id, "9.00")
    house.stripe.faults.plan(kind, request_)
    await house.collect()
    house.stripe.idempotency.forget()
    assert _refunds(house) == [400, 500]
    assert [one["total"] for one in house.stripe.store.all("credit_note")] == [900]
    assert await _settled(house, invoice_id) == 0


async def test_what_came_by_transfer_is_sent_back_by_a_person(house: Installation) -> None:
    invoice_id, theirs = await _in_parts(house, 400)
    house.stripe.payments.pay(theirs["id"], {"paid_out_of_band": "true"})
    await house.transferred(invoice_id, "6.50")
    await house.credit(invoice_id, "5.00")
    await house.collect()
    assert _refunds(house) == [400]
    (note,) = house.stripe.store.all("credit_note")
    assert (note["out_of_band_amount"], note["post_payment_amount"]) == (100, 500)
    await house.news()
    await house.collect()
    assert (await house.standing(invoice_id)).owed == Decimal("-1.00")


@pytest.mark.parametrize("won", [True, False])
async def test_while_the_payers_bank_reclaims_the_money_the_note_waits_for_a_person(
    house: Installation, won: bool
) -> None:
    invoice_id, _ = await house.paid()
    dispute = house.stripe.payments.open_dispute(_intents(house)[0], 1050)
    note_id = await house.credit(invoice_id, "2.50")
    await house.collect()
    task = await house.task(note_id)
    assert (task["state"], task["reason"]) == (
        "held",
        "payment-disputed: 2.50 of CN-2026-000001 cannot be sent back yet",
    )
    house.stripe.payments.decide_dispute(dispute["id"], won=won)
    await house.news()
    async with all_accounts(house.billing) as connection:
        await release(connection, note_id, from_ns(house.clock.now_ns()))
    await house.collect()
    assert (await house.task(note_id))["state"] == "done"
    assert _refunds(house) == ([250] if won else [])


async def test_a_refund_that_fails_at_once_is_for_a_person_who_sends_the_money_otherwise(
    house: Installation,
) -> None:
    invoice_id, _ = await house.paid()
    house.stripe.payments.refund_state = "failed"
    note_id = await house.credit(invoice_id, "2.50")
    await house.collect()
    (refund,) = house.stripe.store.all("refund")
    task = await house.task(note_id)
    assert (task["state"], task["reason"]) == (
        "held",
        f"books-differ: refund {refund['id']} over 2.50 is failed there",
    )
    now = from_ns(house.clock.now_ns())
    told: dict[str, Any] = {"reference": "TRX-2", "sent_on": now.date(), "actor": "test", "now": now}
    async with all_accounts(house.billing) as connection:
        await record_refund(connection, invoice_id, Decimal("2.50"), **told)
        await release(connection, note_id, now)
    await house.collect()
    (note,) = house.stripe.store.all("credit_note")
    assert (note["out_of_band_amount"], len(house.stripe.store.all("refund"))) == (250, 1)
    assert await _settled(house, invoice_id) == 0

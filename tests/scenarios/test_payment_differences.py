"""Whatever Stripe's book has and ours does not is named with its money, and so is the other way round."""

from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest

from billing.payment.reconcile import PaymentReport, reconcile_payments
from tests.collecting import Installation, collecting
from tests.fakes.stripe_server.store import Object


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        yield installation


async def _compare(house: Installation) -> PaymentReport:
    return await reconcile_payments(house.billing, house.provider)


def _only(house: Installation, kind: str) -> Object:
    (one,) = house.stripe.store.all(kind)
    return one


async def _open(house: Installation) -> Object:
    """An invoice over 10.50 that stands in both books."""
    await house.invoiced()
    await house.collect()
    return _only(house, "invoice")


def _money(amount: str) -> dict[str, Decimal]:
    return {"EUR": Decimal(amount)}


async def test_a_refund_that_is_unknown_here_is_named(house: Installation) -> None:
    await house.paid()
    refund = house.stripe.payments.create_refund(
        {"payment_intent": _only(house, "payment_intent")["id"], "amount": "250"}
    )
    report = await _compare(house)
    assert report.differences == (f"INV-2026-000001: refund {refund['id']}: 0 here, 2.50 there",)
    assert report.money_diff == _money("2.50")
    await house.news()
    await house.collect()
    assert (await _compare(house)).agrees
    house.stripe.payments.fail_refund(refund["id"])
    assert (await _compare(house)).differences == (
        f"INV-2026-000001: refund {refund['id']}: 2.50 here, 0 there",
    )
    await house.news()
    await house.collect()
    assert (await _compare(house)).agrees
    house.stripe.store.remove("refund", refund["id"])
    assert (await _compare(house)).agrees, "it came back to us, so nothing is missing"


async def test_a_dispute_that_is_unknown_here_is_named_until_its_end_is_known(house: Installation) -> None:
    await house.paid()
    intent = _only(house, "payment_intent")["id"]
    house.stripe.payments.open_dispute(intent, 100, inquiry=True)
    assert (await _compare(house)).agrees, "a question of the bank moves nothing"
    dispute = house.stripe.payments.open_dispute(intent, 1050)
    report = await _compare(house)
    assert report.differences == (
        f"INV-2026-000001: dispute {dispute['id']} over 10.50: unknown here, open there",
    )
    assert report.money_diff == _money("10.50")
    await house.news()
    await house.collect()
    assert (await _compare(house)).agrees
    house.stripe.payments.decide_dispute(dispute["id"], won=True)
    assert (await _compare(house)).differences == (
        f"INV-2026-000001: dispute {dispute['id']} over 10.50: open here, won there",
    )
    await house.news()
    await house.collect()
    assert (await _compare(house)).agrees
    house.stripe.store.remove("dispute", dispute["id"])
    assert (await _compare(house)).differences == (
        f"INV-2026-000001: dispute {dispute['id']} over 10.50: won here, unknown there",
    )


@pytest.mark.parametrize("state", ["void", "uncollectible"])
async def test_an_invoice_that_is_given_up_there_and_owed_here_is_named(
    house: Installation, state: str
) -> None:
    theirs = await _open(house)
    if state == "void":
        house.stripe.invoices.void(theirs["id"], {})
    else:
        house.stripe.invoices.mark_uncollectible(theirs["id"], {})
    report = await _compare(house)
    assert report.differences == (f"INV-2026-000001: {state} there, 10.50 owed here",)
    assert report.money_diff == _money("10.50")


async def test_a_credit_note_that_a_person_made_there_is_named(house: Installation) -> None:
    theirs = await _open(house)
    note = house.stripe.payments.create_credit_note({"invoice": theirs["id"], "amount": "250"})
    report = await _compare(house)
    assert report.differences == (f"INV-2026-000001: 2.50 credited there alone, by {note['id']}",)
    assert report.money_diff == _money("2.50")
    note["status"] = "void"
    theirs["pre_payment_credit_notes_amount"] = 0
    house.stripe.invoices.settle(theirs)
    assert (await _compare(house)).agrees


async def test_what_is_asked_for_there_follows_from_what_stands_there(house: Installation) -> None:
    theirs = await _open(house)
    # What a balance of the customer at Stripe does.
    theirs["amount_remaining"] = 900
    report = await _compare(house)
    assert report.differences == (
        "INV-2026-000001: 9.00 asked for there, 10.50 follow from what stands there",
    )
    assert report.money_diff == _money("1.50")


async def test_what_is_not_of_ours_there_is_nobodys_business(house: Installation) -> None:
    await house.paid()
    customer = house.stripe.invoices.create_customer({"name": "Somebody"})
    foreign = house.stripe.invoices.create({"customer": customer["id"], "currency": "eur"})
    house.stripe.invoices.create_item({"invoice": foreign["id"], "amount": "700"})
    house.stripe.invoices.finalize(foreign["id"], {})
    intent = house.stripe.payments.receive(foreign, 700)["id"]
    house.stripe.payments.create_refund({"payment_intent": intent, "amount": "100"})
    house.stripe.payments.open_dispute(intent, 600)
    assert (await _compare(house)).agrees


async def test_more_than_a_page_of_everything_is_compared(house: Installation) -> None:
    await house.paid()
    intent = _only(house, "payment_intent")["id"]
    for _ in range(105):
        house.stripe.payments.create_refund({"payment_intent": intent, "amount": "1"})
    report = await _compare(house)
    assert (len(report.differences), report.money_diff) == (105, _money("1.05"))


async def test_a_note_that_waits_is_no_difference(house: Installation) -> None:
    invoice_id, _ = await house.paid()
    await house.credit(invoice_id, "2.50")
    report = await _compare(house)
    assert (report.waiting, report.differences) == (1, ())

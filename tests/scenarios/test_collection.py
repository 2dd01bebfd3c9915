"""Handing invoices over to Stripe: once, exact, and held by name where the two books would differ."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from billing.invoice.credit_note import CreditLine, issue_credit_note, spread
from billing.payment.account import collect_from, stop_collecting
from billing.payment.outbox import pause, release
from billing.payment.reconcile import reconcile_payments
from billing.prepaid.grants import grant_credit
from billing.rebuild import verify
from billing.transaction import all_accounts
from catalog.accounts.account import find_account
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.problem import Problem
from tests.collecting import OCTOBER_5, Installation, collecting
from tests.fakes.journal_disk import is_torture
from tests.sla_books import customs_passport, miss, publish
from tests.usage_books import add_account, add_price, call, store


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        yield installation


async def test_an_issued_invoice_is_in_stripes_book_line_by_line(house: Installation) -> None:
    invoice_id = await house.invoiced(amounts={"address": "10.50", "stock": "3.07"})
    assert (await house.task(invoice_id))["state"] == "waiting"
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    assert (theirs["status"], theirs["total"], theirs["currency"]) == ("open", 1357, "eur")
    assert (theirs["number"], theirs["auto_advance"]) == ("INV-2026-000001", False)
    assert theirs["metadata"]["ordergate_document"] == invoice_id
    assert [line["amount"] for line in theirs["lines"]["data"]] == [1050, 307]
    (customer,) = house.stripe.store.all("customer")
    assert customer["name"] == "Hefei Trading Ltd"
    task = await house.task(invoice_id)
    assert (task["state"], task["provider_id"], task["attempts"]) == ("done", theirs["id"], 1)
    report = await reconcile_payments(house.billing, house.provider)
    assert report.line == "payment invoices=1 credit_notes=0 waiting=0 held=0 diff=0 money_diff=0"
    assert await verify(house.billing, ()) == []


async def test_a_missed_objective_is_a_line_of_its_own_there(house: Installation) -> None:
    await publish(house.admin, customs_passport())
    await add_price(
        house.admin, "price_acct_x_customs", "customs/screen", "flat", {"amount": "8.00"}, currency="EUR"
    )
    screened = call("acct_x", OCTOBER_5, price_version="price_acct_x_customs", operation="customs/screen")
    await store(house.billing, [screened])
    await miss(house.admin, "customs/screen", datetime(2026, 10, 17, 2, tzinfo=UTC), 60)
    invoice_id = await house.invoiced()
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    lines = {line["description"]: line["amount"] for line in theirs["lines"]["data"]}
    assert lines == {
        "address/run 2026-10: 1 calls": 1050,
        "customs/screen 2026-10: 1 calls": 800,
        "customs/screen 2026-10: credit for screening-up": -200,
    }
    assert (theirs["total"], (await house.task(invoice_id))["state"]) == (1650, "done")
    assert (await reconcile_payments(house.billing, house.provider)).agrees


async def test_what_is_not_collected_is_not_handed_over(house: Installation) -> None:
    await house.invoiced(collect=False)
    await house.collect()
    assert house.stripe.requests == []


async def test_only_external_accounts_on_sensible_terms_are_collected_from(house: Installation) -> None:
    await add_account(house.admin, "acct_in")
    await add_account(house.admin, "acct_out", kind="external")
    now = from_ns(house.clock.now_ns())
    async with all_accounts(house.billing) as connection:
        with pytest.raises(Problem, match="only external accounts"):
            await collect_from(connection, "acct_in", now)
        with pytest.raises(Problem, match="1 to 365"):
            await collect_from(connection, "acct_out", now, terms_days=0)
        with pytest.raises(Problem, match="rising"):
            await collect_from(connection, "acct_out", now, reminder_days=(14, 1))
        with pytest.raises(Problem, match="no account"):
            await collect_from(connection, "acct_nobody", now)
        await collect_from(connection, "acct_out", now)
        await stop_collecting(connection, "acct_out", now)
        assert not await connection.fetchval("SELECT enabled FROM billing.payment_account")


STEPS = ("POST /v1/customers$", "POST /v1/invoices$", "/add_lines$", "GET .*/lines$", "/finalize$")
FAULTS = ("reset", "lost", "failed", "failed_after", "busy")
# Every fault at the step that matters most, and the worst one at every other.
PLACES = (*((kind, STEPS[1]) for kind in FAULTS), *(("lost", step) for step in STEPS if step != STEPS[1]))


@pytest.mark.parametrize(
    ("kind", "requests"),
    PLACES if not is_torture() else [(kind, step) for kind in FAULTS for step in STEPS],
)
async def test_whatever_is_lost_on_the_way_there_is_one_invoice_in_the_end(
    house: Installation, kind: str, requests: str
) -> None:
    invoice_id = await house.invoiced()
    house.stripe.faults.plan(kind, requests)  # type: ignore[arg-type]
    await house.collect()
    assert house.stripe.faults.left == 0
    (theirs,) = house.stripe.store.all("invoice")
    assert (theirs["status"], theirs["total"], len(theirs["lines"]["data"])) == ("open", 1050, 1)
    assert len(house.stripe.store.all("customer")) == 1, "nobody looks for a customer: the same key finds it"
    task = await house.task(invoice_id)
    assert (task["state"], task["reason"]) == ("done", "")
    assert task["attempts"] > 1


async def test_keys_that_stripe_has_forgotten_double_nothing(house: Installation) -> None:
    await house.invoiced()
    house.stripe.faults.plan("lost", "POST /v1/invoices$")
    await house.collector.turn()
    house.stripe.idempotency.forget()
    house.clock.advance(timedelta(days=3).total_seconds())
    await house.collect()
    assert [one["status"] for one in house.stripe.store.all("invoice")] == ["open"]


async def test_an_account_is_one_customer_however_many_invoices_it_has(house: Installation) -> None:
    first = await house.invoiced()
    await house.collect()
    async with all_accounts(house.billing) as connection:
        kept = await connection.fetchval("SELECT customer_id FROM billing.payment_account")
    assert [one["id"] for one in house.stripe.store.all("customer")] == [kept]
    await house.invoiced("acct_y")
    await house.collect()
    assert len(house.stripe.store.all("customer")) == 2
    assert (await house.task(first))["state"] == "done"


async def test_an_invoice_that_would_be_other_than_ours_is_held_and_never_opened(house: Installation) -> None:
    house.stripe.invoices.surprise_tax = 1
    invoice_id = await house.invoiced()
    await house.collect()
    task = await house.task(invoice_id)
    assert (task["state"], task["reason"]) == ("held", "books-differ: total is 10.50 here and 10.51 there")
    assert [one["status"] for one in house.stripe.store.all("invoice")] == ["draft"]
    report = await reconcile_payments(house.billing, house.provider)
    assert (report.held, report.differences) == (1, ())


async def test_what_is_held_goes_on_when_it_is_released(house: Installation) -> None:
    house.stripe.invoices.surprise_tax = 1
    invoice_id = await house.invoiced()
    await house.collect()
    house.stripe.invoices.surprise_tax = 0
    house.stripe.invoices.delete(house.stripe.store.all("invoice")[0]["id"])
    now = from_ns(house.clock.now_ns())
    async with all_accounts(house.billing) as connection:
        await release(connection, invoice_id, now)
        with pytest.raises(Problem, match="is not held"):
            await release(connection, invoice_id, now)
    await house.collect()
    assert (await house.task(invoice_id))["state"] == "done"


@pytest.mark.parametrize(
    ("currency", "amount", "reason"),
    [
        ("KWD", "5.124", "not-chargeable: 5.124 KWD: Stripe takes payments in steps of 0.010 only"),
        ("MGA", "5.20", "not-chargeable: 5.20 MGA has digits that Stripe cannot express"),
        ("UGX", "500", "not-chargeable: UGX: Stripe's documentation gives two meanings to the same number"),
    ],
)
async def test_an_amount_that_cannot_be_charged_is_held_not_rounded(
    house: Installation, currency: str, amount: str, reason: str
) -> None:
    invoice_id = await house.invoiced(amounts={"address": amount}, currency=currency)
    await house.collect()
    task = await house.task(invoice_id)
    assert (task["state"], task["reason"]) == ("held", reason)
    assert house.stripe.store.all("invoice") == []


async def test_an_answer_that_cannot_be_read_is_held(house: Installation) -> None:
    invoice_id = await house.invoiced()
    house.stripe.faults.plan("garbled", "POST /v1/invoices$")
    await house.collect()
    task = await house.task(invoice_id)
    assert task["state"] == "held"
    assert task["reason"].startswith("unreadable-answer: ")


async def test_a_credit_note_follows_its_invoice_and_lowers_what_is_owed(house: Installation) -> None:
    invoice_id = await house.invoiced()
    note_id = await house.credit(invoice_id, "2.50")
    await house.collect()
    (theirs,) = house.stripe.store.all("credit_note")
    assert (theirs["total"], theirs["metadata"]["ordergate_document"]) == (250, note_id)
    assert house.stripe.store.all("invoice")[0]["amount_remaining"] == 800
    assert (await house.standing(invoice_id)).owed == Decimal("8.00")
    assert await house.ledger() == {
        "acct_x receivable": Decimal("8.00"),
        "house credits:address": Decimal("2.50"),
        "house earnings:address": Decimal("-10.50"),
    }
    report = await reconcile_payments(house.billing, house.provider)
    assert (report.credit_notes, report.differences) == (1, ())
    assert await verify(house.billing, ()) == []


async def test_a_note_with_a_discount_is_one_line_at_the_provider_which_takes_no_negative_ones(
    house: Installation,
) -> None:
    invoice_id = await house.invoiced()
    async with all_accounts(house.billing) as connection:
        lines = [
            CreditLine("address", "Dispute dsp_a: address/validate", Decimal("5.00")),
            CreditLine("account", "discount 2026-10", Decimal("-1.00"), "discount", Decimal("5.00")),
            CreditLine("tax", "VAT 6 %", Decimal("0.24"), "tax", Decimal("4.00")),
        ]
        now = from_ns(house.clock.now_ns())
        await issue_credit_note(connection, invoice_id, "correction", "dispute:dsp_a", lines, now)
    await house.collect()
    (theirs,) = house.stripe.store.all("credit_note")
    assert theirs["total"] == 424
    assert (await house.standing(invoice_id)).owed == Decimal("6.26")
    assert (await house.ledger())["house discount:account"] == Decimal("-1.00")
    assert (await reconcile_payments(house.billing, house.provider)).differences == ()


async def test_an_account_that_is_let_go_still_gets_what_belongs_to_its_invoices(house: Installation) -> None:
    invoice_id = await house.invoiced()
    async with all_accounts(house.billing) as connection:
        await stop_collecting(connection, "acct_x", from_ns(house.clock.now_ns()))
    await house.credit(invoice_id, "2.50")
    await house.collect()
    assert len(house.stripe.store.all("invoice")) == len(house.stripe.store.all("credit_note")) == 1


async def test_one_cause_makes_one_credit_note_and_never_more_than_the_invoice(house: Installation) -> None:
    invoice_id = await house.invoiced()
    assert await house.credit(invoice_id, "2.50") == await house.credit(invoice_id, "2.50")
    with pytest.raises(Problem, match=r"8\.01 EUR are more than the 8\.00 left"):
        await house.credit(invoice_id, "8.01", "sla:2")
    assert await house.credit(invoice_id, "8.00", "sla:3") != await house.credit(invoice_id, "2.50")
    with pytest.raises(Problem, match="There is no document"):
        await house.credit("inv_live_nobody_2026-10", "1.00", "sla:4")
    numbers = await house.admin.fetch("SELECT number FROM billing.credit_note ORDER BY number")
    assert [row["number"] for row in numbers] == ["CN-2026-000001", "CN-2026-000002"]


async def test_a_credit_over_several_services_sums_to_the_cent(house: Installation) -> None:
    invoice_id = await house.invoiced(amounts={"address": "1.00", "customs": "1.00", "stock": "1.00"})
    async with all_accounts(house.billing) as connection:
        parts = {
            amount: [line.amount for line in await spread(connection, invoice_id, Decimal(amount), "void")]
            for amount in ("0.01", "0.02", "1.00", "3.00")
        }
    assert parts == {
        "0.01": [Decimal("0.01")],
        "0.02": [Decimal("0.01")] * 2,
        "1.00": [Decimal("0.34"), Decimal("0.33"), Decimal("0.33")],
        "3.00": [Decimal("1.00")] * 3,
    }


@pytest.mark.parametrize("kind", ["reset", "lost", "failed", "failed_after"])
async def test_a_credit_note_is_made_once(house: Installation, kind: str) -> None:
    invoice_id = await house.invoiced()
    await house.collect()
    await house.credit(invoice_id, "2.50")
    house.stripe.faults.plan(kind, "POST /v1/credit_notes$")  # type: ignore[arg-type]
    await house.collect()
    assert [one["total"] for one in house.stripe.store.all("credit_note")] == [250]


async def test_a_credit_note_of_a_held_invoice_is_held(house: Installation) -> None:
    house.stripe.invoices.surprise_tax = 1
    invoice_id = await house.invoiced()
    await house.collect()
    note_id = await house.credit(invoice_id, "2.50")
    await house.collect()
    assert "is not in the provider's book" in (await house.task(note_id))["reason"]


async def test_differences_are_named_with_their_money(house: Installation) -> None:
    await house.invoiced()
    await house.invoiced("acct_y")
    await house.collect()
    first, second = house.stripe.store.all("invoice")
    first["total"] += 1
    house.stripe.store.remove("invoice", second["id"])
    house.stripe.store.add(
        "invoice",
        "in",
        {**first, "id": "in_stranger", "metadata": {"ordergate_document": "inv_live_stranger"}, "total": 700},
    )
    report = await reconcile_payments(house.billing, house.provider)
    assert not report.agrees
    assert report.money_diff == {"EUR": Decimal("17.51")}
    assert [sentence.partition(": ")[2] for sentence in report.differences] == [
        "10.50 EUR here, 10.51 EUR there",
        "not in the provider's book",
        "not in our book",
    ]
    assert report.line.endswith("diff=3 money_diff=17.51EUR")


def test_pauses_grow_to_an_hour_and_differ() -> None:
    for attempts in range(1, 40):
        longest = timedelta(seconds=min(3600, 5 * 2 ** (attempts - 1)))
        assert longest / 2 <= pause(attempts) <= longest
    assert len({pause(12) for _ in range(20)}) > 1


async def test_who_pays_in_advance_is_not_collected_from_as_well(house: Installation) -> None:
    await add_account(house.admin, "acct_x", kind="external", currency="EUR")
    now = from_ns(house.clock.now_ns())
    terms: dict[str, Any] = {
        "category": "paid",
        "priority": 100,
        "valid_until": None,
        "actor": "test",
        "now": now,
    }
    async with all_accounts(house.billing) as connection:
        account = await find_account(connection, "acct_x")
        grant = await grant_credit(connection, account, "live", Decimal("5.00"), **terms)
        with pytest.raises(Problem, match="in advance or afterwards"):
            await collect_from(connection, "acct_x", now)
    # Once all of it has lapsed there is nothing left that could pay a document.
    await house.admin.execute(
        "INSERT INTO billing.credit_expiry (grant_id, account_id, amount, expired_at) VALUES ($1, 'acct_x', 5, $2)",
        grant.id,
        now,
    )
    async with all_accounts(house.billing) as connection:
        await collect_from(connection, "acct_x", now)
        with pytest.raises(Problem, match="cannot pay in advance"):
            await grant_credit(connection, account, "live", Decimal("5.00"), **terms)

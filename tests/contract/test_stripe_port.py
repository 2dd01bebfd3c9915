"""The contract of the payment port: whatever holds the book, this is what collection may rely on."""

from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal

import pytest

from billing.payment.provider import (
    NewCreditNote,
    NewLine,
    NewRefund,
    ProviderAway,
    ProviderPayment,
    ProviderRefund,
    ProviderRefused,
    SentBack,
)
from billing.payment.stripe_provider import StripeProvider
from tests.contract.stripe_books import KINDS, StripeBook, stripe_book


@pytest.fixture(params=KINDS)
async def book(request: pytest.FixtureRequest) -> AsyncIterator[StripeBook]:
    async with stripe_book(request.param) as book:
        yield book


def _note(
    book: StripeBook, invoice_id: str, amount: str, *sent_back: SentBack, elsewhere: str = "0"
) -> NewCreditNote:
    total = Decimal(amount)
    lines = (NewLine(1, "address: availability below 99.9 %", total),)
    return NewCreditNote(
        f"cn_{book.run}_{amount}",
        f"CN-{book.run}-{amount}",
        invoice_id,
        "EUR",
        total,
        lines,
        sent_back,
        Decimal(elsewhere),
    )


async def _send_back(book: StripeBook, payment: ProviderPayment, amount: str) -> ProviderRefund:
    new = NewRefund(f"cn_{book.run}_{amount}", payment.payment_intent, "EUR", Decimal(amount))
    return await book.provider.create_refund(new, book.key(f"refund-{payment.payment_intent}-{amount}"))


async def test_an_invoice_stands_there_line_by_line_to_the_cent(book: StripeBook) -> None:
    new = book.invoice(await book.customer(), "12.50", "0.07", "-2.07")
    opened = await book.open_invoice(new)
    assert (opened.state, opened.currency, opened.total) == ("open", "EUR", Decimal("10.50"))
    assert (opened.document_id, opened.number) == (new.document_id, new.number)
    assert (opened.amount_paid, opened.amount_remaining) == (Decimal("0.00"), Decimal("10.50"))
    lines = await book.provider.lines(opened.id)
    assert {line.position: line.amount for line in lines} == {
        line.position: line.amount for line in new.lines
    }
    assert await book.provider.find_invoice(new.customer_id, new.document_id) == opened
    assert await book.provider.find_invoice(new.customer_id, "inv_other") is None


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "500"), ("ISK", "5"), ("USD", "0.50")])
async def test_amounts_are_in_the_unit_of_the_currency(book: StripeBook, currency: str, amount: str) -> None:
    new = book.invoice(await book.customer(), amount, currency=currency)
    opened = await book.open_invoice(new)
    assert (opened.currency, opened.total) == (currency, Decimal(amount))


async def test_a_key_that_is_used_again_makes_nothing_new(book: StripeBook) -> None:
    new = book.invoice(await book.customer(), "12.50")
    first = await book.provider.create_invoice(new, book.key("once"))
    assert await book.provider.create_invoice(new, book.key("once")) == first
    other = book.invoice(new.customer_id, "1.00", name="b")
    with pytest.raises(ProviderRefused, match="idempotency-key-reused"):
        await book.provider.create_invoice(other, book.key("once"))


async def test_more_lines_than_a_page_are_all_read(book: StripeBook) -> None:
    new = book.invoice(await book.customer(), *["0.01"] * 130)
    draft = await book.provider.create_invoice(new, book.key("long"))
    for start in (0, 100):
        await book.provider.add_lines(
            draft.id, "EUR", new.lines[start : start + 100], book.key(f"lines-{start}")
        )
    lines = await book.provider.lines(draft.id)
    assert sorted(line.position for line in lines) == list(range(1, 131))


async def test_what_is_finalized_is_not_changed_any_more(book: StripeBook) -> None:
    new = book.invoice(await book.customer(), "12.50")
    opened = await book.open_invoice(new)
    with pytest.raises(ProviderRefused):
        await book.provider.add_lines(opened.id, "EUR", new.lines, book.key("late"))


async def test_a_payment_is_read_with_its_invoice(book: StripeBook) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    assert await book.provider.payments(opened.id) == ()
    await book.pay(opened)
    (payment,) = await book.provider.payments(opened.id)
    assert (payment.invoice_id, payment.amount, payment.currency) == (opened.id, Decimal("12.50"), "EUR")
    assert await book.provider.invoice_of_payment(payment.payment_intent) == opened.id
    assert (await book.provider.invoice(opened.id)).state == "paid"
    assert await book.provider.refunds(payment.payment_intent) == ()
    assert await book.provider.disputes(payment.payment_intent) == ()


async def test_what_is_kept_of_a_payment_is_read_with_its_own_id(book: StripeBook) -> None:
    if book.fake is not None:
        book.fake.payments.fee = 61
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    await book.pay(opened)
    (payment,) = await book.provider.payments(opened.id)
    (fee,) = await book.provider.payment_fees(payment.payment_intent)
    assert fee.amount > 0
    assert fee.id.startswith("txn_")
    assert await book.provider.payment_fees(payment.payment_intent) == (fee,)


async def test_a_credit_note_on_an_open_invoice_lowers_what_is_owed(book: StripeBook) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    note = await book.provider.create_credit_note(_note(book, opened.id, "2.50"), book.key("note"))
    assert (note.invoice_id, note.total, note.state) == (opened.id, Decimal("2.50"), "issued")
    assert (note.lowered, note.sent_back) == (Decimal("2.50"), ())
    assert await book.provider.credit_notes(opened.id) == (note,)
    assert (await book.provider.invoice(opened.id)).amount_remaining == Decimal("10.00")


async def test_a_credit_note_on_a_paid_invoice_names_the_money_that_was_sent_back_for_it(
    book: StripeBook,
) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    await book.pay(opened)
    (payment,) = await book.provider.payments(opened.id)
    refund = await _send_back(book, payment, "2.50")
    assert await _send_back(book, payment, "2.50") == refund
    assert (refund.state, refund.amount) == ("succeeded", Decimal("2.50"))
    assert (refund.payment_intent, refund.document_id) == (payment.payment_intent, f"cn_{book.run}_2.50")
    covered = _note(book, opened.id, "2.50", SentBack(refund.id, refund.amount))
    note = await book.provider.create_credit_note(covered, book.key("note"))
    assert (note.lowered, note.sent_back) == (Decimal(0), covered.sent_back)
    assert await book.provider.refunds(payment.payment_intent) == (refund,)


async def test_what_a_credit_note_exceeds_the_open_amount_by_is_covered_exactly(book: StripeBook) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    await book.pay(opened)
    (payment,) = await book.provider.payments(opened.id)
    refund = await _send_back(book, payment, "1.00")
    for sent_back, elsewhere in (((), "0"), ((SentBack(refund.id, Decimal("1.00")),), "1.00")):
        with pytest.raises(ProviderRefused):
            await book.provider.create_credit_note(
                _note(book, opened.id, "2.50", *sent_back, elsewhere=elsewhere), book.key(f"n{elsewhere}")
            )


async def test_no_more_is_sent_back_than_was_paid(book: StripeBook) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    await book.pay(opened)
    (payment,) = await book.provider.payments(opened.id)
    await _send_back(book, payment, "12.00")
    with pytest.raises(ProviderRefused):
        await _send_back(book, payment, "0.51")


async def test_what_was_sent_back_without_a_note_is_not_credited_beside_it(book: StripeBook) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    await book.pay(opened)
    (payment,) = await book.provider.payments(opened.id)
    await _send_back(book, payment, "2.50")
    with pytest.raises(ProviderRefused):
        await book.provider.create_credit_note(
            _note(book, opened.id, "12.50", elsewhere="12.50"), book.key("note")
        )


async def test_a_credit_note_over_money_that_was_taken_back_sends_none(book: StripeBook) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    await book.pay(opened)
    note = _note(book, opened.id, "12.50", elsewhere="12.50")
    assert (await book.provider.create_credit_note(note, book.key("note"))).total == Decimal("12.50")
    (payment,) = await book.provider.payments(opened.id)
    assert await book.provider.refunds(payment.payment_intent) == ()


async def test_more_than_is_left_is_not_credited(book: StripeBook) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    with pytest.raises(ProviderRefused):
        await book.provider.create_credit_note(_note(book, opened.id, "12.51"), book.key("note"))


async def test_the_whole_book_is_read_page_by_page(book: StripeBook) -> None:
    customer = await book.customer()
    made = {(await book.open_invoice(book.invoice(customer, "1.00", name=f"p{n}"))).id for n in range(3)}
    seen: set[str] = set()
    async for invoice in book.provider.all_invoices():
        seen.add(invoice.id)
        if made <= seen:
            break
    assert made <= seen


async def test_payments_and_refunds_of_the_whole_book_are_read_with_what_they_belong_to(
    book: StripeBook,
) -> None:
    opened = await book.open_invoice(book.invoice(await book.customer(), "12.50"))
    await book.pay(opened)
    (payment,) = await book.provider.payments(opened.id)
    refund = await _send_back(book, payment, "2.50")
    async for one in book.provider.all_payments():
        if one.id == payment.id:
            assert one == payment
            break
    else:
        pytest.fail("the payment is not in the book")
    async for found in book.provider.all_refunds():
        if found.id == refund.id:
            assert found == refund
            break
    else:
        pytest.fail("the refund is not in the book")
    if book.fake is not None:
        dispute = book.fake.payments.open_dispute(payment.payment_intent, 1000)
        assert [(one.id, one.payment_intent) async for one in book.provider.all_disputes()] == [
            (dispute["id"], payment.payment_intent)
        ]


async def test_a_test_key_is_known_as_one(book: StripeBook) -> None:
    assert not book.provider.livemode


async def test_what_is_not_there_is_refused_by_name(book: StripeBook) -> None:
    with pytest.raises(ProviderRefused, match=r"resource_missing: .*in_nothing"):
        await book.provider.invoice("in_nothing")


async def test_a_wrong_key_is_waited_out_and_told_to_nobody(book: StripeBook) -> None:
    key = "sk_test_wrong0000000000000000000000"
    address = "https://api.stripe.com" if book.fake is None else book.fake.address
    with closing(StripeProvider(key, address)) as provider, pytest.raises(ProviderAway) as caught:
        await provider.invoice("in_nothing")
    assert caught.value.reason == "key-not-accepted: 401"
    assert key not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r} {provider!r}"

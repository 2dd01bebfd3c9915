"""An invoice never comes to less than nothing: credit notes give back what it owes, once, and every book says so."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest

from billing.desk import CreditLine, close, issue_credit_note
from billing.focus.export import focus_rows
from billing.invoice.month import Month
from billing.payment.account import collect_from
from billing.payment.reconcile import reconcile_payments
from billing.rebuild import verify
from billing.settlement.margin import margin
from billing.transaction import all_accounts, one_snapshot
from billing.view import Document, credit_note_document, document
from catalog.accounts.tax import TaxRate, set_tax_rate
from catalog.usage_event import UsageEvent
from catalog.vocabulary.clock import ManualClock, from_ns
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.period import Period
from deploy.database import Database
from deploy.roles import GATEWAY
from tests.collecting import Installation, collecting
from tests.reported_usage import amend_as_said
from tests.settled_books import assert_books_agree
from tests.sla_books import customs_passport, miss, publish
from tests.usage_books import FALLING, PROFILE, add_account, add_price, call, store, use

SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER = (Period(2026, month) for month in range(9, 13))
CREDITED = "SELECT note.number, invoice.number AS corrected, note.reason, note.total FROM billing.credit_note AS note JOIN billing.invoice ON invoice.id = invoice_id ORDER BY note.number"  # fmt: skip


def _after(period: Period) -> ManualClock:
    return ManualClock(datetime(period.next().year, period.next().month, 3, tzinfo=UTC))


def _calls(
    count: int, period: Period, account: str = "acct_x", environment: Environment = "live"
) -> list[UsageEvent]:
    moment = datetime(period.year, period.month, 5, tzinfo=UTC)
    return [
        call(account, moment, price_version=f"falling_{account}", environment=environment)
        for _ in range(count)
    ]


async def _open(
    admin: asyncpg.Connection, account: str = "acct_x", kind: str = "external", **more: str
) -> None:
    await add_account(admin, account, kind, profile={**PROFILE, "country": "CN"}, **more)
    currency = more.get("currency", "CNY")
    await add_price(admin, f"falling_{account}", model="volume", price=FALLING, currency=currency)


async def _below_zero(pool: asyncpg.Pool, account: str = "acct_x", environment: Environment = "live") -> None:
    """An October of 100.00 that late calls lower to 20.00, and a November of 50.00: 30.00 less than nothing."""
    await use(pool, _calls(10, OCTOBER, account, environment))
    await close(pool, OCTOBER, _after(OCTOBER))
    await use(pool, _calls(10, OCTOBER, account, environment) + _calls(5, NOVEMBER, account, environment))
    await close(pool, NOVEMBER, _after(NOVEMBER))


async def _document(pool: asyncpg.Pool, period: Period, account: str = "acct_x") -> Document:
    async with all_accounts(pool) as connection:
        return await document(connection, Month(account, "live", period))


async def _ledger(admin: asyncpg.Connection) -> dict[str, Decimal]:
    rows = await admin.fetch(
        "SELECT account_id || ' ' || ledger_account AS name, sum(amount) AS amount FROM billing.posting GROUP BY 1"
    )
    return {row["name"]: row["amount"] for row in rows if row["amount"]}


async def _credited(admin: asyncpg.Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await admin.fetch(CREDITED)]


async def test_a_month_that_is_lowered_beyond_what_the_next_one_charges_becomes_a_credit_note(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await _below_zero(billing_pool)
    assert await _credited(admin) == [("CN-2026-000001", "INV-2026-000001", "net_credit", Decimal("30.00"))]
    november = await _document(billing_pool, NOVEMBER)
    assert (november.kind, november.number, november.total) == ("invoice", "INV-2026-000002", "0.00")
    assert [(one.kind, one.usage_period, one.amount, one.name) for one in november.lines] == [
        ("usage", "2026-11", "50.00", ""),
        ("usage", "2026-10", "-80.00", ""),
        ("net_credit", "2026-11", "30.00", "INV-2026-000001"),
    ]
    # Both months together: 20.00 and 50.00, of which nothing is paid.
    assert await _ledger(admin) == {
        "acct_x receivable": Decimal("70.00"),
        "house earnings:address": Decimal("-70.00"),
    }
    await assert_books_agree(billing_pool)


async def test_closing_again_and_later_usage_change_nothing_of_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await _below_zero(billing_pool)
    await close(billing_pool, NOVEMBER, _after(NOVEMBER))
    await use(billing_pool, _calls(1, OCTOBER) + _calls(1, DECEMBER))
    await close(billing_pool, DECEMBER, _after(DECEMBER))
    assert len(await _credited(admin)) == 1
    assert (await _document(billing_pool, DECEMBER)).total == "11.00"
    assert (await _ledger(admin))["acct_x receivable"] == Decimal("81.00")
    await assert_books_agree(billing_pool)


async def test_taxes_are_given_back_with_what_they_were_on(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await _open(admin)
    gateway = await asyncpg.connect(**database.as_role(GATEWAY, {"ordergate.account": "*"}))
    async with gateway.transaction():
        rate = TaxRate("CN", "", SEPTEMBER.first_day, "VAT", Decimal(6))
        await set_tax_rate(gateway, rate, actor="test", now=datetime(2026, 9, 1, tzinfo=UTC))
    await gateway.close()
    await _below_zero(billing_pool)
    assert [one[3] for one in await _credited(admin)] == [Decimal("31.80")]
    rows = await admin.fetch("SELECT service, amount FROM billing.credit_note_line ORDER BY position")
    assert [tuple(row) for row in rows] == [("address", Decimal("30.00")), ("tax", Decimal("1.80"))]
    assert await _ledger(admin) == {
        "acct_x receivable": Decimal("74.20"),
        "house earnings:address": Decimal("-70.00"),
        "house tax": Decimal("-4.20"),
    }
    await assert_books_agree(billing_pool)


async def test_several_invoices_are_credited_the_latest_first_and_none_beyond_what_is_left_of_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    for period in (SEPTEMBER, OCTOBER):
        await use(billing_pool, _calls(10, period))
        await close(billing_pool, period, _after(period))
    # Both fall from 100.00 to 11.00.
    await use(billing_pool, _calls(1, SEPTEMBER) + _calls(1, OCTOBER) + _calls(1, NOVEMBER))
    await close(billing_pool, NOVEMBER, _after(NOVEMBER))
    assert [one[1:] for one in await _credited(admin)] == [
        ("INV-2026-000002", "net_credit", Decimal("100.00")),
        ("INV-2026-000001", "net_credit", Decimal("68.00")),
    ]
    assert (await _document(billing_pool, NOVEMBER)).lines[-1].name == "INV-2026-000002, INV-2026-000001"
    await assert_books_agree(billing_pool)


async def test_what_was_given_back_before_is_not_given_back_again(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await use(billing_pool, _calls(10, OCTOBER))
    await close(billing_pool, OCTOBER, _after(OCTOBER))
    async with all_accounts(billing_pool) as connection:
        lines = [CreditLine("address", "accepted", Decimal("90.00"))]
        now = from_ns(_after(OCTOBER).now_ns())
        await issue_credit_note(connection, "inv_live_acct_x_2026-10", "correction", "dispute:1", lines, now)
    await use(billing_pool, _calls(10, OCTOBER) + _calls(5, NOVEMBER))
    await close(billing_pool, NOVEMBER, _after(NOVEMBER))
    assert [one[2:] for one in await _credited(admin)] == [
        ("correction", Decimal("90.00")),
        ("net_credit", Decimal("10.00")),
    ]
    (*_, credited) = (await _document(billing_pool, NOVEMBER)).lines
    assert (credited.amount, credited.name) == ("30.00", "INV-2026-000001")
    # The payer was given back all of October and owes nothing of November: as much as it could be.
    assert await _ledger(admin) == {
        "house earnings:address": Decimal("20.00"),
        "house net_credit:account": Decimal("-20.00"),
    }
    await assert_books_agree(billing_pool)


async def test_a_credit_for_a_missed_objective_that_came_late_is_given_back_too(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    half = {
        "objective": "screening-up",
        "schedule": [{"at_least": "99.97", "credit_pct": "0"}, {"at_least": "0", "credit_pct": "50"}],
    }
    await add_account(admin, "acct_x", "external", profile=PROFILE)
    await add_account(admin, "acct_far", timezone="Pacific/Honolulu")
    await add_price(admin, "screen", "customs/screen", price={"unit_price": "1.00"})
    await publish(admin, customs_passport(credits=(half,)))
    screened = {"operation": "customs/screen", "price_version": "screen"}
    september = datetime(2026, 9, 5, tzinfo=UTC)
    await use(billing_pool, [call("acct_x", september, **screened) for _ in range(40)])  # type: ignore[arg-type]
    await miss(admin, "customs/screen", datetime(2026, 9, 17, 2, tzinfo=UTC), 25)
    # The month is over for this payer and not for the last one, so nothing is judged yet.
    await close(billing_pool, SEPTEMBER, ManualClock(datetime(2026, 9, 30, 20, tzinfo=UTC)))
    await use(billing_pool, [call("acct_x", datetime(2026, 10, 5, tzinfo=UTC), **screened)])  # type: ignore[arg-type]
    await close(billing_pool, OCTOBER, _after(OCTOBER))
    assert await _credited(admin) == [("CN-2026-000001", "INV-2026-000001", "net_credit", Decimal("19.00"))]
    assert (await _document(billing_pool, OCTOBER)).total == "0.00"
    assert (await _ledger(admin))["acct_x receivable"] == Decimal("21.00")
    await assert_books_agree(billing_pool)


async def test_a_statement_within_the_group_may_be_negative(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin, kind="internal")
    await _below_zero(billing_pool)
    assert await _credited(admin) == []
    november = await _document(billing_pool, NOVEMBER)
    assert (november.kind, november.total) == ("statement", "-30.00")
    await assert_books_agree(billing_pool)


async def test_the_sandboxs_invoices_are_credited_in_a_series_of_their_own(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await _below_zero(billing_pool, environment="test")
    assert await _credited(admin) == [("TCN-2026-000001", "TINV-2026-000001", "net_credit", Decimal("30.00"))]
    assert await verify(billing_pool, ()) == []


async def test_documents_exports_and_margins_show_it_once(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await _open(admin)
    await _below_zero(billing_pool)
    async with one_snapshot(billing_pool) as connection:
        november = await focus_rows(connection, NOVEMBER, "live", "House")
        december = await focus_rows(connection, DECEMBER, "live", "House")
        earned = await margin(connection, NOVEMBER, "live")
    assert [(row.charge_category, row.charge_class, row.billed_cost) for row in november] == [
        ("Usage", None, Decimal("50.00")),
        ("Usage", "Correction", Decimal("-80.00")),
        ("Adjustment", None, Decimal("30.00")),
    ]
    assert [(row.invoice_id, row.billed_cost) for row in december] == [("CN-2026-000001", Decimal("-30.00"))]
    assert [(one.currency, one.revenue) for one in earned.totals] == [("CNY", "50.00")]


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        yield installation


@pytest.mark.parametrize(("paid", "refunded"), [(True, "30.00"), (False, "0.00")])
async def test_a_payer_gets_back_what_was_paid_and_owes_less_of_what_was_not(
    house: Installation, admin: asyncpg.Connection, paid: bool, refunded: str
) -> None:
    await _open(admin, currency="EUR")
    async with all_accounts(house.billing) as connection:
        await collect_from(connection, "acct_x", from_ns(house.clock.now_ns()))
    await use(house.billing, _calls(10, OCTOBER))
    await close(house.billing, OCTOBER, house.clock)
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    if paid:
        house.stripe.payments.receive(theirs, 10_000)
        await house.news()
        await house.collect()
    await use(house.billing, _calls(10, OCTOBER) + _calls(5, NOVEMBER))
    house.clock.advance(31 * 86_400)
    await close(house.billing, NOVEMBER, house.clock)
    await house.collect()
    await house.news()
    await house.collect()
    standing = await house.standing("inv_live_acct_x_2026-10")
    assert (standing.credited, standing.refunded) == (Decimal("30.00"), Decimal(refunded))
    assert standing.owed == (0 if paid else Decimal("70.00"))
    assert len(house.stripe.store.all("invoice")) == 1, "an invoice of nothing asks nobody for money"
    ledger = await house.ledger()
    assert ledger.get("house cash", 0) == (Decimal("70.00") if paid else 0)
    assert "house net_credit:account" not in ledger
    assert (await reconcile_payments(house.billing, house.provider)).agrees
    assert await verify(house.billing, ()) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("DELETE FROM billing.credit_note_line", "its total is 30.00, its lines 0"),
        ("UPDATE billing.credit_note SET total = 29", "receivable -29 CNY is due and not posted"),
        ("UPDATE billing.credit_note SET source = 'elsewhere'", "of which credit notes give 0"),
        ("UPDATE billing.posting SET amount = 31 WHERE ledger_account = 'net_credit:account' AND amount = 30", "31 CNY is posted and not due"),
    ],
)  # fmt: skip
async def test_a_credit_note_that_does_not_say_what_its_document_says_is_found(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, change: str, sentence: str
) -> None:
    await _open(admin)
    await _below_zero(billing_pool)
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(change)
    assert any(sentence in difference for difference in await verify(billing_pool, ()))


async def _corrected_down(admin: asyncpg.Connection, pool: asyncpg.Pool, *, screens: int) -> None:
    """Stock of September and freight of October are issued; in November stock is corrected by 0.90 and freight comes late."""
    await add_account(admin, "acct_x", "external", profile={**PROFILE, "country": "CN"})
    await add_price(admin, "adjust", "stock/adjust", price={"unit_price": "0.01"})
    await add_price(admin, "quote", "freight/quote", price={"unit_price": "0.04"})

    def used(operation: str, price: str, month: int, units: str) -> UsageEvent:
        moment = datetime(2026, month, 5, tzinfo=UTC)
        return call("acct_x", moment, operation=operation, price_version=price, units=units)

    reported = used("stock/adjust", "adjust", 9, "100")
    await store(pool, [reported], "import")
    await store(pool, [used("freight/quote", "quote", 9, "100") for _ in range(screens)])
    await close(pool, SEPTEMBER, _after(SEPTEMBER))
    await use(pool, [used("freight/quote", "quote", 10, "100")])
    await close(pool, OCTOBER, _after(OCTOBER))
    await amend_as_said(admin, reported, "-90")
    await use(pool, [used("freight/quote", "quote", month, "1") for month in (10, 11)])
    await close(pool, NOVEMBER, _after(NOVEMBER))


@pytest.mark.parametrize("screens", [0, 3])
async def test_a_credit_note_names_the_service_that_was_lowered_on_the_invoice_that_charged_for_it(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, screens: int
) -> None:
    await _corrected_down(admin, billing_pool, screens=screens)
    assert [one[1:] for one in await _credited(admin)] == [("INV-2026-000001", "net_credit", Decimal("0.82"))]
    async with all_accounts(billing_pool) as connection:
        note = await credit_note_document(connection, "CN-2026-000001")
    assert [(line.service, line.amount, line.name) for line in note.lines] == [
        ("stock", "0.82", "Taken back by INV-2026-000003")
    ]
    assert await _ledger(admin) == {
        "acct_x receivable": Decimal("4.18") + 4 * screens,
        "house earnings:stock": Decimal("-0.10"),
        "house earnings:freight": Decimal("-4.08") - 4 * screens,
    }
    await assert_books_agree(billing_pool)

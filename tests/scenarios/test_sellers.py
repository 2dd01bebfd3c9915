"""Who issues: what documents name, and which of them wait until somebody has said it."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from billing.desk import close, issue_held
from billing.invoice.month import Month
from billing.rebuild import verify
from billing.transaction import all_accounts
from billing.view import Document, document
from catalog.accounts.seller import SellerProfile, set_seller
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from tests.usage_books import PROFILE, add_account, add_price, call, use

OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)


def _clock(year: int, month: int, day: int) -> ManualClock:
    return ManualClock(datetime(year, month, day, tzinfo=UTC))


async def _document(pool: asyncpg.Pool, account_id: str, period: Period) -> Document:
    async with all_accounts(pool) as connection:
        return await document(connection, Month(account_id, "live", period))


async def test_an_issued_invoice_keeps_the_seller_and_the_due_day_that_it_was_issued_with(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_x", kind="external", profile=PROFILE)
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(billing_pool, [call(account, OCTOBER_5) for account in ("acct_x", "acct_a")])
    seller = SellerProfile("Chengchuan Ltd", "2 Huaihe Road", "913401", "CN", 14, "by transfer", "ICBC 6222")
    await _sell(gateway_pool, seller)
    report = await close(billing_pool, OCTOBER, ManualClock(datetime(2026, 11, 1, 20, tzinfo=UTC)))
    assert report.warnings == ()
    await _sell(gateway_pool, SellerProfile("Renamed Ltd", "3 Huaihe Road", "913402"))
    invoice = await _document(billing_pool, "acct_x", OCTOBER)
    assert invoice.seller == (await _document(billing_pool, "acct_a", OCTOBER)).seller == seller
    # The second of November in Shanghai, and a fortnight.
    assert invoice.due_on == "2026-11-16"


async def test_an_invoice_of_ones_own_waits_for_a_seller_that_is_not_the_demos(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> None:
    for account, kind in (("acct_x", "external"), ("acct_demo", "external"), ("acct_a", "internal")):
        await add_account(admin, account, kind=kind, profile=PROFILE)
    await admin.execute("UPDATE catalog.account SET demo = true WHERE id = 'acct_demo'")
    await add_price(admin, "price")
    await use(billing_pool, [call(one, OCTOBER_5) for one in ("acct_x", "acct_demo", "acct_a")])
    await use(billing_pool, [call("acct_x", OCTOBER_5, environment="test")])
    await _sell(gateway_pool, SellerProfile("Demo Ltd", "1 Demo Road", "DEMO1"), demo=True)
    clock = _clock(2026, 11, 2)
    report = await close(billing_pool, OCTOBER, clock)
    # The demo's own documents, statements inside of the group and what nobody pays are issued as before.
    assert sorted(one.number for one in report.issued) == [
        "DEMO-INV-2026-000001",
        "S-2026-000001",
        "TINV-2026-000001",
    ]
    assert [(one.account_id, one.environment, one.missing) for one in report.left_draft] == [
        ("acct_x", "live", ("seller",))
    ]
    draft = await _document(billing_pool, "acct_x", OCTOBER)
    assert (draft.state, draft.number, draft.missing) == ("draft", None, ("seller",))
    await admin.execute("UPDATE billing.invoice SET held = 'unusual-amount' WHERE state = 'draft'")
    with pytest.raises(Problem, match="not issued yet: missing seller"):
        await issue_held(billing_pool, Month("acct_x", "live", OCTOBER), actor="operator@test", clock=clock)
    own = SellerProfile("Own Ltd", "2 Own Road", "913401")
    await _sell(gateway_pool, own)
    (issued,) = (await close(billing_pool, OCTOBER, clock)).issued
    document = await _document(billing_pool, "acct_x", OCTOBER)
    assert (issued.number, document.missing, document.seller) == ("INV-2026-000001", (), own)
    assert await verify(billing_pool, ()) == []


async def test_without_a_seller_months_are_closed_and_the_report_warns_of_invoices_that_name_none(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool
) -> None:
    await add_account(admin, "acct_x", kind="external", profile=PROFILE)
    await add_account(admin, "acct_a")
    await add_price(admin, "price")
    await use(billing_pool, [call("acct_a", OCTOBER_5), call("acct_x", datetime(2026, 11, 5, tzinfo=UTC))])
    assert (await close(billing_pool, OCTOBER, _clock(2026, 11, 2))).warnings == ()
    report = await close(billing_pool, NOVEMBER, _clock(2026, 12, 2))
    (warning,) = report.warnings
    assert "INV-2026-000001" in warning
    assert "ordergate seller profile" in warning
    found = await _document(billing_pool, "acct_x", NOVEMBER)
    assert (found.state, found.seller, found.due_on) == ("issued", None, None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tax_id": " "}, "/tax_id: write 1 to 500 characters"),
        ({"address": "x" * 501}, "/address"),
        ({"country": "China"}, "/country"),
        ({"country": "cn"}, "/country"),
        ({"country": "ZZ"}, "/country: use the two letters of ISO 3166, such as CN"),
        ({"payment_days": 366}, "/payment_days: write 0 to 365 days"),
    ],
)
async def test_a_seller_that_no_invoice_could_name_is_refused(
    gateway_pool: asyncpg.Pool, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(Problem, match=told):
        await _sell(
            gateway_pool, SellerProfile(**{"legal_name": "a", "address": "b", "tax_id": "c", **fields})
        )


async def _sell(gateway_pool: asyncpg.Pool, seller: SellerProfile, *, demo: bool = False) -> None:
    async with gateway_pool.acquire() as connection, connection.transaction():
        await set_seller(connection, seller, "operator@test", OCTOBER_5, demo=demo)

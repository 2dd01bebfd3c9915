"""An invoice is due on one day, wherever it is written: on the document and its files, at the provider, and in reminders."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from billing.desk import close, collect_from
from billing.invoice.month import Month
from billing.invoice.phrasing import facts
from billing.invoice.rate_pending import rate_pending
from billing.payment.account import REMINDER_DAYS
from billing.transaction import all_accounts
from billing.view import Document, document, to_csv, to_json
from catalog.accounts.seller import SellerProfile, set_seller
from catalog.vocabulary.clock import from_ns
from catalog.vocabulary.period import Period
from tests.collecting import OCTOBER, Installation, collecting
from tests.usage_books import call, use

SELLER = SellerProfile("Chengchuan Ltd", "2 Huaihe Road", "913401", "CN", 30, "", "ICBC 6222")
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
async def house(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> AsyncIterator[Installation]:
    async with collecting(admin, billing_pool, gateway_pool) as installation:
        yield installation


async def _sell(house: Installation, profile: SellerProfile = SELLER) -> None:
    async with house.gateway.acquire() as connection, connection.transaction():
        await set_seller(connection, profile, "operator@test", from_ns(house.clock.now_ns()))


async def _document(house: Installation, period: Period = OCTOBER) -> Document:
    async with all_accounts(house.billing) as connection:
        return await document(connection, Month("acct_x", "live", period))


async def test_what_was_agreed_with_the_payer_is_due_everywhere_and_first_reminded_of_the_day_after(
    house: Installation,
) -> None:
    await _sell(house)
    await house.invoiced(collect=True, terms_days=14)
    found = await _document(house)
    # Issued on the second of November in Shanghai.
    assert found.due_on == "2026-11-16"
    assert json.loads(to_json(found))["seller"]["payment_days"] == 14
    assert "2026-11-16" in to_csv(found)
    assert ("Due", "2026-11-16 (within 14 days)") in facts(found, "en")
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    assert datetime.fromtimestamp(theirs["due_date"], SHANGHAI).date() == date(2026, 11, 16)
    assert theirs["days_until_due"] is None
    for day, expected in ((14, 0), (14 + REMINDER_DAYS[0], 1)):
        await house.wait_until(datetime(2026, 11, 2, 4, tzinfo=UTC) + timedelta(days=day))
        await house.collect()
        assert await house.announced("invoice.overdue") == expected, day
    payload = json.loads(
        await house.admin.fetchval("SELECT payload FROM catalog.outbox WHERE kind = 'invoice.overdue'")
    )
    assert (payload["due_on"], payload["days_overdue"]) == ("2026-11-16", 1)


async def test_where_nothing_was_agreed_the_sellers_days_hold(house: Installation) -> None:
    await _sell(house)
    await house.invoiced(terms_days=None)
    assert (await _document(house)).due_on == "2026-12-02"
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    assert datetime.fromtimestamp(theirs["due_date"], SHANGHAI).date() == date(2026, 12, 2)


async def test_what_is_issued_keeps_its_due_day_and_a_draft_shows_the_days_that_hold_now(
    house: Installation,
) -> None:
    await _sell(house)
    await house.invoiced(collect=True, terms_days=14)
    await use(
        house.billing,
        [
            call(
                "acct_x",
                datetime(2026, 11, 5, tzinfo=UTC),
                price_version="price_acct_x_address",
                operation="address/run",
            )
        ],
    )
    await rate_pending(house.billing, house.clock)
    async with all_accounts(house.billing) as connection:
        await collect_from(connection, "acct_x", from_ns(house.clock.now_ns()), terms_days=7)
    await _sell(house, SellerProfile("Renamed Ltd", "3 Huaihe Road", "913402", payment_days=60))
    assert (await _document(house)).due_on == "2026-11-16"
    draft = await _document(house, Period(2026, 11))
    assert draft.seller is not None
    assert (draft.state, draft.due_on, draft.seller.payment_days) == ("draft", None, 7)


async def test_a_document_that_reaches_the_provider_after_its_due_day_is_due_there_at_once(
    house: Installation,
) -> None:
    await _sell(house)
    await house.invoiced(terms_days=1)
    await house.wait_until(datetime(2026, 12, 1, tzinfo=UTC))
    await house.collect()
    (theirs,) = house.stripe.store.all("invoice")
    assert (theirs["status"], theirs["days_until_due"]) == ("open", 0)
    assert (await _document(house)).due_on == "2026-11-03"


async def test_an_account_that_is_collected_from_before_anybody_says_who_sells_pays_within_thirty_days(
    house: Installation,
) -> None:
    await house.invoiced(terms_days=None)
    assert (await _document(house)).due_on == "2026-12-02"
    assert (await close(house.billing, OCTOBER, house.clock)).issued == ()

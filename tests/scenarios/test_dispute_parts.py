"""What of a dispute is accepted in part, rejected, or refused because the bill leaves no room for it."""

from datetime import date
from decimal import Decimal

import asyncpg
import pytest

from billing.invoice.dispute import reject_dispute
from billing.transaction import all_accounts
from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import Problem
from deploy.database import Database
from tests.dispute_books import (
    after,
    agree,
    close_month,
    concede,
    contest,
    day_in,
    month_of,
    owed_by_payer,
    read_document,
    sell,
    set_tax,
    use_in,
)
from tests.settled_books import assert_books_agree
from tests.usage_books import FALLING, add_price, call, use

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)


async def test_a_part_of_a_dispute_is_accepted_and_the_rest_can_be_disputed_again(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin)
    await set_tax(database, "US", "8.875")
    await agree(database, date(2026, 10, 1), discount_pct="20")
    await use_in(billing_pool, OCTOBER, "address/validate", 20)
    await close_month(billing_pool, OCTOBER)
    opened = await contest(database, billing_pool, month_of(OCTOBER), 1, "15.00", after(OCTOBER))
    for wrong in ("15.01", "0", "0.005", "-1"):
        with pytest.raises(Problem, match="/amount"):
            await concede(billing_pool, opened.id, after(OCTOBER), wrong)
    decided = await concede(billing_pool, opened.id, after(OCTOBER), "5.00")
    # 16.00 and 1.42 of tax before, 12.00 and 1.07 after.
    assert decided.credited is not None and decided.credited.amount == "4.35"
    assert decided.accepted is not None and decided.accepted.amount == "5.00"
    with pytest.raises(Problem, match=r"15\.00 CNY of this line"):
        await contest(database, billing_pool, month_of(OCTOBER), 1, "15.01", after(OCTOBER))
    again = await contest(database, billing_pool, month_of(OCTOBER), 1, "15.00", after(OCTOBER))
    await concede(billing_pool, again.id, after(OCTOBER))
    assert await owed_by_payer(admin) == 0
    await assert_books_agree(billing_pool)


async def test_what_cannot_be_credited_on_its_document_is_not_held(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin)
    await add_price(admin, "falling", "customs/screen", "volume", FALLING)

    async def screen(period: Period, count: int) -> None:
        one = {"operation": "customs/screen", "price_version": "falling", "subscription_id": "sub_x"}
        await use(billing_pool, [call("acct_x", day_in(period), **one) for _ in range(count)])  # type: ignore[arg-type]

    await screen(OCTOBER, 10)
    await close_month(billing_pool, OCTOBER)
    # Ten more make October 20.00 instead of 100.00: November takes 80.00 back.
    await screen(OCTOBER, 10)
    await use_in(billing_pool, NOVEMBER, "address/validate", 90)
    await close_month(billing_pool, NOVEMBER)
    assert (await read_document(billing_pool, month_of(NOVEMBER))).total == "10.00"
    with pytest.raises(Problem, match=r"90\.00 CNY would come off the document, and 10\.00 are left"):
        await contest(database, billing_pool, month_of(NOVEMBER), 1, "90.00", after(NOVEMBER))
    opened = await contest(database, billing_pool, month_of(NOVEMBER), 1, "10.00", after(NOVEMBER))
    await concede(billing_pool, opened.id, after(NOVEMBER))
    await assert_books_agree(billing_pool)


async def test_a_line_without_which_the_taxes_rise_above_it_is_not_taken_off(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    """The fee of 1,000.00 is of the groups of both rates in proportion; without the lower one it is all of the higher."""
    await sell(admin)
    await set_tax(database, "US", "6")
    await set_tax(database, "US", "1", service="address")
    await agree(database, date(2026, 10, 1), access_fee="1000.00")
    await use_in(billing_pool, OCTOBER, "address/validate", 1)
    await use_in(billing_pool, OCTOBER, "customs/certificate", 1)
    await close_month(billing_pool, OCTOBER)
    with pytest.raises(Problem, match="would be higher by"):
        await contest(database, billing_pool, month_of(OCTOBER), 1, "1.00", after(OCTOBER))


async def test_a_rejected_dispute_gives_back_exactly_what_was_held(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, database: Database
) -> None:
    await sell(admin)
    await set_tax(database, "US", "8.875")
    await use_in(billing_pool, OCTOBER, "address/validate", 20)
    await close_month(billing_pool, OCTOBER)
    owed = await owed_by_payer(admin)
    opened = await contest(database, billing_pool, month_of(OCTOBER), 1, "10.00", after(OCTOBER))
    assert opened.held is not None and opened.held.amount == "10.89"
    assert await owed_by_payer(admin) == owed - Decimal("10.89")
    async with all_accounts(billing_pool) as connection:
        rejected = await reject_dispute(connection, opened.id, "it was", "operator@test", after(OCTOBER))
    assert (rejected.credited, rejected.notice) == (None, "")
    assert await owed_by_payer(admin) == owed
    await assert_books_agree(billing_pool)

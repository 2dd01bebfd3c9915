"""What becomes of a month whose reported usage is corrected after its document was issued, and of what was doubled."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from billing.desk import Correction, Report, close
from billing.invoice.month import Month
from billing.rebuild import verify
from billing.reconcile import Report as Comparison
from billing.reconcile import reconcile
from billing.transaction import all_accounts
from billing.view import calls, document
from catalog.vocabulary.clock import ManualClock
from catalog.vocabulary.period import Period
from tests.reported_usage import accepted, report
from tests.settled_books import assert_books_agree
from tests.usage_books import PROFILE, add_account, add_price, call, roll_up_all

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
OCTOBER_5, NOVEMBER_5 = (datetime(2026, month, 5, 4, tzinfo=UTC) for month in (10, 11))
NOVEMBER_2, DECEMBER_2 = (ManualClock(datetime(2026, month, 2, tzinfo=UTC)) for month in (11, 12))


@pytest.fixture(autouse=True)
async def books(admin: asyncpg.Connection) -> None:
    await add_account(admin, "acct_a", "external", profile={**PROFILE, "country": "CN"})
    await add_price(admin, "price", price={"unit_price": "1.00"})


def correction(of: Report | Correction, event: Report, units: str) -> Correction:
    """The quantity of an event anew, `of` being what was said of it last."""
    reported = event.event
    return Correction(
        of.source,
        f"{of.id}+",
        hashlib.sha256(f"{of.id} {units}".encode()).digest(),
        of.id,
        reported.operation,
        reported.occurred_at_ns,
        reported.class_,
        reported.dimensions,
        Decimal(units),
        "key",
    )


async def say(gateway: asyncpg.Pool, billing: asyncpg.Pool, *batch: Report | Correction) -> None:
    """Report or correct, and roll up."""
    received = await accepted(gateway, batch, NOVEMBER_5)
    assert [one.reception for one in received] == ["accepted"] * len(batch)
    await roll_up_all(billing)


async def lines(pool: asyncpg.Pool, period: Period) -> list[tuple[str, str, str]]:
    """What stands on a month's document: kind, the month that it is about, amount."""
    async with all_accounts(pool) as connection:
        found = await document(connection, Month("acct_a", "live", period))
    return [(line.kind, line.usage_period, line.amount) for line in found.lines]


async def test_a_month_that_was_issued_is_corrected_by_a_line_of_the_next_one(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> None:
    october = report(call("acct_a", OCTOBER_5, units="500"))
    await say(gateway_pool, billing_pool, october)
    await close(billing_pool, OCTOBER, NOVEMBER_2)
    less = correction(october, october, "470")
    await say(gateway_pool, billing_pool, report(call("acct_a", NOVEMBER_5, units="80")), less)
    await say(gateway_pool, billing_pool, correction(less, october, "490"))
    await close(billing_pool, NOVEMBER, DECEMBER_2)
    assert await lines(billing_pool, OCTOBER) == [("usage", "2026-10", "500.00")]
    assert await lines(billing_pool, NOVEMBER) == [
        ("usage", "2026-11", "80.00"),
        ("usage", "2026-10", "-10.00"),
    ]
    assert await admin.fetchval("SELECT count(*) FROM billing.credit_note") == 0
    await assert_books_agree(billing_pool)


async def test_a_month_that_is_voided_beyond_what_the_next_one_charges_becomes_a_credit_note(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> None:
    october = report(call("acct_a", OCTOBER_5, units="500"))
    await say(gateway_pool, billing_pool, october)
    await close(billing_pool, OCTOBER, NOVEMBER_2)
    await say(
        gateway_pool,
        billing_pool,
        report(call("acct_a", NOVEMBER_5, units="80")),
        correction(october, october, "0"),
    )
    await close(billing_pool, NOVEMBER, DECEMBER_2)
    assert await lines(billing_pool, NOVEMBER) == [
        ("usage", "2026-11", "80.00"),
        ("usage", "2026-10", "-500.00"),
        ("net_credit", "2026-11", "420.00"),
    ]
    assert await admin.fetchval("SELECT sum(total) FROM billing.credit_note") == 420
    await assert_books_agree(billing_pool)


async def test_what_was_voided_costs_nothing_in_the_list_of_calls_whatever_an_event_costs(
    admin: asyncpg.Connection, billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool
) -> None:
    share = {"rate_pct": "10", "fixed_per_event": "1.00"}
    await add_price(admin, "share", "stock/adjust", "percentage", share)
    one = report(call("acct_a", OCTOBER_5, operation="stock/adjust", price_version="share", units="20"))
    less = correction(one, one, "5")
    for said, units, charge in ((one, "20", "3"), (less, "5", "1.5"), (correction(less, one, "0"), "0", "0")):
        await say(gateway_pool, billing_pool, said)
        async with all_accounts(billing_pool) as connection:
            (shown,) = (await calls(connection, "acct_a", "live", 10)).data
        assert (shown.units, shown.charge.amount) == (units, charge)


async def test_what_was_doubled_is_told_until_its_sender_voids_it_and_every_book_agrees(
    billing_pool: asyncpg.Pool, gateway_pool: asyncpg.Pool, tmp_path: Path
) -> None:
    clock = ManualClock(datetime(2026, 10, 20, tzinfo=UTC))

    async def live() -> Comparison:
        async def sleep(seconds: float) -> None:
            clock.advance(seconds)

        found = await reconcile(billing_pool, lambda _: {}, tmp_path, (), clock=clock, sleep=sleep)
        assert found[-1].agrees, found[-1].differences
        assert await verify(billing_pool, ()) == []
        return found[-1]

    first, again, third = (report(call("acct_a", OCTOBER_5, units="5")) for _ in range(3))
    elsewhere = report(call("acct_a", OCTOBER_5, units="5", dimensions=(("lane", "cn-de"),)))
    await say(gateway_pool, billing_pool, first, again, third, elsewhere)
    (notice,) = (await live()).notices
    assert "2 reported events say what others say" in notice
    assert "ask their sender, who can correct what was doubled to 0" in notice
    void, fewer = correction(again, again, "0"), correction(third, third, "4")
    await say(gateway_pool, billing_pool, void, fewer)
    assert (await live()).notices == ()
    await say(gateway_pool, billing_pool, correction(fewer, third, "5"))
    (notice,) = (await live()).notices
    assert "1 reported event says what another says, under another id (" in notice
    await say(gateway_pool, billing_pool, correction(void, again, "1"))
    assert len((await live()).notices) == 1
